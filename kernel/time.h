/*
 * Time is the TSC, from 0 at reset, invariant, the same on all CPUs of a pod; its frequency is measured at boot against
 * the ACPI PM timer or HPET, never believed from CPUID. A pod's clock never goes back.
 */
#ifndef TELEPOD_TIME_H
#define TELEPOD_TIME_H

#include <stdint.h>

uint64_t time_now(void);                       /* TSC ticks (RDTSC) */
uint64_t time_tsc_hz(void);                    /* measured ticks a second */
const char *time_calibration_source(void);     /* "acpi-pm", "hpet" or "pit" */
uint64_t time_from_us(uint64_t us);            /* microseconds -> ticks */
uint64_t time_to_us(uint64_t ticks);
uint64_t time_to_ns(uint64_t ticks);
static inline uint64_t time_after_us(uint64_t us) { return time_now() + time_from_us(us); }
static inline uint64_t time_after_ms(uint64_t ms) { return time_now() + time_from_us(ms * 1000); }

void time_init(void);                          /* calibrates; after acpi_init */

#endif
