/*
 * PCI bus 0 of a guest's machine: which function sits in which slot, its accesses, and its interrupts.
 *
 * A device puts a line into the table of vmx/pci_bus.c: its model and its struct pci_ops. vm->device_lock is held
 * around all of this.
 */
#ifndef TELEPOD_PCI_BUS_H
#define TELEPOD_PCI_BUS_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/pci.h"

struct vcpu;
struct vm;
struct guest_config;

enum pci_slot { PCI_SLOT_BRIDGE, PCI_SLOT_NET, PCI_SLOT_BLOCK, PCI_SLOT_CONSOLE, PCI_SLOT_ENTROPY, PCI_SLOTS };

/* A page of a BAR that was found, until a BAR or a command register changes; BARs do not share pages. */
struct pci_found {
    bool valid;
    uint8_t slot, bar;
    uint64_t page;                  /* guest-physical */
    uint64_t offset;                /* of the page in the BAR */
};

/* Accesses to a BAR, but for the MSI-X table and pending bits, which the bus answers. size: 1, 2, 4 or 8. */
struct pci_ops {
    uint64_t (*read)(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size);
    void (*write)(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size, uint64_t value);
};

/* Bits of the slots that this configuration fills. */
uint32_t pci_slots_of(const struct guest_config *config);
/* Power-on: the functions that vm->config asks for, their BARs one after the other in the window, as firmware does it. */
void pci_power_on(struct vm *vm);

/* For devices. The vector of an MSI-X message (nothing happens while MSI-X is off), and the level of the pin. */
void pci_raise_msix(struct vm *vm, unsigned slot, unsigned vector);
void pci_set_intx(struct vm *vm, unsigned slot, bool level);
/* Is MSI-X on? Otherwise the device uses its pin. */
bool pci_uses_msix(const struct vm *vm, unsigned slot);
/* May it read and write guest memory (Command.BusMaster)? */
bool pci_may_dma(const struct vm *vm, unsigned slot);

/* For the bus. *ok false: no BAR lies there. */
uint64_t pci_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned size, bool *ok);
bool pci_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value);

#endif
