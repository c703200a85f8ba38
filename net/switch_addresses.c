#include "net/switch_addresses.h"

#include <string.h>

#define TYPE_OFFSET 12u
#define PAYLOAD_OFFSET 14u
#define MAC_SIZE 6u
#define IPV4_SIZE 4u

/* ARP for IPv4 over Ethernet (RFC 826, "Packet format"), from the frame's type on: hardware, protocol, sizes. */
static const uint8_t arp_start[] = { 0x08, 0x06, 0x00, 0x01, 0x08, 0x00, MAC_SIZE, IPV4_SIZE };
#define ARP_SENDER_MAC_OFFSET 22u
#define ARP_SENDER_IPV4_OFFSET 28u
#define ARP_END 42u

/* IPv4 (RFC 791, 3.1), version 4 with a header of five words or more. */
static const uint8_t ipv4_type[] = { 0x08, 0x00 };
#define IPV4_VERSION_SHIFT 4
#define IPV4_VERSION 4u
#define IPV4_SOURCE_OFFSET 26u
#define IPV4_HEADER_END 34u

bool switch_frame_is_arp(const void *frame, uint32_t size)
{
    return size >= ARP_END && !memcmp((const uint8_t *)frame + TYPE_OFFSET, arp_start, sizeof(arp_start));
}

static bool is_ipv4(const uint8_t *frame, uint32_t size)
{
    return size >= IPV4_HEADER_END && !memcmp(frame + TYPE_OFFSET, ipv4_type, sizeof(ipv4_type))
           && frame[PAYLOAD_OFFSET] >> IPV4_VERSION_SHIFT == IPV4_VERSION;
}

static uint32_t address_at(const uint8_t *frame, uint32_t offset)
{
    uint32_t address;

    memcpy(&address, frame + offset, sizeof(address));
    return address;
}

/* RFC 6890, "Special-Purpose Address Registries": this network, loopback; and RFC 1112's groups and what is above. */
static bool is_station(uint32_t ipv4)
{
    uint8_t first;

    memcpy(&first, &ipv4, sizeof(first));
    return first != 0 && first != 127 && first < 224;
}

static void remove_at(struct switch_addresses *addresses, uint32_t index)
{
    addresses->count--;
    memmove(&addresses->ipv4[index], &addresses->ipv4[index + 1], (addresses->count - index) * sizeof(addresses->ipv4[0]));
}

static void forget(struct switch_addresses *addresses, uint32_t ipv4)
{
    for (uint32_t i = 0; i < addresses->count; i++)
        if (addresses->ipv4[i] == ipv4) {
            remove_at(addresses, i);
            return;
        }
}

void switch_addresses_add(struct switch_addresses *addresses, uint32_t ipv4)
{
    if (!is_station(ipv4))
        return;
    forget(addresses, ipv4);
    if (addresses->count == SWITCH_PORT_ADDRESSES_MAX)
        addresses->count--;
    memmove(&addresses->ipv4[1], &addresses->ipv4[0], addresses->count * sizeof(addresses->ipv4[0]));
    addresses->ipv4[0] = ipv4;
    addresses->count++;
}

void switch_addresses_learn(struct switch_addresses *addresses, const uint8_t mac[6], const void *frame, uint32_t size)
{
    const uint8_t *bytes = frame;
    uint32_t ipv4;

    if (switch_frame_is_arp(frame, size)) {
        ipv4 = address_at(bytes, ARP_SENDER_IPV4_OFFSET);
        /* The commonest case first: nothing new. */
        if ((!addresses->count || addresses->ipv4[0] != ipv4) && !memcmp(bytes + ARP_SENDER_MAC_OFFSET, mac, MAC_SIZE))
            switch_addresses_add(addresses, ipv4);
    } else if (!addresses->count && is_ipv4(bytes, size)) {
        switch_addresses_add(addresses, address_at(bytes, IPV4_SOURCE_OFFSET));
    }
}

void switch_addresses_contest(struct switch_addresses *addresses, const uint8_t mac[6], const void *frame, uint32_t size)
{
    const uint8_t *bytes = frame;

    if (addresses->count && switch_frame_is_arp(frame, size) && memcmp(bytes + ARP_SENDER_MAC_OFFSET, mac, MAC_SIZE))
        forget(addresses, address_at(bytes, ARP_SENDER_IPV4_OFFSET));
}
