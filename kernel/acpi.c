/* The pod's view of ACPI: kernel/acpi_tables.c on real memory, and power-off. */
#include "kernel/acpi.h"

#include <stddef.h>
#include "kernel/acpi_tables.h"
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/page.h"
#include "mm/paging.h"

/* PM1 control register (ACPI Specification 6.5, 4.8.3.2.1 "PM1 Control Registers"). */
#define PM1_CNT_SLP_TYP_SHIFT 10
#define PM1_CNT_SLP_TYP_MASK (7u << PM1_CNT_SLP_TYP_SHIFT)
#define PM1_CNT_SLP_EN (1u << 13)

static struct acpi_info acpi;

/*
 * Firmware should keep its tables in ACPI memory, which is in the direct map; some leave one in reserved
 * memory.
 */
static const void *map_physical(void *context, struct hpa phys, uint64_t size)
{
    volatile void *registers;
    (void)context;
    if (phys.raw + size < phys.raw || phys.raw + size > VMAP_BASE - DIRECT_MAP_BASE)
        return NULL;
    if (paging_is_mapped((uint64_t)hpa_to_virt(phys), size))
        return hpa_to_virt(phys);
    return paging_map_mmio(phys, size, &registers) == OK ? (const void *)registers : NULL;
}

static void report_bad_table(void *context, const char *table, const char *reason)
{
    (void)context;
    log_error("acpi", "%s %s", table, reason);
}

void acpi_init(struct hpa rsdp)
{
    const struct acpi_reader reader = { map_physical, report_bad_table, NULL };
    acpi_parse(&acpi, rsdp, &reader);
    log_info("acpi", "%u CPUs, %u I/O APICs, %u overrides, PM timer port 0x%x, HPET 0x%llx",
             (unsigned)acpi.cpu_count, (unsigned)acpi.io_apic_count, (unsigned)acpi.override_count,
             (unsigned)acpi.pm_timer_port, (unsigned long long)acpi.hpet.raw);
}

const struct acpi_info *acpi_get(void)
{
    return &acpi;
}

void acpi_power_off(void)
{
    /*
     * The value for soft-off is in the DSDT's \_S5 object, in AML, which we do not interpret. It is 0 on the
     * PIIX4 and the ICH9 of Bochs and QEMU, and 5 on several real chipsets.
     */
    static const uint16_t soft_off_types[] = { 0, 5 };
    if (acpi.pm1a_control_port == 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(soft_off_types); i++) {
        uint16_t control = (uint16_t)(inw(acpi.pm1a_control_port) & ~(PM1_CNT_SLP_TYP_MASK | PM1_CNT_SLP_EN));
        control |= (uint16_t)(soft_off_types[i] << PM1_CNT_SLP_TYP_SHIFT);
        outw(acpi.pm1a_control_port, control | PM1_CNT_SLP_EN);
    }
}
