/*
 * The APIC timer: SDM Vol. 3A, section 11.5.4 "APIC Timer". The count is never ticked: it follows from the
 * guest TSC at which it will reach 0, so a machine that stood still for a teleport finds it where a running
 * one would.
 */
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"

/*
 * A periodic timer shorter than this expires again before the exit that its expiry causes is over. Its expiries are
 * looked at only after so many ticks, and those that came meanwhile count as one.
 */
#define SHORT_PERIOD_TICKS 4096

static uint32_t timer_mode(const struct lapic *lapic)
{
    return lapic->timer_mode;
}

/* Figure 11-10: bits 0, 1 and 3 are a number from 0 (divide by 2) to 6 (by 128); 7 divides by 1. */
static uint64_t divisor(uint32_t divide_configuration)
{
    uint32_t code = (divide_configuration & 3) | (divide_configuration >> 1 & 4);

    return 1ull << ((code + 1) & 7);
}

/* Guest TSC ticks for which one value of the current count lasts. */
static uint64_t ticks_per_count(const struct lapic *lapic)
{
    return lapic->bus_divisor * divisor(lapic->timer_divide);
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* "Software disarmed" and "count at 0" are the same to both kinds of timer. */
static void disarm(struct lapic *lapic)
{
    lapic->timer_due = 0;
    lapic->tsc_deadline = 0;
}

uint32_t lapic_timer_current_count(const struct lapic *lapic, uint64_t now)
{
    uint64_t counts;

    if (lapic->timer_due <= now)
        return 0;
    counts = (lapic->timer_due - now - 1) / ticks_per_count(lapic) + 1;
    return (uint32_t)MIN(counts, lapic->timer_initial_count);
}

/*
 * "A write of 0 to the initial-count register effectively stops the local APIC timer, in both one-shot and
 * periodic mode."
 */
void lapic_timer_set_initial_count(struct lapic *lapic, uint64_t now, uint32_t count)
{
    if (timer_mode(lapic) == LVT_TIMER_TSC_DEADLINE)
        count = 0; /* "writes to the initial-count register are ignored": it is 0 in this mode */
    lapic_put(lapic, REG_INITIAL_COUNT, count);
    lapic->timer_initial_count = count;
    lapic->timer_due = count != 0 ? add_saturating(now, count * ticks_per_count(lapic)) : 0;
}

/* What is left of the count lasts as much longer or shorter as the new divisor says. */
void lapic_timer_set_divide(struct lapic *lapic, uint64_t now, uint32_t divide_configuration)
{
    uint64_t before = divisor(lapic->timer_divide);
    uint64_t after = divisor(divide_configuration);

    lapic_put(lapic, REG_DIVIDE_CONFIGURATION, divide_configuration);
    lapic->timer_divide = divide_configuration;
    if (lapic->timer_due > now) {
        uint64_t left = lapic->timer_due - now;

        /* Divisors are powers of two up to 128: only the multiplication can overflow. */
        left = left / before > UINT64_MAX / after ? UINT64_MAX : mul_div_u64(left, after, before);
        lapic->timer_due = add_saturating(now, MAX(left, 1));
    }
}

/*
 * Section 11.5.4.1 "TSC-Deadline Mode": a transition between TSC-deadline mode and the other modes disarms
 * the timer. Between one-shot and periodic the manual says nothing: the running count goes on, and a count
 * that reached 0 stays there.
 */
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt)
{
    bool was_deadline = timer_mode(lapic) == LVT_TIMER_TSC_DEADLINE;

    lapic_put(lapic, REG_LVT_TIMER, lvt);
    lapic->timer_mode = lvt & LVT_TIMER_MODE_MASK;
    if (was_deadline != (timer_mode(lapic) == LVT_TIMER_TSC_DEADLINE)) {
        disarm(lapic);
        lapic_put(lapic, REG_INITIAL_COUNT, 0);
        lapic->timer_initial_count = 0;
    }
}

void lapic_timer_reset(struct lapic *lapic)
{
    disarm(lapic);
    lapic->timer_mode = lapic->timer_initial_count = lapic->timer_divide = 0;
}

void lapic_timer_set_tsc_deadline(struct lapic *lapic, uint64_t now, uint64_t deadline)
{
    if (timer_mode(lapic) != LVT_TIMER_TSC_DEADLINE)
        return; /* "the IA32_TSC_DEADLINE MSR reads zero and writes are ignored" */
    lapic->tsc_deadline = deadline;
    lapic_advance(lapic, now);
}

/* Guest TSC of the next expiry, whether anybody sees it or not; 0: none. */
static uint64_t next_expiry(const struct lapic *lapic)
{
    return timer_mode(lapic) == LVT_TIMER_TSC_DEADLINE ? lapic->tsc_deadline : lapic->timer_due;
}

static uint64_t period_ticks(const struct lapic *lapic)
{
    return lapic->timer_initial_count * ticks_per_count(lapic);
}

static bool is_short_period(const struct lapic *lapic)
{
    return timer_mode(lapic) == LVT_TIMER_PERIODIC && period_ticks(lapic) < SHORT_PERIOD_TICKS;
}

uint64_t lapic_next_deadline(const struct lapic *lapic)
{
    uint64_t expiry = next_expiry(lapic);

    if (expiry == 0 || (lapic_get(lapic, REG_LVT_TIMER) & LVT_MASKED) != 0)
        return UINT64_MAX;
    return is_short_period(lapic) ? add_saturating(expiry, SHORT_PERIOD_TICKS) : expiry;
}

/* The next multiple of the period after `now`, in phase with the one that has passed. */
static uint64_t next_period(const struct lapic *lapic, uint64_t now)
{
    uint64_t period = period_ticks(lapic);
    uint64_t into_period = (now - lapic->timer_due) % period;

    return add_saturating(now, period - into_period);
}

void lapic_advance(struct lapic *lapic, uint64_t now)
{
    uint64_t expiry = next_expiry(lapic);

    if (expiry == 0 || expiry > now)
        return;
    if (timer_mode(lapic) == LVT_TIMER_PERIODIC)
        lapic->timer_due = next_period(lapic, now);
    else
        disarm(lapic); /* one-shot: the count stays at 0; TSC deadline: the processor clears the MSR */
    lapic_deliver_lvt(lapic, lapic_get(lapic, REG_LVT_TIMER));
}

void lapic_tsc_moved(struct lapic *lapic, uint64_t before, uint64_t after)
{
    if (lapic->timer_due == 0)
        return;
    lapic_advance(lapic, before);
    if (lapic->timer_due > before)
        lapic->timer_due = add_saturating(after, lapic->timer_due - before);
}
