/*
 * PCI by configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2). What the firmware assigned
 * (buses, BARs, routes) is kept. The list is built once, on one CPU; the two ports are shared and have a
 * lock.
 */
#include "kernel/pci.h"

#include <stddef.h>
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/lib/bitmap.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/pci_route.h"
#include "kernel/spinlock.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE BIT(31)

/* Configuration space header (6.1, and 3.2 of the bridge specification) */
enum {
    REG_ID = 0x00,
    REG_COMMAND = 0x04,
    REG_CLASS = 0x08,
    REG_HEADER_TYPE = 0x0c,
    REG_BAR0 = 0x10,
    REG_BUSES = 0x18,
    REG_INTERRUPT = 0x3c
};
#define NO_VENDOR 0xffff
#define HEADER_TYPE(reg) ((reg) >> 16 & 0x7f)
#define HEADER_MULTI_FUNCTION BIT(23)
#define HEADER_TYPE_NORMAL 0
#define HEADER_TYPE_BRIDGE 1
#define SECONDARY_BUS(reg) ((uint8_t)((reg) >> 8))

#define COMMAND_IO BIT(0)
#define COMMAND_MEMORY BIT(1)
#define COMMAND_BUS_MASTER BIT(2)
#define COMMAND_INTX_DISABLE BIT(10)
#define COMMAND_MASK 0xffffu /* above it is the status register, whose bits are cleared by writing ones */

#define BARS 6u
#define BAR_IO BIT(0)
#define BAR_TYPE_MASK (3u << 1)
#define BAR_TYPE_64 (2u << 1)
#define BAR_ADDRESS_MASK (~0xfULL)

#define CLASS_BRIDGE 0x06
#define SUBCLASS_ISA_BRIDGE 0x01
#define SUBCLASS_PCI_BRIDGE 0x04

#define BUSES 256u
#define DEVICES 32u
#define FUNCTIONS 8u

static struct spinlock lock = SPINLOCK_INIT;
static struct pci_device devices[PCI_DEVICES_MAX];
static uint32_t device_count;

static uint32_t config_address(const struct pci_device *d, uint8_t offset)
{
    return (uint32_t)(CONFIG_ENABLE | (uint32_t)d->bus << 16 | (uint32_t)d->device << 11 |
                      (uint32_t)d->function << 8 | (offset & 0xfcu));
}

uint32_t pci_read32(const struct pci_device *d, uint8_t offset)
{
    spinlock_acquire(&lock);
    outl(CONFIG_ADDRESS, config_address(d, offset));
    uint32_t value = inl(CONFIG_DATA);
    spinlock_release(&lock);
    return value;
}

void pci_write32(const struct pci_device *d, uint8_t offset, uint32_t value)
{
    spinlock_acquire(&lock);
    outl(CONFIG_ADDRESS, config_address(d, offset));
    outl(CONFIG_DATA, value);
    spinlock_release(&lock);
}

static void fill(struct pci_device *d, uint32_t id)
{
    uint32_t class = pci_read32(d, REG_CLASS), interrupt = pci_read32(d, REG_INTERRUPT);
    d->vendor_id = (uint16_t)id;
    d->device_id = (uint16_t)(id >> 16);
    d->class_code = (uint8_t)(class >> 24);
    d->subclass = (uint8_t)(class >> 16);
    d->prog_if = (uint8_t)(class >> 8);
    d->revision = (uint8_t)class;
    d->interrupt_pin = (uint8_t)(interrupt >> 8);
    d->interrupt_line = (uint8_t)interrupt;
}

/*
 * Notes the function if it is there, and the bus behind it if it is a bridge; its header register, or 0 if it
 * is absent.
 */
static uint32_t add_function(uint8_t bus, uint8_t device, uint8_t function, struct bitmap *buses)
{
    struct pci_device d = { .bus = bus, .device = device, .function = function };
    uint32_t id = pci_read32(&d, REG_ID);
    if ((uint16_t)id == NO_VENDOR)
        return 0;
    fill(&d, id);
    uint32_t header = pci_read32(&d, REG_HEADER_TYPE);
    if (HEADER_TYPE(header) == HEADER_TYPE_BRIDGE && SECONDARY_BUS(pci_read32(&d, REG_BUSES)) > bus)
        bitmap_set(buses, SECONDARY_BUS(pci_read32(&d, REG_BUSES)));
    if (device_count == PCI_DEVICES_MAX)
        log_error("pci", "%02x:%02x.%x is one function too many, ignored", bus, device, function);
    else
        devices[device_count++] = d;
    log_info("pci", "%02x:%02x.%x %04x:%04x class %02x.%02x pin %u line %u", bus, device, function,
             d.vendor_id, d.device_id, d.class_code, d.subclass, d.interrupt_pin, d.interrupt_line);
    return header;
}

static void scan_bus(uint8_t bus, struct bitmap *buses)
{
    for (uint8_t device = 0; device < DEVICES; device++) {
        uint32_t header = add_function(bus, device, 0, buses);
        for (uint8_t function = 1; (header & HEADER_MULTI_FUNCTION) && function < FUNCTIONS; function++)
            add_function(bus, device, function, buses);
    }
}

void pci_init(void)
{
    uint64_t words[BUSES / 64] = { 1 };     /* bus 0 */
    struct bitmap buses = { words, BUSES };
    for (uint64_t bus = 0; bus != BITMAP_NONE; bus = bitmap_next(&buses, bus + 1))
        scan_bus((uint8_t)bus, &buses);     /* adds higher buses only, so that this ends */
}

uint32_t pci_count(void)
{
    return device_count;
}

const struct pci_device *pci_get(uint32_t index)
{
    return index < device_count ? &devices[index] : NULL;
}

/* What a BAR reads when all ones are written: zeros where the address bits are wired. */
static uint32_t bar_mask(const struct pci_device *d, uint8_t offset)
{
    uint32_t value = pci_read32(d, offset);
    pci_write32(d, offset, UINT32_MAX);
    uint32_t mask = pci_read32(d, offset);
    pci_write32(d, offset, value);
    return mask;
}

static void read_memory_bar(const struct pci_device *d, uint8_t offset, uint64_t *value, uint64_t *mask)
{
    uint32_t low = pci_read32(d, offset);
    *value = low;
    *mask = bar_mask(d, offset) | 0xffffffffULL << 32;
    if ((low & BAR_TYPE_MASK) == BAR_TYPE_64) {
        *value |= (uint64_t)pci_read32(d, offset + 4) << 32;
        *mask = (uint32_t)*mask | (uint64_t)bar_mask(d, offset + 4) << 32;
    }
}

enum err pci_bar(const struct pci_device *d, uint32_t index, struct hpa *base, uint64_t *size)
{
    uint8_t offset = (uint8_t)(REG_BAR0 + index * sizeof(uint32_t));
    uint64_t value, mask;
    if (index >= BARS || HEADER_TYPE(pci_read32(d, REG_HEADER_TYPE)) != HEADER_TYPE_NORMAL ||
        (pci_read32(d, offset) & BAR_IO))
        return ERR_NOT_FOUND;
    /* While its BAR holds ones, the device must not answer. */
    uint32_t command = pci_read32(d, REG_COMMAND) & COMMAND_MASK;
    pci_write32(d, REG_COMMAND, (uint32_t)(command & ~(COMMAND_IO | COMMAND_MEMORY)));
    read_memory_bar(d, offset, &value, &mask);
    pci_write32(d, REG_COMMAND, command);
    base->raw = value & BAR_ADDRESS_MASK;
    *size = ~(mask & BAR_ADDRESS_MASK) + 1;
    return base->raw && (uint32_t)mask ? OK : ERR_NOT_FOUND;
}

void pci_enable(const struct pci_device *d)
{
    uint32_t command = pci_read32(d, REG_COMMAND) & COMMAND_MASK;
    command |= COMMAND_MEMORY | COMMAND_BUS_MASTER;
    pci_write32(d, REG_COMMAND, (uint32_t)(command & ~COMMAND_INTX_DISABLE));
}

static const struct pci_device *find_class(uint8_t subclass, const struct pci_device *after)
{
    for (const struct pci_device *d = after ? after + 1 : devices; d < devices + device_count; d++)
        if (d->class_code == CLASS_BRIDGE && d->subclass == subclass)
            return d;
    return NULL;
}

static const struct pci_device *bridge_to(uint8_t bus)
{
    const struct pci_device *bridge = NULL;
    while ((bridge = find_class(SUBCLASS_PCI_BRIDGE, bridge)) != NULL)
        if (SECONDARY_BUS(pci_read32(bridge, REG_BUSES)) == bus)
            break;
    return bridge;
}

/*
 * The pin as it arrives on bus 0; pin 0 if it does not. Ends, as a bridge's secondary bus is higher than its
 * own.
 */
static struct pci_pin pin_on_bus_0(const struct pci_device *d)
{
    struct pci_pin pin = { d->device, d->interrupt_pin, d->interrupt_line };
    uint8_t bus = d->bus;
    while (bus != 0 && pin.pin != 0) {
        const struct pci_device *bridge = bridge_to(bus);
        pin.pin = bridge && bridge->bus < bus ? pci_pin_through_bridge(pin.device, pin.pin) : 0;
        pin.device = bridge ? bridge->device : 0;
        bus = bridge ? bridge->bus : 0;
    }
    return pin;
}

enum err pci_register_interrupt(const struct pci_device *d, interrupt_handler *handler, void *arg)
{
    const struct pci_device *isa = find_class(SUBCLASS_ISA_BRIDGE, NULL);
    enum pci_router router = isa ? pci_router_of(isa->vendor_id, isa->device_id) : PCI_ROUTER_UNKNOWN;
    uint32_t routes = router == PCI_ROUTER_PIIX ? pci_read32(isa, PCI_PIIX_ROUTES_OFFSET) : 0;
    struct pci_gsi input = { 0, false };
    enum err e = pci_route(router, routes, pin_on_bus_0(d), acpi_get(), &input);
    if (e == OK)
        e = interrupt_register_gsi(input.gsi, true, input.active_low, handler, arg);
    if (e == OK)
        log_info("pci", "%02x:%02x.%x interrupts at GSI %u, active %s", d->bus, d->device, d->function,
                 (unsigned)input.gsi, input.active_low ? "low" : "high");
    else
        log_error("pci", "%02x:%02x.%x pin %u: no interrupt input: %s", d->bus, d->device, d->function,
                  d->interrupt_pin, err_name(e));
    return e;
}
