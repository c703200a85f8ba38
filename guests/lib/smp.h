/*
 * Several processors. The first one starts the others by INIT-SIPI-SIPI (SDM Vol. 3A, section 9.4.4.1 "Typical BSP
 * Initialization Sequence"); each knows its number, 0 for the first, in the order in which they came. Local APICs are in
 * x2APIC mode.
 */
#ifndef TELEPOD_GUESTS_SMP_H
#define TELEPOD_GUESTS_SMP_H

#include <stdint.h>

/*
 * Starts all other processors, waits until `count` run, this one included, and ends the guest if they do not come. Each
 * calls main(its number), with interrupts off, on a stack of SMP_STACK_SIZE; main must not return. count <= CPUS_MAX.
 */
void smp_start(unsigned count, void (*main)(unsigned number));
unsigned smp_number(void);                                  /* of the calling processor; after smp_start */
uint32_t smp_apic_id(unsigned number);                      /* of a processor that has come */
void smp_send(uint32_t destination, uint32_t command);      /* writes the ICR: low half, x2APIC destination */
void smp_enter(uint32_t number);                            /* called by start.S */

#endif
