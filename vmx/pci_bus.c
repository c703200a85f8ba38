/*
 * The slots of bus 0, configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2), BARs, and how a function's
 * interrupt gets to the processors. RAM and the APICs go before every BAR, a low slot before a high one, so a BAR that is
 * moved onto something else only hides itself.
 */
#include "vmx/pci_bus.h"

#include "kernel/lib/util.h"
#include "vmx/bus.h"
#include "vmx/devices/virtio/virtio_pci.h"
#include "vmx/interrupts.h"
#include "vmx/platform_ports.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_virtio.h"

#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_BUS(a) ((a) >> 16 & 0xff)
#define ADDRESS_DEVICE(a) ((a) >> 11 & 0x1f)
#define ADDRESS_FUNCTION(a) ((a) >> 8 & 7)
#define ADDRESS_REGISTER(a) ((a) & 0xfc)
#define ADDRESS_WRITABLE 0x80fffffcu

/* Where the data of the configuration-access capability lies in it (virtio 1.2, 4.1.4.9). */
#define WINDOW_DATA 16

/* INTA# of slot n: GSI 16 + n % 4 (vmx/acpi/dsdt.asl says so to the guest). */
#define INTX_GSI_FIRST 16
#define INTX_GSIS 4

static const struct pci_header bridge_config = {
    .vendor_id = 0x8086, .device_id = 0x1237, /* Intel 82441FX: a host bridge that every system knows and leaves alone */
    .revision_id = 2, .base_class = 0x06, .sub_class = 0x00,
    .subsystem_vendor_id = 0x1af4, .subsystem_id = 0x1100,
};
static const struct pci_model bridge_model = { .config = &bridge_config, .config_size = sizeof bridge_config };

static const struct {
    const struct pci_model *model;
    const struct pci_ops *ops;      /* NULL: it has no BARs */
} slots[PCI_SLOTS] = {
    [PCI_SLOT_BRIDGE] = { &bridge_model, NULL },
    [PCI_SLOT_NET] = { &virtio_pci_models[VIRTIO_NET], &virtio_pci_ops },
    [PCI_SLOT_BLOCK] = { &virtio_pci_models[VIRTIO_BLOCK], &virtio_pci_ops },
    [PCI_SLOT_CONSOLE] = { &virtio_pci_models[VIRTIO_CONSOLE], &virtio_pci_ops },
    [PCI_SLOT_ENTROPY] = { &virtio_pci_models[VIRTIO_ENTROPY], &virtio_pci_ops },
};

static bool present(const struct vm *vm, unsigned slot)
{
    return slot < PCI_SLOTS && slots[slot].model && (vm->platform.pci_present >> slot & 1);
}

/* The window for BARs, which the DSDT tells the guest: 1 GiB less the APICs' last pages. */
#define WINDOW_START 0xc0000000u

void pci_power_on(struct vm *vm)
{
    struct platform *platform = &vm->platform;
    uint32_t next = WINDOW_START;
    platform->pci_present = pci_slots_of(&vm->config);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        pci_function_reset(&platform->pci[slot]);
        for (unsigned bar = 0; present(vm, slot) && bar < PCI_BARS; bar++) {
            uint32_t size = slots[slot].model->bar_size[bar];
            if (size == 0)
                continue;
            platform->pci[slot].bar[bar] = ALIGN_UP(next, size);
            next = ALIGN_UP(next, size) + size;
        }
    }
}

/* ---- interrupts ---- */

static void update_intx(struct vm *vm, unsigned slot)
{
    unsigned line = slot % INTX_GSIS;
    bool level = false;
    for (unsigned i = line; i < PCI_SLOTS; i += INTX_GSIS)
        level |= present(vm, i) && pci_intx_level(&vm->platform.pci[i]);
    vm_set_gsi(vm, INTX_GSI_FIRST + line, level);
}

static void send_waiting(struct vm *vm, unsigned slot)
{
    struct pci_message message;
    while (pci_msix_next(slots[slot].model, &vm->platform.pci[slot], &message))
        vm_send_msi(vm, message.address, message.data);
}

void pci_raise_msix(struct vm *vm, unsigned slot, unsigned vector)
{
    struct pci_message message;
    if (present(vm, slot) && pci_msix_raise(slots[slot].model, &vm->platform.pci[slot], vector, &message))
        vm_send_msi(vm, message.address, message.data);
}

void pci_set_intx(struct vm *vm, unsigned slot, bool level)
{
    if (!present(vm, slot) || vm->platform.pci[slot].intx == level)
        return;
    vm->platform.pci[slot].intx = level;
    update_intx(vm, slot);
}

bool pci_uses_msix(const struct vm *vm, unsigned slot)
{
    return present(vm, slot) && pci_msix_enabled(&vm->platform.pci[slot]);
}

bool pci_may_dma(const struct vm *vm, unsigned slot)
{
    return present(vm, slot) && (vm->platform.pci[slot].command & PCI_COMMAND_MASTER);
}

/* ---- BARs ---- */

static uint64_t all_ones(unsigned size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : BIT(8 * size) - 1;
}

static uint64_t bar_read(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size)
{
    const struct pci_model *model = slots[slot].model;
    if (pci_msix_covers(model, bar, offset))
        return pci_msix_read(model, &vcpu->vm->platform.pci[slot], offset, size);
    return slots[slot].ops ? slots[slot].ops->read(vcpu, slot, bar, offset, size) : all_ones(size);
}

static void bar_write(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    const struct pci_model *model = slots[slot].model;
    if (pci_msix_covers(model, bar, offset)) {
        pci_msix_write(model, &vcpu->vm->platform.pci[slot], offset, size, value);
        send_waiting(vcpu->vm, slot);
    } else if (slots[slot].ops) {
        slots[slot].ops->write(vcpu, slot, bar, offset, size, value);
    }
}

static int search_bars(const struct vm *vm, uint64_t gpa, unsigned size, unsigned *slot, uint64_t *offset)
{
    for (*slot = 0; *slot < PCI_SLOTS; ++*slot) {
        int bar = present(vm, *slot) ? pci_bar_find(slots[*slot].model, &vm->platform.pci[*slot], gpa, size, offset) : -1;
        if (bar >= 0)
            return bar;
    }
    return -1;
}

/* A driver comes to the same page again and again: what was found is kept. */
static int find_bar(struct vm *vm, uint64_t gpa, unsigned size, unsigned *slot, uint64_t *offset)
{
    struct pci_found *found = &vm->platform.pci_found;
    uint64_t in_page = gpa % PCI_BAR_SIZE_MIN;
    if (found->valid && gpa - in_page == found->page && in_page + size <= PCI_BAR_SIZE_MIN) {
        *slot = found->slot;
        *offset = found->offset + in_page;
        return found->bar;
    }
    int bar = search_bars(vm, gpa, size, slot, offset);
    if (bar >= 0)
        *found = (struct pci_found){ true, (uint8_t)*slot, (uint8_t)bar, gpa - in_page, *offset - in_page };
    return bar;
}

uint64_t pci_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned size, bool *ok)
{
    unsigned slot;
    uint64_t offset;
    int bar = find_bar(vcpu->vm, gpa, size, &slot, &offset);
    *ok = bar >= 0;
    return *ok ? bar_read(vcpu, slot, (unsigned)bar, offset, size) : all_ones(size);
}

bool pci_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    unsigned slot;
    uint64_t offset;
    int bar = find_bar(vcpu->vm, gpa, size, &slot, &offset);
    if (bar >= 0)
        bar_write(vcpu, slot, (unsigned)bar, offset, size, value);
    return bar >= 0;
}

/* ---- the window of a virtio configuration-access capability: a BAR, read and written without memory decoding ---- */

static bool is_window(unsigned slot, unsigned offset)
{
    unsigned window = slots[slot].model->window_at;
    return window && (offset & ~3u) == window + WINDOW_DATA;
}

/* virtio 1.2, 4.1.4.9: length 1, 2 or 4; the offset is a multiple of it, and inside the BAR. */
static bool window_is_valid(const struct pci_model *model, const struct pci_function *function)
{
    uint32_t length = function->window_length;
    uint32_t bytes = function->window_bar < PCI_BARS ? model->bar_size[function->window_bar] : 0;
    return (length == 1 || length == 2 || length == 4) && function->window_offset % length == 0 &&
           function->window_offset < bytes;
}

static uint32_t window_read(struct vcpu *vcpu, unsigned slot)
{
    const struct pci_function *function = &vcpu->vm->platform.pci[slot];
    if (!window_is_valid(slots[slot].model, function))
        return UINT32_MAX;
    return (uint32_t)bar_read(vcpu, slot, function->window_bar, function->window_offset, function->window_length);
}

static void window_write(struct vcpu *vcpu, unsigned slot, uint32_t value)
{
    const struct pci_function *function = &vcpu->vm->platform.pci[slot];
    if (window_is_valid(slots[slot].model, function))
        bar_write(vcpu, slot, function->window_bar, function->window_offset, function->window_length,
                  value & all_ones(function->window_length));
}

/* ---- configuration mechanism #1 ---- */

static uint64_t read_address(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    return offset == 0 && size == 4 ? vcpu->vm->platform.pci_host.address : all_ones(size);
}

/* Only a 32-bit write is for this register; CF9h, a byte in its midst, is the reset control register. */
#define RESET_CONTROL_OFFSET 1
#define RESET_CONTROL_RESET_CPU 0x04

static void write_address(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == 0 && size == 4)
        vcpu->vm->platform.pci_host.address = (uint32_t)value & ADDRESS_WRITABLE;
    else if (offset == RESET_CONTROL_OFFSET && size == 1 && (value & RESET_CONTROL_RESET_CPU))
        vcpu->vm->platform.end = PLATFORM_RESET;
}
const struct bus_ops pci_address_port = { read_address, write_address };

/* The slot that CONFIG_ADDRESS names; PCI_SLOTS: nobody. */
static unsigned addressed_slot(const struct vm *vm)
{
    uint32_t address = vm->platform.pci_host.address;
    if (!(address & ADDRESS_ENABLE) || ADDRESS_BUS(address) != 0 || ADDRESS_FUNCTION(address) != 0 ||
        !present(vm, ADDRESS_DEVICE(address)))
        return PCI_SLOTS;
    return ADDRESS_DEVICE(address);
}

static uint64_t read_data(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    unsigned slot = addressed_slot(vcpu->vm), at = ADDRESS_REGISTER(vcpu->vm->platform.pci_host.address) + (unsigned)offset;
    if (slot == PCI_SLOTS)
        return all_ones(size);
    if (is_window(slot, at))
        return window_read(vcpu, slot) >> 8 * (at % 4) & all_ones(size);
    return pci_config_read(slots[slot].model, &vcpu->vm->platform.pci[slot], at, size);
}

static void write_data(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vm *vm = vcpu->vm;
    unsigned slot = addressed_slot(vm), at = ADDRESS_REGISTER(vm->platform.pci_host.address) + (unsigned)offset;
    if (slot == PCI_SLOTS)
        return;
    if (is_window(slot, at)) {
        window_write(vcpu, slot, (uint32_t)value);
        return;
    }
    pci_config_write(slots[slot].model, &vm->platform.pci[slot], at, size, (uint32_t)value);
    vm->platform.pci_found.valid = false;
    update_intx(vm, slot);
    send_waiting(vm, slot);
}
const struct bus_ops pci_data_port = { read_data, write_data };
