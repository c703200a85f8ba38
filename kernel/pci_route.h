/*
 * From a PCI function's interrupt pin to the I/O APIC input that it drives. In general only the firmware's
 * AML (_PRT) knows; we do not interpret AML, and know instead the chipsets that we meet:
 *
 *   82371 (PIIX, PIIX3, PIIX4), in Bochs and in QEMU's "pc": pin p of device d drives PIRQ (d - 1 + p) mod 4,
 *   and the bridge's registers 60H to 63H route each PIRQ to an ISA interrupt. The firmware fills them. Both
 *   emulators raise that ISA input of the I/O APIC too (QEMU no other; Bochs also input 16 + PIRQ, which
 *   stays masked here and costs nothing). A PIRQ that is not routed can only be seen at 16 + PIRQ.
 *
 *   82801 ICH9, in QEMU's "q35": PIRQA to PIRQH are inputs 16 to 23. Pin p of device d < 25 drives PIRQ 4 +
 *   (d + p) mod 4; devices 25 and up are the chipset's own, with PIRQ p (device 30: 4 + p).
 *
 *   anything else: the interrupt line register, taken as an ISA interrupt.
 *
 * Behind a PCI-to-PCI bridge pins rotate: pin p of device d appears as pin (p + d) mod 4 of the bridge
 * (PCI-to-PCI Bridge Architecture Specification 1.2, 9.1 "Interrupt Routing"). Pure.
 */
#ifndef TELEPOD_PCI_ROUTE_H
#define TELEPOD_PCI_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/acpi.h"
#include "kernel/lib/err.h"

enum pci_router { PCI_ROUTER_UNKNOWN = 0, PCI_ROUTER_PIIX, PCI_ROUTER_ICH9 };
#define PCI_PIIX_ROUTES_OFFSET 0x60     /* PIRQRCA# to PIRQRCD# of the PIIX, one byte each */

struct pci_pin {
    uint8_t device;     /* on bus 0 */
    uint8_t pin;        /* 1: INTA# .. 4: INTD# */
    uint8_t line;       /* the interrupt line register */
};

struct pci_gsi { uint32_t gsi; bool active_low; };

/* What routes interrupts, by the ISA bridge's identity. */
enum pci_router pci_router_of(uint16_t vendor_id, uint16_t device_id);

/* The pin of a bridge that pin `pin` of `device` behind it appears as. */
uint8_t pci_pin_through_bridge(uint8_t device, uint8_t pin);

/* `routes`: the PIIX's four route bytes, first in the lowest. ERR_NOT_FOUND: no pin, or nothing is known. */
enum err pci_route(enum pci_router router, uint32_t routes, struct pci_pin pin, const struct acpi_info *acpi,
                   struct pci_gsi *out);

#endif
