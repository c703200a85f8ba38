/* What of the devices' state is saved, sent and loaded. Pure. */
#include "vmx/platform.h"

static void add_part(struct platform_part *parts, uint32_t *count, const struct section *section, void *object,
                     uint32_t instance)
{
    parts[(*count)++] = (struct platform_part){ section, object, instance };
}

uint32_t platform_parts(struct platform *platform, const struct guest_config *config,
                        struct platform_part out[PLATFORM_PARTS_MAX])
{
    uint32_t count = 0;
    (void)config;
    add_part(out, &count, &uart_section, &platform->uart, 0);
    return count;
}

uint32_t pci_slots_of(const struct guest_config *config)
{
    (void)config;
    return 0;
}
