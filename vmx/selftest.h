/* The lab's self-test of vmx/, run inside a pod beside its guests. */
#ifndef TELEPOD_VMX_SELFTEST_H
#define TELEPOD_VMX_SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

/*
 * For two seconds takes all pages from all running guests, again and again, and gives each back when it is missed: so
 * exits happen in the middle of the delivery of interrupts, NMIs and exceptions, where the processor reads the IDT and
 * writes the stack. Not while a teleport runs. The guests must not notice: run `inject` meanwhile. *value: deliveries that
 * were cut short and begun again; false if there was none.
 */
bool vmx_selftest_delivery(uint64_t *value);

#endif
