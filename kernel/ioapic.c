/* Guarantees what ioapic.h says. Facts: Intel 82093AA data sheet, 3.1 "IOAPIC Registers". */
#include "kernel/ioapic.h"
#include "kernel/acpi.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/paging.h"

#define IOREGSEL 0x00
#define IOWIN 0x10
#define REGISTER_VERSION 0x01
#define REGISTER_REDIRECTION 0x10 /* two registers an entry, low half first */
#define VERSION_MAX_ENTRY_SHIFT 16
#define ENTRY_ACTIVE_LOW BIT(13)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION_SHIFT 24
#define DESTINATION_MAX 254

static struct {
    volatile uint8_t *registers;
    uint32_t gsi_base, gsi_count;
} io_apics[ACPI_IO_APICS_MAX];
static uint32_t io_apic_count;

static uint32_t register_read(volatile uint8_t *registers, uint32_t index)
{
    *(volatile uint32_t *)(registers + IOREGSEL) = index;
    return *(volatile uint32_t *)(registers + IOWIN);
}

static void register_write(volatile uint8_t *registers, uint32_t index, uint32_t value)
{
    *(volatile uint32_t *)(registers + IOREGSEL) = index;
    *(volatile uint32_t *)(registers + IOWIN) = value;
}

void ioapic_init(void)
{
    const struct acpi_info *acpi = acpi_get();

    for (uint32_t i = 0; i < acpi->io_apic_count; i++) {
        volatile void *mapped;
        if (paging_map_mmio(acpi->io_apics[i].base, PAGE_SIZE, &mapped)) {
            log_error("ioapic", "I/O APIC %u at %#lx cannot be mapped", i, acpi->io_apics[i].base.raw);
            continue;
        }
        uint32_t last = register_read(mapped, REGISTER_VERSION) >> VERSION_MAX_ENTRY_SHIFT & 0xff;
        for (uint32_t entry = 0; entry <= last; entry++)
            register_write(mapped, REGISTER_REDIRECTION + 2 * entry, ENTRY_MASKED);
        io_apics[io_apic_count].registers = mapped;
        io_apics[io_apic_count].gsi_base = acpi->io_apics[i].gsi_base;
        io_apics[io_apic_count++].gsi_count = last + 1;
        log_info("ioapic", "GSIs %u to %u at %#lx", acpi->io_apics[i].gsi_base, acpi->io_apics[i].gsi_base + last,
                 acpi->io_apics[i].base.raw);
    }
}

enum err ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
    if (apic_id > DESTINATION_MAX)
        return ERR_RANGE;
    for (uint32_t i = 0; i < io_apic_count; i++) {
        uint32_t entry = gsi - io_apics[i].gsi_base;
        uint64_t low = vector | (level ? ENTRY_LEVEL : 0) | (active_low ? ENTRY_ACTIVE_LOW : 0);
        if (gsi < io_apics[i].gsi_base || entry >= io_apics[i].gsi_count)
            continue;
        /* Masked first, unmasked last: the entry is never half old and half new while it is live. */
        register_write(io_apics[i].registers, REGISTER_REDIRECTION + 2 * entry, (uint32_t)(low | ENTRY_MASKED));
        register_write(io_apics[i].registers, REGISTER_REDIRECTION + 2 * entry + 1, apic_id << ENTRY_DESTINATION_SHIFT);
        register_write(io_apics[i].registers, REGISTER_REDIRECTION + 2 * entry, (uint32_t)low);
        return OK;
    }
    return ERR_NOT_FOUND;
}
