/*
 * The fixed hardware of ACPI (ACPI Specification 6.4, 4.8.3 "PM1 Event Grouping", 4.8.3.2 "PM1 Control", 4.8.3.3 "Power
 * Management Timer"): the system control interrupt, power-off, and the timer. There is no SMM: the machine is in ACPI
 * mode from the start. The power button is there, and nobody presses it. Pure.
 */
#ifndef TELEPOD_DEVICES_ACPI_PM_H
#define TELEPOD_DEVICES_ACPI_PM_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/machine_time.h"
#include "vmx/fields.h"

#define ACPI_PM_TIMER_HZ 3579545u
#define ACPI_PM_PORT_COUNT 12   /* from the block's base: events 0 to 3, control 4 and 5, timer 8 to 11 */

struct acpi_pm {
    uint16_t status, enable;    /* PM1_STS, PM1_EN */
    uint16_t control;           /* PM1_CNT, without its write-only bits */
    uint64_t seen;              /* machine time up to which status tells of the timer's carries */
};
extern const struct section acpi_pm_section;

void acpi_pm_reset(struct acpi_pm *pm);

/* size: 1, 2 or 4, inside the block. */
uint32_t acpi_pm_read(struct acpi_pm *pm, unsigned offset, unsigned size, struct machine_time time);
/* True: the guest has asked to be powered off (S5). */
bool acpi_pm_write(struct acpi_pm *pm, unsigned offset, unsigned size, uint32_t value, struct machine_time time);

/* The timer's carry; then the level of the SCI, and when it may change by itself. */
void acpi_pm_advance(struct acpi_pm *pm, struct machine_time time);
bool acpi_pm_interrupt(const struct acpi_pm *pm);
uint64_t acpi_pm_next_deadline(const struct acpi_pm *pm, struct machine_time time);

#endif
