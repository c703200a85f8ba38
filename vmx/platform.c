/* The devices together: power-on, their interrupt lines, and their clocks. */
#include "vmx/platform.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/wall_clock.h"
#include "vmx/interrupts.h"
#include "vmx/platform_ports.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

/* The lines of a PC (ISA numbers, which are the I/O APIC's as well; 0 arrives there at pin 2). */
enum platform_line { LINE_TIMER = 0, LINE_COM1 = 4, LINE_RTC = 8, LINE_SCI = 9 };

void platform_init(struct vm *vm)
{
    struct platform *platform = &vm->platform;
    const struct machine_time power_on = { 0, vm->guest_tsc_hz };
    memset(platform, 0, sizeof *platform);
    uart_reset(&platform->uart);
    pit_reset(&platform->pit);
    rtc_reset(&platform->rtc, wall_clock_now(), power_on);
    acpi_pm_reset(&platform->pm);
    pic_reset(&platform->pic);
    ioapic_reset(&platform->ioapic, (uint8_t)vm->config.vcpus); /* no APIC ID of a processor's */
    pci_power_on(vm);
}

struct machine_time platform_time(const struct vm *vm)
{
    return (struct machine_time){ vm_machine_time(vm), vm->guest_tsc_hz };
}

/* ---- interrupt lines ---- */

/* The I/O APIC knows how the line is: most accesses to a device change nothing. */
static void set_line(struct vm *vm, enum platform_line line, bool level)
{
    if ((vm->platform.ioapic.lines >> line & 1) != level)
        vm_set_gsi(vm, line, level);
}

void platform_update_lines(struct vm *vm)
{
    const struct platform *platform = &vm->platform;
    set_line(vm, LINE_COM1, uart_interrupt(&platform->uart));
    set_line(vm, LINE_RTC, rtc_interrupt(&platform->rtc));
    set_line(vm, LINE_SCI, acpi_pm_interrupt(&platform->pm));
}

/* ---- clocks ---- */

uint64_t platform_next_deadline(const struct vm *vm)
{
    const struct machine_time time = platform_time(vm);
    uint64_t rtc = rtc_next_deadline(&vm->platform.rtc, time), pm = acpi_pm_next_deadline(&vm->platform.pm, time);
    return MIN(vm->platform.pit.next_edge, MIN(rtc, pm));
}

void platform_advance(struct vm *vm, uint64_t now)
{
    const struct machine_time time = { now, vm->guest_tsc_hz };
    if (pit_advance(&vm->platform.pit, time)) {
        vm_set_gsi(vm, LINE_TIMER, true); /* an edge: both controllers remember it */
        vm_set_gsi(vm, LINE_TIMER, false);
    }
    rtc_advance(&vm->platform.rtc, time);
    acpi_pm_advance(&vm->platform.pm, time);
    platform_update_lines(vm);
}
