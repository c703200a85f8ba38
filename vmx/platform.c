/* The devices together: power-on, and their clocks. */
#include "vmx/platform.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/vm.h"

void platform_init(struct vm *vm)
{
    struct platform *platform = &vm->platform;
    memset(platform, 0, sizeof *platform);
    uart_reset(&platform->uart);
    platform->pci_present = pci_slots_of(&vm->config);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        pci_function_reset(&platform->pci[slot]);
    pic_reset(&platform->pic);
    ioapic_reset(&platform->ioapic, (uint8_t)vm->config.vcpus); /* no APIC ID of a processor's */
}

uint64_t platform_next_deadline(const struct vm *vm)
{
    (void)vm;
    return UINT64_MAX;
}

void platform_advance(struct vm *vm, uint64_t now)
{
    (void)vm, (void)now;
}
