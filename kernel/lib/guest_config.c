/* What belongs to a guest's whole configuration: see guest_config.h. */
#include "kernel/lib/guest_config.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"

#define MAC_LOCAL 0x02          /* IEEE 802: locally administered, of the first byte */

/* FNV-1a with 64 bits: spreads short names well. */
#define HASH_START 0xcbf29ce484222325UL
#define HASH_PRIME 0x100000001b3UL

const char *const guest_device_names[GUEST_DEVICE_COUNT] = { "net", "block", "console", "entropy" };
_Static_assert(GUEST_DEVICES_ALL == BIT(GUEST_DEVICE_COUNT) - 1 && GUEST_DEVICE_NET == BIT(0) &&
               GUEST_DEVICE_BLOCK == BIT(1) && GUEST_DEVICE_CONSOLE == BIT(2) && GUEST_DEVICE_ENTROPY == BIT(3),
               "word n is bit n");

const char *guest_devices_format(uint32_t devices, char out[GUEST_DEVICES_TEXT_MAX])
{
    size_t used = 0;

    snprintf(out, GUEST_DEVICES_TEXT_MAX, "none");
    for (uint32_t i = 0; i < GUEST_DEVICE_COUNT; i++) {
        if (devices & BIT(i))
            used += (size_t)snprintf(out + used, GUEST_DEVICES_TEXT_MAX - used, "%s%s", used ? ", " : "",
                                     guest_device_names[i]);
    }
    return out;
}

const char *guest_mac_format(const uint8_t mac[GUEST_MAC_BYTES], char out[GUEST_MAC_TEXT_MAX])
{
    snprintf(out, GUEST_MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    return out;
}

bool guest_mac_is_zero(const uint8_t mac[GUEST_MAC_BYTES])
{
    static const uint8_t zero[GUEST_MAC_BYTES];

    return memcmp(mac, zero, sizeof(zero)) == 0;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ b[i]) * HASH_PRIME;
    return hash;
}

void guest_mac_make(uint8_t out[GUEST_MAC_BYTES], const char *pod, const char *guest, uint32_t attempt)
{
    uint64_t hash = hash_bytes(HASH_START, pod, strlen(pod) + 1);

    hash = hash_bytes(hash, guest, strlen(guest) + 1);
    hash = hash_bytes(hash, &attempt, sizeof(attempt));
    hash ^= hash >> 40;         /* all 64 bits count, and 40 are kept */
    out[0] = MAC_LOCAL;
    memcpy(out + 1, &hash, GUEST_MAC_BYTES - 1);
}

const char *guest_config_finish(struct guest_config *config)
{
    bool disk = config->disk[0] || config->disk_bytes;

    if (!disk && (config->devices & GUEST_DEVICE_BLOCK))
        return "devices has block, but there is no disk or disk_size";
    if (disk)
        config->devices |= GUEST_DEVICE_BLOCK;
    return NULL;
}
