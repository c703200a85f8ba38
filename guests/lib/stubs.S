/*
 * The way into the interrupt handlers, one stub a vector, 16 bytes each, from interrupt_stubs.
 *
 *     extern const char interrupt_stubs[VECTOR_COUNT][16];
 *     void interrupt_dispatch(struct interrupt_frame *frame);    (interrupt.c)
 *
 * A stub completes the frame (an error code of 0 where the processor pushes none, then the vector); the
 * common part saves all general registers, so that a handler may look at them and change them: struct
 * interrupt_frame, lowest address first.
 */
#include "guests/lib/machine.h"

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP push an error code (SDM Vol. 3A, table 6-1). */
#define ERROR_CODE_VECTORS 0x00227D00

    .text
    .code64
    .balign 16
    .global interrupt_stubs
interrupt_stubs:
    .set vector, 0
    .rept VECTOR_COUNT
    .balign 16
    .if (vector >= 32) || !((ERROR_CODE_VECTORS >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr

interrupt_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    call interrupt_dispatch
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp                    /* vector, error code */
    iretq

    .section .note.GNU-stack, "", @progbits
