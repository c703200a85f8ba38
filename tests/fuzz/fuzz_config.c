/* Any bytes as telepod.ini: no crash, and a verdict that keeps boot/config.h's promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "boot/config.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/guest_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void check_machine(const struct pod_config *config, const struct guest_config *guest)
{
    require(guest->vcpus >= 1 && guest->vcpus <= GUEST_VCPUS_MAX);
    require(memchr(guest->initrd, 0, FILE_NAME_MAX) && !strpbrk(guest->initrd, "\\/"));
    require(memchr(guest->disk, 0, FILE_NAME_MAX) && !strpbrk(guest->disk, "\\/"));
    require(guest->disk_bytes % LARGE_PAGE_SIZE == 0 && !(guest->devices & ~GUEST_DEVICES_ALL));
    require(!(guest->devices & GUEST_DEVICE_BLOCK) == !(guest->disk[0] || guest->disk_bytes));
    require(!(guest->mac[0] & 1));
    for (const struct guest_config *other = config->guests; other < guest; other++)
        require(guest_mac_is_zero(guest->mac) || memcmp(other->mac, guest->mac, GUEST_MAC_BYTES));
}

static void check_config(const struct pod_config *config)
{
    require(memchr(config->name, 0, POD_NAME_MAX) && config->name[0]);
    require(config->control_port && config->teleport_port && config->control_port != config->teleport_port);
    require(config->nic <= 15 && config->lan <= 15 && config->apicv <= 1);
    require(config->guest_count <= POD_GUESTS_MAX && config->command_count <= POD_COMMANDS_MAX);
    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];

        require(memchr(guest->name, 0, POD_NAME_MAX) && guest->name[0]);
        require(memchr(guest->image, 0, FILE_NAME_MAX) && guest->image[0] && !strpbrk(guest->image, "\\/"));
        require(memchr(guest->cmdline, 0, GUEST_CMDLINE_MAX) != NULL);
        require(guest->memory_bytes && guest->memory_bytes % LARGE_PAGE_SIZE == 0);
        check_machine(config, guest);
    }
    for (uint32_t i = 0; i < config->command_count; i++)
        require(memchr(config->commands[i], 0, POD_COMMAND_MAX) && config->commands[i][0]);
}

static void check_errors(const struct config_errors *errors)
{
    for (uint32_t i = 0; i < errors->count && i < CONFIG_ERRORS_MAX; i++) {
        const struct config_error *error = &errors->list[i];

        require(error->line > 0 && (i == 0 || error->line >= errors->list[i - 1].line));
        require(memchr(error->sentence, 0, CONFIG_SENTENCE_MAX) && error->sentence[0]);
        for (const char *c = error->sentence; *c; c++)
            require((*c >= ' ' && *c <= '~') || *c == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pod_config config;
    static struct config_errors errors;

    if (config_parse((const char *)data, size, &config, &errors)) {
        require(errors.count == 0);
        check_config(&config);
    } else {
        require(errors.count > 0);
        check_errors(&errors);
    }
    return 0;
}
