/*
 * clock: numbered ticks on the serial port, and a watch over time itself.
 *
 *     tick N tsc T late L         N from 1; T the TSC when it is handled; L how far after its deadline, TSC ticks
 *     clock: ERROR ...            the TSC ran backwards; a tick came early, twice, or not at all
 *
 * Options: hz=20, count=0 (ticks until the verdict; 0: for ever).
 *
 * Tick n is due at start + n * period (lib/timer.h), so a machine that is moved makes up the ticks of its
 * downtime at once; their L says how long that was. The number of ticks is kept three times over, on two
 * pages and by two parties (main loop and interrupt handler): a page that a teleport leaves behind shows as a
 * difference.
 */
#include "guests/lib/guest.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

const char guest_name[] = "clock";

static uint64_t errors;

/* The second copy, alone on its page. */
static struct {
    uint64_t tick;
    char rest[PAGE_SIZE - sizeof(uint64_t)];
} witness __attribute__((section(".bss.cold"), aligned(PAGE_SIZE)));

static void check(uint64_t tick, uint64_t now)
{
    static uint64_t backward_seen;

    if (timer_backward_reads() != backward_seen) {
        backward_seen = timer_backward_reads();
        errors++;
        print("clock: ERROR the TSC ran backwards %lu times until tick %lu\n", backward_seen, tick);
    }
    if (now < timer_deadline(tick)) {
        errors++;
        print("clock: ERROR tick %lu came %lu TSC ticks early\n", tick, timer_deadline(tick) - now);
    }
    if (timer_interrupts() != tick) {
        errors++;
        print("clock: ERROR tick %lu is interrupt %lu\n", tick, timer_interrupts());
    }
    if (++witness.tick != tick) {
        errors++;
        print("clock: ERROR tick %lu is tick %lu on the other page\n", tick, witness.tick);
    }
}

void guest_main(void)
{
    uint64_t hz = option_number("hz", 20, 1, 10000);
    uint64_t count = option_number("count", 0, 0, UINT64_MAX);

    timer_start(hz);
    print("clock: %lu Hz, TSC %lu Hz, a tick every %lu\n", hz, timer_tsc_hz(), timer_period());
    for (uint64_t tick = 1; tick <= count || count == 0; tick++) {
        timer_arm(tick);
        timer_sleep();
        uint64_t now = timer_now();
        print("tick %lu tsc %lu late %lu\n", tick, now, now - timer_deadline(tick));
        check(tick, now);
    }
    if (errors)
        guest_fail("%lu errors", errors);
}
