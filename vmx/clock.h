/*
 * The guest's TSC as a line over the host's: guest = host * multiplier / 2^48 + offset, the arithmetic of the
 * processor's own TSC scaling and offsetting (SDM 25.6.5 "Time-Stamp Counter Offset and Multiplier"). Pure. All
 * sums are modulo 2^64.
 */
#ifndef TELEPOD_VMX_CLOCK_H
#define TELEPOD_VMX_CLOCK_H

#include <stdint.h>

#define TSC_MULTIPLIER_FRACTION_BITS 48
#define TSC_MULTIPLIER_ONE (1ULL << TSC_MULTIPLIER_FRACTION_BITS)

struct guest_clock {
    uint64_t multiplier; /* guest ticks per host tick, 16.48 fixed point; not 0 */
    uint64_t offset;     /* guest ticks, two's complement */
};

/* The multiplier for these frequencies; guest_hz / host_hz must be below 2^16, host_hz not 0. */
static inline uint64_t clock_multiplier(uint64_t guest_hz, uint64_t host_hz)
{
    return (uint64_t)(((unsigned __int128)guest_hz << TSC_MULTIPLIER_FRACTION_BITS) / host_hz);
}

static inline uint64_t clock_scale(const struct guest_clock *c, uint64_t host_ticks)
{
    if (c->multiplier == TSC_MULTIPLIER_ONE)
        return host_ticks;
    return (uint64_t)((unsigned __int128)host_ticks * c->multiplier >> TSC_MULTIPLIER_FRACTION_BITS);
}

static inline uint64_t clock_guest_tsc(const struct guest_clock *c, uint64_t host_tsc)
{
    return clock_scale(c, host_tsc) + c->offset;
}

/* Sets the offset so that the guest's TSC is `guest_tsc` when the host's is `host_tsc`. */
static inline void clock_set(struct guest_clock *c, uint64_t guest_tsc, uint64_t host_tsc)
{
    c->offset = guest_tsc - clock_scale(c, host_tsc);
}

/*
 * The first host TSC, from `host_now` on, at which the guest's TSC has reached `guest_tsc`: never early, late by no
 * more than a tick of the slower clock. UINT64_MAX stays UINT64_MAX ("never"), and so does what lies beyond the
 * host's 64 bits.
 */
static inline uint64_t clock_host_tsc_at(const struct guest_clock *c, uint64_t guest_tsc, uint64_t host_now)
{
    uint64_t guest_now = clock_guest_tsc(c, host_now);
    if (guest_tsc == UINT64_MAX)
        return UINT64_MAX;
    if (guest_tsc <= guest_now)
        return host_now;
    unsigned __int128 ahead = guest_tsc - guest_now;
    if (c->multiplier != TSC_MULTIPLIER_ONE)
        ahead = ((ahead << TSC_MULTIPLIER_FRACTION_BITS) + c->multiplier - 1) / c->multiplier;
    return ahead > UINT64_MAX - host_now ? UINT64_MAX : host_now + (uint64_t)ahead;
}

#endif
