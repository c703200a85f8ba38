/*
 * The time that a machine's devices go by: ticks of the guest's TSC, which stand still while the machine is paused. The
 * conversions to a device's own rate are exact to a tick, for thousands of years. Pure.
 */
#ifndef TELEPOD_DEVICES_MACHINE_TIME_H
#define TELEPOD_DEVICES_MACHINE_TIME_H

#include <stdint.h>

struct machine_time {
    uint64_t now;   /* ticks */
    uint64_t hz;    /* ticks a second, not 0 */
};

#define MACHINE_TIME_NEVER UINT64_MAX

/* ticks * to / from, rounded down. The product fits 64 bits in all but rare cases: no long division then. */
static inline uint64_t ticks_convert(uint64_t ticks, uint64_t to_hz, uint64_t from_hz)
{
    uint64_t product;
    if (!__builtin_mul_overflow(ticks, to_hz, &product))
        return product / from_hz;
    return (uint64_t)((unsigned __int128)ticks * to_hz / from_hz);
}

/* Whole ticks of a device at `device_hz` since `start`; 0 if that is still to come. */
static inline uint64_t device_ticks_since(struct machine_time time, uint64_t start, uint64_t device_hz)
{
    return time.now <= start ? 0 : ticks_convert(time.now - start, device_hz, time.hz);
}

/* The first machine time at which that many device ticks have passed since `start`; MACHINE_TIME_NEVER beyond all time. */
static inline uint64_t machine_time_after(uint64_t start, uint64_t device_ticks, uint64_t device_hz, uint64_t hz)
{
    unsigned __int128 ticks = ((unsigned __int128)device_ticks * hz + device_hz - 1) / device_hz;
    return ticks >= MACHINE_TIME_NEVER - start ? MACHINE_TIME_NEVER : start + (uint64_t)ticks;
}

#endif
