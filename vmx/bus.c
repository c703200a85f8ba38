/* The tables of ports and addresses, and how an access finds its device. */
#include "vmx/bus.h"

#include "kernel/lib/util.h"
#include "vmx/apicv.h"
#include "vmx/devices/ioapic.h"
#include "vmx/devices/pic.h"
#include "vmx/pci_bus.h"
#include "vmx/platform_ports.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define NOTHING_THERE 0xff

struct port_range {
    uint16_t first, last;
    uint8_t widest;                 /* bytes of an access that reach the device at once */
    const struct bus_ops *ops;
};

/* The ports of a PC, those that are used most first. */
static const struct port_range port_ranges[] = {
    { 0x3f8, 0x3ff, 1, &uart_ports },
    { 0x61, 0x61, 1, &control_port },
    { 0x40, 0x43, 1, &pit_ports },
    { 0xcf8, 0xcfb, 4, &pci_address_port },
    { 0xcfc, 0xcff, 4, &pci_data_port },
    { 0x600, 0x600 + ACPI_PM_PORT_COUNT - 1, 4, &acpi_pm_ports },
    { 0x70, 0x71, 1, &rtc_ports },
    { PIC_MASTER_COMMAND, PIC_MASTER_DATA, 1, &pic_master_ports },
    { PIC_SLAVE_COMMAND, PIC_SLAVE_DATA, 1, &pic_slave_ports },
    { PIC_ELCR_MASTER, PIC_ELCR_SLAVE, 1, &pic_elcr_ports },
    { 0x510, 0x511, 2, &fw_cfg_ports },
    { 0xf4, 0xf4, 1, &exit_port },
    { 0x2000, 0x2000 + IOAPIC_PINS - 1, 1, &test_line_ports },
};

static const struct port_range *find_range(uint16_t port)
{
    for (unsigned i = 0; i < ARRAY_SIZE(port_ranges); i++)
        if (port >= port_ranges[i].first && port <= port_ranges[i].last)
            return &port_ranges[i];
    return NULL;
}

/* One access that a single device answers; or a byte that none does. */
static uint32_t read_range(struct vcpu *vcpu, const struct port_range *range, uint16_t port, unsigned size)
{
    if (range)
        return (uint32_t)range->ops->read(vcpu, port - range->first, size);
    vm_note_stray(vcpu->vm, &vcpu->vm->stray_ports, "nothing answers at port", port);
    return NOTHING_THERE;
}

static void write_range(struct vcpu *vcpu, const struct port_range *range, uint16_t port, unsigned size, uint32_t value)
{
    if (range)
        range->ops->write(vcpu, port - range->first, size, value);
    else
        vm_note_stray(vcpu->vm, &vcpu->vm->stray_ports, "nothing answers at port", port);
}

static bool takes_whole(const struct port_range *range, uint16_t port, unsigned size)
{
    return size == 1 || (range && size <= range->widest && port + size - 1 <= range->last);
}

/* With the lock let go: a device may have ended the machine. */
static void finish_access(struct vcpu *vcpu)
{
    struct platform *platform = &vcpu->vm->platform;
    switch ((enum platform_end)platform->end) {
    case PLATFORM_GOES_ON:
        return;
    case PLATFORM_EXIT_CODE:
        vcpu_stop_guest(vcpu, "exit code %u", platform->exit_code);
        return;
    case PLATFORM_POWER_OFF:
        vcpu_stop_guest(vcpu, "powered off");
        return;
    case PLATFORM_RESET:
        vcpu_stop_guest(vcpu, "asked for a reset");
        return;
    }
}

uint32_t bus_port_read(struct vcpu *vcpu, uint16_t port, unsigned size)
{
    const struct port_range *range = find_range(port);
    uint32_t value = 0;
    spinlock_acquire(&vcpu->vm->device_lock);
    if (takes_whole(range, port, size))
        value = read_range(vcpu, range, port, size);
    else
        for (unsigned i = 0; i < size; i++) {
            uint16_t at = (uint16_t)(port + i);
            value |= read_range(vcpu, find_range(at), at, 1) << 8 * i;
        }
    spinlock_release(&vcpu->vm->device_lock);
    return value;
}

void bus_port_write(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value)
{
    const struct port_range *range = find_range(port);
    spinlock_acquire(&vcpu->vm->device_lock);
    if (takes_whole(range, port, size))
        write_range(vcpu, range, port, size, value);
    else
        for (unsigned i = 0; i < size; i++) {
            uint16_t at = (uint16_t)(port + i);
            write_range(vcpu, find_range(at), at, 1, value >> 8 * i & 0xff);
        }
    spinlock_release(&vcpu->vm->device_lock);
    finish_access(vcpu);
}

/* ---- memory-mapped registers ---- */

static uint64_t all_ones(unsigned size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : BIT(8 * size) - 1;
}

static void note_stray_address(struct vm *vm, uint64_t gpa)
{
    vm_note_stray(vm, &vm->stray_addresses, "nothing answers in the page at", gpa & ~(uint64_t)(PAGE_SIZE - 1));
}

static bool is_ioapic(uint64_t gpa)
{
    return gpa >= IOAPIC_BASE && gpa - IOAPIC_BASE < IOAPIC_MMIO_SIZE;
}

static uint64_t read_device(struct vcpu *vcpu, uint64_t gpa, unsigned size, bool *found)
{
    *found = true;
    if (is_ioapic(gpa))
        return ioapic_registers.read(vcpu, gpa - IOAPIC_BASE, size);
    return pci_mmio_read(vcpu, gpa, size, found);
}

static bool write_device(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    if (!is_ioapic(gpa))
        return pci_mmio_write(vcpu, gpa, size, value);
    ioapic_registers.write(vcpu, gpa - IOAPIC_BASE, size, value);
    return true;
}

/* The processor's own APIC is before the bus: it needs no lock, and its EOI takes the lock itself. */
uint64_t bus_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned size)
{
    bool found;
    if (vcpu_apic_covers(vcpu, gpa))
        return vcpu_apic_read(vcpu, gpa, size);
    spinlock_acquire(&vcpu->vm->device_lock);
    uint64_t value = read_device(vcpu, gpa, size, &found);
    spinlock_release(&vcpu->vm->device_lock);
    if (!found)
        note_stray_address(vcpu->vm, gpa);
    return value & all_ones(size);
}

void bus_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    if (vcpu_apic_covers(vcpu, gpa)) {
        vcpu_apic_write(vcpu, gpa, size, value);
        return;
    }
    spinlock_acquire(&vcpu->vm->device_lock);
    bool found = write_device(vcpu, gpa, size, value);
    spinlock_release(&vcpu->vm->device_lock);
    if (!found)
        note_stray_address(vcpu->vm, gpa);
    finish_access(vcpu);
}
