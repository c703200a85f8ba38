/*
 * Interrupts and exceptions. Every vector below VECTOR_COUNT has a gate. One that nobody asked for is
 * reported with its vector, error code and RIP, and ends the guest.
 */
#ifndef TELEPOD_GUESTS_INTERRUPT_H
#define TELEPOD_GUESTS_INTERRUPT_H

#include <stdint.h>
#include "guests/lib/machine.h"

/* As stubs.S and the processor leave it. A handler may change it: IRET takes the changed values. */
struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct interrupt_frame) == 22 * 8, "must match stubs.S");

/* SDM Vol. 3A, figure 8-11 "64-Bit TSS Format". */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "must match start.S");
extern struct tss tss;

typedef void interrupt_handler(struct interrupt_frame *frame);

void interrupt_init(void);
void interrupt_load(void);      /* on each other processor: the same gates for it */
void interrupt_set_handler(unsigned vector, interrupt_handler *handler);   /* vector < VECTOR_COUNT; NULL: none */
/* The vector runs on the stack in tss.ist[ist - 1]; 0: on the stack that it interrupts. */
void interrupt_set_stack(unsigned vector, unsigned ist);
/* End of interrupt: the handler of a LAPIC vector calls it once. */
void interrupt_end(void);

#endif
