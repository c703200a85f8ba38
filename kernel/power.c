/* See power.h. */
#include "kernel/power.h"
#include <stddef.h>
#include <stdint.h>
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/console.h"
#include "kernel/thread.h"
#include "kernel/time.h"

#define BOCHS_DEBUG_PORT 0xE9          /* reads as its own number in Bochs */
#define BOCHS_SHUTDOWN_PORT 0x8900     /* takes the word, a byte at a time */
#define EFFECT_MS 1000

void power_off(void)
{
    console_flush();
    if (inb(BOCHS_DEBUG_PORT) == BOCHS_DEBUG_PORT)
        for (const char *c = "Shutdown"; *c; c++)
            outb(BOCHS_SHUTDOWN_PORT, (uint8_t)*c);
    acpi_power_off();
    thread_sleep_until(time_after_ms(EFFECT_MS));
}
