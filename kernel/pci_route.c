/* See kernel/pci_route.h. */
#include "kernel/pci_route.h"

#include <stddef.h>
#include "kernel/lib/util.h"

#define VENDOR_INTEL 0x8086
#define PINS 4u
#define ISA_IRQS 16u
#define FIRST_PIRQ_GSI 16u
#define PIIX_ROUTE_DISABLED 0x80u
#define ICH9_FIRST_INTERNAL_DEVICE 25u
#define ICH9_PCI_BRIDGE_DEVICE 30u

static const struct { uint16_t device_id; enum pci_router router; } routers[] = {
    { 0x122e, PCI_ROUTER_PIIX },    /* 82371FB PIIX */
    { 0x7000, PCI_ROUTER_PIIX },    /* 82371SB PIIX3 */
    { 0x7110, PCI_ROUTER_PIIX },    /* 82371AB PIIX4 */
    { 0x2918, PCI_ROUTER_ICH9 },    /* 82801IB ICH9 */
};

enum pci_router pci_router_of(uint16_t vendor_id, uint16_t device_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(routers); i++)
        if (vendor_id == VENDOR_INTEL && routers[i].device_id == device_id)
            return routers[i].router;
    return PCI_ROUTER_UNKNOWN;
}

uint8_t pci_pin_through_bridge(uint8_t device, uint8_t pin)
{
    return (uint8_t)((pin - 1u + device) % PINS + 1u);
}

/*
 * PCI's lines are level-triggered and active low; an override may say that the ISA input is wired otherwise.
 */
static enum err isa_input(uint32_t irq, const struct acpi_info *acpi, struct pci_gsi *out)
{
    if (irq == 0 || irq >= ISA_IRQS)
        return ERR_NOT_FOUND;
    *out = (struct pci_gsi){ .gsi = irq, .active_low = true };
    for (uint32_t i = 0; i < acpi->override_count; i++)
        if (acpi->overrides[i].isa_irq == irq)
            *out = (struct pci_gsi){ .gsi = acpi->overrides[i].gsi,
                                     .active_low = acpi->overrides[i].active_low };
    return OK;
}

static enum err pirq_input(uint32_t pirq, struct pci_gsi *out)
{
    *out = (struct pci_gsi){ .gsi = FIRST_PIRQ_GSI + pirq, .active_low = true };
    return OK;
}

static enum err route_piix(uint32_t routes, struct pci_pin pin, const struct acpi_info *acpi,
                           struct pci_gsi *out)
{
    uint32_t pirq = (pin.device - 1u + pin.pin - 1u) % PINS;
    uint32_t route = routes >> 8 * pirq & 0xff;
    return route & PIIX_ROUTE_DISABLED ? pirq_input(pirq, out) : isa_input(route, acpi, out);
}

static enum err route_ich9(struct pci_pin pin, struct pci_gsi *out)
{
    uint32_t index = pin.pin - 1u;
    if (pin.device < ICH9_FIRST_INTERNAL_DEVICE)
        return pirq_input(PINS + (pin.device + index) % PINS, out);
    return pirq_input(pin.device == ICH9_PCI_BRIDGE_DEVICE ? PINS + index : index, out);
}

enum err pci_route(enum pci_router router, uint32_t routes, struct pci_pin pin, const struct acpi_info *acpi,
                   struct pci_gsi *out)
{
    if (pin.pin == 0 || pin.pin > PINS)
        return ERR_NOT_FOUND;
    switch (router) {
    case PCI_ROUTER_PIIX:
        return route_piix(routes, pin, acpi, out);
    case PCI_ROUTER_ICH9:
        return route_ich9(pin, out);
    default:
        return isa_input(pin.line, acpi, out);
    }
}
