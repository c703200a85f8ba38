/* What of the devices' state is saved, sent and loaded. Pure. */
#include "kernel/lib/util.h"
#include "vmx/platform.h"

static void add_part(struct platform_part *parts, uint32_t *count, const struct section *section, void *object,
                     uint32_t instance)
{
    parts[(*count)++] = (struct platform_part){ section, object, instance };
}

/* "virtqueue", instance = device * 8 + queue. */
#define VIRTQUEUE_INSTANCES 8

static void add_virtio(struct platform_part *parts, uint32_t *count, struct platform *platform,
                       const struct guest_config *config)
{
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        struct virtio_device *device = &platform->virtio[kind];
        if (!(config->devices & BIT(kind))) /* enum guest_device has the bits in this order */
            continue;
        add_part(parts, count, &virtio_section, device, kind);
        for (unsigned queue = 0; queue < virtio_queue_count(kind); queue++)
            add_part(parts, count, &virtqueue_section, &device->queues[queue], kind * VIRTQUEUE_INSTANCES + queue);
    }
    if (config->devices & GUEST_DEVICE_NET)
        add_part(parts, count, &net_addresses_section, &platform->net_addresses, 0);
}

uint32_t platform_parts(struct platform *platform, const struct guest_config *config,
                        struct platform_part out[PLATFORM_PARTS_MAX])
{
    uint32_t count = 0, slots = pci_slots_of(config);
    add_part(out, &count, &uart_section, &platform->uart, 0);
    for (unsigned channel = 0; channel < PIT_CHANNELS; channel++)
        add_part(out, &count, &pit_channel_section, &platform->pit.channel[channel], channel);
    add_part(out, &count, &pit_section, &platform->pit, 0);
    add_part(out, &count, &rtc_section, &platform->rtc, 0);
    add_part(out, &count, &acpi_pm_section, &platform->pm, 0);
    add_part(out, &count, &fw_cfg_section, &platform->fw_cfg, 0);
    add_part(out, &count, &pci_host_section, &platform->pci_host, 0);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        if (slots >> slot & 1)
            add_part(out, &count, &pci_function_section, &platform->pci[slot], slot);
    add_part(out, &count, &pic_section, &platform->pic, 0);
    add_part(out, &count, &ioapic_section, &platform->ioapic, 0);
    add_virtio(out, &count, platform, config);
    return count;
}

uint32_t pci_slots_of(const struct guest_config *config)
{
    static const struct { uint32_t device; enum pci_slot slot; } wanted[] = {
        { GUEST_DEVICE_NET, PCI_SLOT_NET }, { GUEST_DEVICE_BLOCK, PCI_SLOT_BLOCK },
        { GUEST_DEVICE_CONSOLE, PCI_SLOT_CONSOLE }, { GUEST_DEVICE_ENTROPY, PCI_SLOT_ENTROPY },
    };
    uint32_t slots = 1u << PCI_SLOT_BRIDGE;
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
        if (config->devices & wanted[i].device)
            slots |= 1u << wanted[i].slot;
    return slots;
}
