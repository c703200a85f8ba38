/*
 * The few static ACPI tables that a pod needs, checked (signature, length, checksum, every entry within its
 * table) before a field is believed. A table that is bad is reported and treated as absent.
 */
#ifndef TELEPOD_ACPI_H
#define TELEPOD_ACPI_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/cpu.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define ACPI_IO_APICS_MAX 8
#define ACPI_OVERRIDES_MAX 24

struct acpi_io_apic { uint32_t id; struct hpa base; uint32_t gsi_base; };
struct acpi_override { uint8_t isa_irq; uint32_t gsi; bool level, active_low; };

struct acpi_info {
    uint32_t cpu_count; /* enabled CPUs of the MADT, x2APIC entries too; at most CPUS_MAX are kept */
    uint32_t apic_ids[CPUS_MAX];
    struct hpa local_apic;
    uint32_t io_apic_count;
    struct acpi_io_apic io_apics[ACPI_IO_APICS_MAX];
    uint32_t override_count;
    struct acpi_override overrides[ACPI_OVERRIDES_MAX];
    uint16_t pm_timer_port;                 /* 0: none */
    bool pm_timer_32bit;
    struct hpa hpet;                        /* raw 0: none */
    uint16_t pm1a_control_port;             /* for power-off; 0: none */
};

/* `rsdp` from boot_info. Memory is read through the direct map. Missing tables leave their fields 0. */
void acpi_init(struct hpa rsdp);
const struct acpi_info *acpi_get(void);
/* Powers the machine off (SLP_TYPa 0 and 5, SLP_EN); returns if that had no effect. */
void acpi_power_off(void);

#endif
