/* Three registers of 32 bits: status and enable, control, timer. A narrower access is a part of one. */
#include "vmx/devices/acpi_pm.h"

#include <string.h>
#include "kernel/lib/util.h"

enum pm_register { PM1_EVENTS = 0, PM1_CONTROL = 4, PM_TIMER = 8 };

#define STATUS_TIMER 0x0001
#define STATUS_GLOBAL 0x0020
#define STATUS_POWER_BUTTON 0x0100
#define STATUS_RTC 0x0400
#define EVENTS (STATUS_TIMER | STATUS_GLOBAL | STATUS_POWER_BUTTON | STATUS_RTC)
#define ENABLE_SHIFT 16         /* PM1_EN is the upper half of the first register */

#define CONTROL_SCI_ENABLE 0x0001
#define CONTROL_BUS_MASTER_RELOAD 0x0002
#define CONTROL_SLEEP_TYPE(v) ((v) >> 10 & 7)
#define CONTROL_SLEEP_TYPE_MASK 0x1c00
#define CONTROL_SLEEP_ENABLE 0x2000
#define SLEEP_TYPE_S5 5         /* \_S5 in vmx/acpi/dsdt.asl */
#define CONTROL_KEPT (CONTROL_SCI_ENABLE | CONTROL_BUS_MASTER_RELOAD | CONTROL_SLEEP_TYPE_MASK)

#define CARRY_BIT 31            /* the FADT says that the timer has 32 bits: the status is set each time the highest changes */

void acpi_pm_reset(struct acpi_pm *pm)
{
    memset(pm, 0, sizeof *pm);
    pm->control = CONTROL_SCI_ENABLE;
}

static uint64_t timer(uint64_t now, uint64_t hz)
{
    return device_ticks_since((struct machine_time){ now, hz }, 0, ACPI_PM_TIMER_HZ);
}

void acpi_pm_advance(struct acpi_pm *pm, struct machine_time time)
{
    if (timer(time.now, time.hz) >> CARRY_BIT != timer(pm->seen, time.hz) >> CARRY_BIT && time.now > pm->seen)
        pm->status |= STATUS_TIMER;
    pm->seen = MAX(pm->seen, time.now);
}

bool acpi_pm_interrupt(const struct acpi_pm *pm)
{
    return pm->status & pm->enable;
}

uint64_t acpi_pm_next_deadline(const struct acpi_pm *pm, struct machine_time time)
{
    if (!(pm->enable & STATUS_TIMER) || acpi_pm_interrupt(pm))
        return MACHINE_TIME_NEVER;
    uint64_t carries = (timer(time.now, time.hz) >> CARRY_BIT) + 1;
    return machine_time_after(0, carries << CARRY_BIT, ACPI_PM_TIMER_HZ, time.hz);
}

static uint32_t read_register(const struct acpi_pm *pm, unsigned at, struct machine_time time)
{
    switch ((enum pm_register)at) {
    case PM1_EVENTS: return pm->status | (uint32_t)pm->enable << ENABLE_SHIFT;
    case PM1_CONTROL: return pm->control;
    case PM_TIMER: return (uint32_t)timer(time.now, time.hz);
    }
    return UINT32_MAX;
}

static uint32_t mask_of(unsigned size)
{
    return size >= 4 ? UINT32_MAX : (uint32_t)BIT(8 * size) - 1;
}

uint32_t acpi_pm_read(struct acpi_pm *pm, unsigned offset, unsigned size, struct machine_time time)
{
    if (offset % 4 + size > 4)
        return mask_of(size);
    if (offset < PM1_CONTROL)
        acpi_pm_advance(pm, time);
    return read_register(pm, offset & ~3u, time) >> 8 * (offset % 4) & mask_of(size);
}

/* A status bit is cleared by writing 1 to it; so a byte that is not written must not count as ones, nor as what was read. */
static void write_events(struct acpi_pm *pm, uint32_t value, uint32_t written)
{
    uint32_t enable = (uint32_t)pm->enable << ENABLE_SHIFT;
    pm->status &= (uint16_t)~(value & written);
    enable = (enable & ~written) | (value & written);
    pm->enable = (uint16_t)(enable >> ENABLE_SHIFT) & EVENTS;
}

bool acpi_pm_write(struct acpi_pm *pm, unsigned offset, unsigned size, uint32_t value, struct machine_time time)
{
    if (offset % 4 + size > 4)
        return false;
    unsigned shift = 8 * (offset % 4), at = offset & ~3u;
    uint32_t written = mask_of(size) << shift, merged = value << shift & written;
    if (at == PM1_EVENTS) {
        acpi_pm_advance(pm, time);
        write_events(pm, merged, written);
    }
    if (at != PM1_CONTROL)
        return false;
    merged |= pm->control & ~written;
    pm->control = (merged & CONTROL_KEPT) | CONTROL_SCI_ENABLE;
    return (merged & CONTROL_SLEEP_ENABLE) && CONTROL_SLEEP_TYPE(merged) == SLEEP_TYPE_S5;
}

static const struct field acpi_pm_fields[] = {
    FIELD(struct acpi_pm, status, 0),
    FIELD(struct acpi_pm, enable, 0),
    FIELD(struct acpi_pm, control, 0),
    FIELD(struct acpi_pm, seen, 0),
};
const struct section acpi_pm_section = {
    .name = "acpi-pm", .version = 1, .fields = acpi_pm_fields, .field_count = ARRAY_SIZE(acpi_pm_fields),
    .struct_size = sizeof(struct acpi_pm),
};
