/* PCI functions, found once at boot through configuration mechanism #1 (ports 0xCF8 and 0xCFC). */
#ifndef TELEPOD_PCI_H
#define TELEPOD_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/interrupt.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define PCI_DEVICES_MAX 64

struct pci_device {
    uint8_t bus, device, function;
    uint16_t vendor_id, device_id;
    uint8_t class_code, subclass, prog_if, revision;
    uint8_t interrupt_pin;              /* 0: none, 1: INTA# */
    uint8_t interrupt_line;             /* what the firmware wrote there */
};

void pci_init(void);                                       /* enumerates and logs */
uint32_t pci_count(void);
const struct pci_device *pci_get(uint32_t index);
uint32_t pci_read32(const struct pci_device *d, uint8_t offset);          /* offset: multiple of 4 */
void pci_write32(const struct pci_device *d, uint8_t offset, uint32_t value);
/* Base and size of memory BAR `index` (0..5; 64-bit BARs understood). ERR_NOT_FOUND: no memory BAR there. */
enum err pci_bar(const struct pci_device *d, uint32_t index, struct hpa *base, uint64_t *size);
void pci_enable(const struct pci_device *d);               /* memory space and bus master on, INTx enabled */

/*
 * Registers `handler` for the function's INTx pin, level-triggered, with the polarity of the I/O APIC input
 * that the pin reaches (kernel/pci_route.h says how that is known). As on any shared line, the handler must
 * bear being called when its device has nothing to say. ERR_NOT_FOUND: no pin, or no I/O APIC input is known.
 */
enum err pci_register_interrupt(const struct pci_device *d, interrupt_handler *handler, void *arg);

#endif
