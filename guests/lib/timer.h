/*
 * Ticks by the LAPIC's TSC-deadline timer (SDM Vol. 3A, section 11.5.4.1 "TSC-Deadline Mode").
 *
 * **No drift, no lost tick**: tick n is due at start + n * period, whatever happened before. A machine that
 * stood still for a while (a teleport) finds its deadlines in the past and makes the ticks up, one by one.
 */
#ifndef TELEPOD_GUESTS_TIMER_H
#define TELEPOD_GUESTS_TIMER_H

#include <stdbool.h>
#include <stdint.h>

/* The TSC's frequency as CPUID gives it; ends the guest with a sentence where CPUID does not say. */
uint64_t timer_tsc_hz(void);

/* Takes the local APIC (x2APIC mode) into use; tick 1 is due one period from now. Interrupts stay off. */
void timer_start(uint64_t hz);
uint64_t timer_period(void);                /* TSC ticks */
uint64_t timer_deadline(uint64_t tick);     /* when tick n is due, TSC */

void timer_arm(uint64_t tick);              /* asks for the interrupt of tick n */
bool timer_fired(void);                     /* has the interrupt that was asked for come? */
void timer_sleep(void);                     /* halted until it has; interrupts off before and after */

/* Interrupts that came, ever: one for each that was asked for. */
uint64_t timer_interrupts(void);

/*
 * The TSC, which must not run backwards. Reads that did are counted, here and in the interrupt handler, against the
 * latest value that either has seen. Interrupts off.
 */
uint64_t timer_now(void);
uint64_t timer_backward_reads(void);

#endif
