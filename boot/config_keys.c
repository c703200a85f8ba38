/*
 * The sections of telepod.ini as tables: what a key is called, how its value is decoded, and the words for
 * what was expected. A new key is a line here, a setter above it, and a line in config.h.
 */
#include <string.h>
#include "boot/config_keys.h"
#include "kernel/lib/guest_config.h"
#include "kernel/lib/value.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

#define DEFAULT_POD_NAME "pod"
#define DEFAULT_CONTROL_PORT 7000
#define DEFAULT_TELEPORT_PORT 7001
#define DEFAULT_GUEST_MEMORY (32 * MIB)
#define NIC_LIMIT 15
#define CPU_LIMIT 255
#define LAN_UNSET UINT32_MAX

#define TEXT_OF(number) #number
#define DECIMAL(number) TEXT_OF(number)
_Static_assert(POD_NAME_MAX == 32 && FILE_NAME_MAX == 64 && POD_COMMAND_MAX == 128 &&
               GUEST_CMDLINE_MAX == 512 && GUEST_VCPUS_MAX == 16,
               "the sentences below name these limits, less 1 for the terminator");

const struct pod_config config_default_pod = {
    .name = DEFAULT_POD_NAME,
    .dhcp = true,
    .control_port = DEFAULT_CONTROL_PORT,
    .teleport_port = DEFAULT_TELEPORT_PORT,
    .lan = LAN_UNSET,
    .apicv = true,
};

const struct guest_config config_default_guest = {
    .memory_bytes = DEFAULT_GUEST_MEMORY,
    .vcpus = 1,
    .cpu = POD_CPU_ANY,
};

/* The keys of [pod] ------------------------------------------------------------------------------------- */

static bool set_pod_name(struct config_target *t, const char *value)
{
    return value_name(value, t->pod->name, sizeof(t->pod->name));
}

static bool set_address(struct config_target *t, const char *value)
{
    if (strcmp(value, "dhcp") == 0)
        return true;
    t->pod->dhcp = false;
    return value_ipv4_net(value, &t->pod->address, &t->pod->netmask);
}

static bool set_gateway(struct config_target *t, const char *value)
{
    return value_ipv4(value, &t->pod->gateway);
}

static bool set_port(uint16_t *port, const char *value)
{
    uint64_t number;

    if (!value_number(value, 1, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool set_control_port(struct config_target *t, const char *value)
{
    return set_port(&t->pod->control_port, value);
}

static bool set_teleport_port(struct config_target *t, const char *value)
{
    return set_port(&t->pod->teleport_port, value);
}

static bool set_index(uint32_t *index, const char *value, uint64_t limit)
{
    uint64_t number;

    if (!value_number(value, 0, limit, &number))
        return false;
    *index = (uint32_t)number;
    return true;
}

static bool set_nic(struct config_target *t, const char *value)
{
    return set_index(&t->pod->nic, value, NIC_LIMIT);
}

static bool set_lan(struct config_target *t, const char *value)
{
    return set_index(&t->pod->lan, value, NIC_LIMIT);
}

static bool set_yes_no(uint32_t *out, const char *value)
{
    static const char *const words[] = { [false] = "no", [true] = "yes" };

    return value_word(value, words, ARRAY_SIZE(words), out);
}

static bool set_apicv(struct config_target *t, const char *value)
{
    return set_yes_no(&t->pod->apicv, value);
}

static bool set_run(struct config_target *t, const char *value)
{
    uint32_t index = t->pod->command_count;

    if (index == POD_COMMANDS_MAX || !*value ||
        !value_text(value, t->pod->commands[index], POD_COMMAND_MAX))
        return false;
    t->pod->command_count++;
    return true;
}

static const struct config_key pod_keys[] = {
    { "name", set_pod_name, CONFIG_NAME_RULE, CONFIG_KEY_ONCE },
    { "address", set_address, "dhcp or a host's a.b.c.d/length, like 10.0.0.1/24", CONFIG_KEY_ONCE },
    { "gateway", set_gateway, "a host's a.b.c.d", CONFIG_KEY_ONCE },
    { "control_port", set_control_port, "a number from 1 to 65535", CONFIG_KEY_ONCE },
    { "teleport_port", set_teleport_port, "a number from 1 to 65535", CONFIG_KEY_ONCE },
    { "nic", set_nic, "a number from 0 to " DECIMAL(NIC_LIMIT), CONFIG_KEY_ONCE },
    { "lan", set_lan, "a number from 0 to " DECIMAL(NIC_LIMIT), CONFIG_KEY_ONCE },
    { "apicv", set_apicv, "yes or no", CONFIG_KEY_ONCE },
    { "run", set_run,
      "a command of 1 to 127 characters, at most " DECIMAL(POD_COMMANDS_MAX) " times",
      CONFIG_KEY_REPEATABLE },
};

static const char *finish_pod(const struct config_target *t)
{
    struct pod_config *pod = t->pod;

    if (pod->lan == LAN_UNSET)
        pod->lan = pod->nic;
    if (pod->control_port == pod->teleport_port)
        return "control_port and teleport_port are the same, expected two ports";
    if (pod->gateway == 0)
        return NULL;
    if (pod->dhcp)
        return "gateway goes with a static address only, and address is dhcp";
    if (((pod->gateway ^ pod->address) & pod->netmask) != 0 || pod->gateway == pod->address)
        return "gateway is not another host in the network of address";
    return NULL;
}

/* The keys of [guest NAME] ------------------------------------------------------------------------------ */

static bool set_image(struct config_target *t, const char *value)
{
    return value_file_name(value, t->guest->image, sizeof(t->guest->image));
}

static bool set_initrd(struct config_target *t, const char *value)
{
    return value_file_name(value, t->guest->initrd, sizeof(t->guest->initrd));
}

static bool set_disk(struct config_target *t, const char *value)
{
    return value_file_name(value, t->guest->disk, sizeof(t->guest->disk));
}

/* Guests' memory and disks are made of large pages. */
static bool set_large_pages(uint64_t *out, const char *value)
{
    uint64_t bytes;

    if (!value_size(value, LARGE_PAGE_SIZE, GUEST_MEMORY_MAX, &bytes) || bytes % LARGE_PAGE_SIZE != 0)
        return false;
    *out = bytes;
    return true;
}

static bool set_memory(struct config_target *t, const char *value)
{
    return set_large_pages(&t->guest->memory_bytes, value);
}

static bool set_disk_size(struct config_target *t, const char *value)
{
    return set_large_pages(&t->guest->disk_bytes, value);
}

static bool set_cpu(struct config_target *t, const char *value)
{
    return strcmp(value, "any") == 0 || set_index(&t->guest->cpu, value, CPU_LIMIT);
}

static bool set_vcpus(struct config_target *t, const char *value)
{
    return set_index(&t->guest->vcpus, value, GUEST_VCPUS_MAX) && t->guest->vcpus > 0;
}

static bool set_devices(struct config_target *t, const char *value)
{
    return value_set(value, guest_device_names, GUEST_DEVICE_COUNT, &t->guest->devices);
}

static bool set_mac(struct config_target *t, const char *value)
{
    return value_mac(value, t->guest->mac);
}

static bool set_console(struct config_target *t, const char *value)
{
    static const char *const words[] = { [GUEST_CONSOLE_LOG] = "log", [GUEST_CONSOLE_COM2] = "com2" };

    return value_word(value, words, ARRAY_SIZE(words), &t->guest->console);
}

static bool set_autostart(struct config_target *t, const char *value)
{
    return set_yes_no(&t->guest->autostart, value);
}

static bool set_cmdline(struct config_target *t, const char *value)
{
    return value_text(value, t->guest->cmdline, sizeof(t->guest->cmdline));
}

static const struct config_key guest_keys[] = {
    { "image", set_image, CONFIG_FILE_RULE, CONFIG_KEY_REQUIRED },
    { "initrd", set_initrd, CONFIG_FILE_RULE, CONFIG_KEY_ONCE },
    { "disk", set_disk, CONFIG_FILE_RULE, CONFIG_KEY_ONCE },
    { "disk_size", set_disk_size, GUEST_SIZE_RULE, CONFIG_KEY_ONCE },
    { "memory", set_memory, GUEST_SIZE_RULE, CONFIG_KEY_ONCE },
    { "cpu", set_cpu, "any or a number from 0 to " DECIMAL(CPU_LIMIT), CONFIG_KEY_ONCE },
    { "vcpus", set_vcpus, "a number from 1 to 16", CONFIG_KEY_ONCE },
    { "devices", set_devices, "none, or some of net, block, console, entropy with commas", CONFIG_KEY_ONCE },
    { "mac", set_mac, "a station's aa:bb:cc:dd:ee:ff", CONFIG_KEY_ONCE },
    { "console", set_console, "log or com2", CONFIG_KEY_ONCE },
    { "autostart", set_autostart, "yes or no", CONFIG_KEY_ONCE },
    { "cmdline", set_cmdline, "at most 511 characters", CONFIG_KEY_ONCE },
};

static const char *finish_guest(const struct config_target *t)
{
    const struct pod_config *pod = t->pod;

    for (const struct guest_config *other = pod->guests; other < t->guest; other++) {
        if (!guest_mac_is_zero(other->mac) && memcmp(other->mac, t->guest->mac, GUEST_MAC_BYTES) == 0)
            return "mac is another guest's already: expected one of its own for each";
    }
    return guest_config_finish(t->guest);
}

const struct config_section config_section_pod = { pod_keys, ARRAY_SIZE(pod_keys), finish_pod };
const struct config_section config_section_guest = { guest_keys, ARRAY_SIZE(guest_keys), finish_guest };
