/*
 * Interrupt vectors and handlers. Handlers run with IF = 0 on the interrupted stack, note what happened, wake a thread,
 * and return; EOI is sent by the dispatcher.
 */
#ifndef TELEPOD_INTERRUPT_H
#define TELEPOD_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

typedef void interrupt_handler(void *arg);

/* Opens the interrupt window once (STI; NOP; CLI): pending interrupts are handled on return. */
void interrupt_window(void);

/* A handler for one of the kernel's fixed vectors (kernel/lapic.h). ERR_NO_MEMORY. */
enum err interrupt_handle_vector(uint8_t vector, interrupt_handler *handler, void *arg);

/*
 * Routes a global system interrupt of the I/O APIC to `handler` on the calling CPU and unmasks it, by a vector that was
 * free. Several handlers may share a level-triggered GSI: all are called. ERR_NOT_FOUND: no I/O APIC has this GSI.
 * ERR_NO_MEMORY: no vector is left.
 */
enum err interrupt_register_gsi(uint32_t gsi, bool level, bool active_low, interrupt_handler *handler, void *arg);

/* An ISA IRQ with the MADT's source overrides applied (edge, active high unless overridden). */
enum err interrupt_register_isa(uint8_t irq, interrupt_handler *handler, void *arg);

void interrupt_init(void);                               /* boot: masks the 8259s, LAPIC and I/O APICs on */
void interrupt_dispatch(uint64_t vector);                /* from trap_dispatch */

#endif
