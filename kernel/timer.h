/*
 * Timers of one CPU, on its LAPIC (TSC-deadline mode where there, one-shot else). The callback runs in the interrupt window
 * or from thread_yield: it may note and wake, arm and cancel timers, and nothing more.
 */
#ifndef TELEPOD_TIMER_H
#define TELEPOD_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
    uint64_t deadline;                 /* TSC */
    void (*fn)(struct timer *timer);   /* set by the owner before timer_arm */
    struct timer *next;                /* kernel/timer.c's */
    bool armed;
};

void timer_arm(struct timer *timer, uint64_t deadline);  /* on the calling CPU; re-arms if armed; the past fires at once */
void timer_cancel(struct timer *timer);                  /* on the CPU that armed it; no effect if not armed */

void timer_init(void);                                   /* boot: chooses the LAPIC timer mode; calls the next */
void timer_init_cpu(void);                               /* boot: on each other CPU */

#endif
