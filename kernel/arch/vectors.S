/*
 * extern const char vector_stubs[];            256 entries of 16 bytes: the targets of the IDT's gates
 * void descriptors_load_cs(void);
 * void trap_capture(struct trap_frame *frame);
 *
 * A stub makes the stack the same for all vectors (an error code, 0 where the processor pushes none, and the vector) and
 * joins trap_common, which saves every general-purpose register. The processor has aligned RSP to 16 before it pushed 5
 * quadwords; with error code, vector and 15 registers that makes 22, so RSP is aligned again at the call.
 */
#include "kernel/arch/trap.h"

.section .text.vectors, "ax"
.balign VECTOR_STUB_SIZE
.globl vector_stubs
vector_stubs:
.macro STUB has_error_code
    .balign VECTOR_STUB_SIZE
    .if (\has_error_code) == 0
        pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
.endm
.set vector, 0
.rept VECTOR_FIRST_EXTERNAL
    STUB ((VECTORS_WITH_ERROR_CODE) >> vector) & 1
.endr
.rept VECTOR_COUNT - VECTOR_FIRST_EXTERNAL
    STUB 0
.endr
.balign VECTOR_STUB_SIZE

.type trap_common, @function
trap_common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
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
    call trap_dispatch
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp                  /* vector and error code */
    iretq
.size trap_common, . - trap_common

.section .text.descriptors_load_cs, "ax"
.globl descriptors_load_cs
.type descriptors_load_cs, @function
descriptors_load_cs:
    popq %rax                       /* the return address becomes a far return's offset */
    pushq $0x08                     /* KERNEL_CS */
    pushq %rax
    lretq
.size descriptors_load_cs, . - descriptors_load_cs

.section .text.trap_capture, "ax"
.globl trap_capture
.type trap_capture, @function
trap_capture:
    movq %r15, 0(%rdi)
    movq %r14, 8(%rdi)
    movq %r13, 16(%rdi)
    movq %r12, 24(%rdi)
    movq %r11, 32(%rdi)
    movq %r10, 40(%rdi)
    movq %r9, 48(%rdi)
    movq %r8, 56(%rdi)
    movq %rbp, 64(%rdi)
    movq %rdi, 72(%rdi)
    movq %rsi, 80(%rdi)
    movq %rdx, 88(%rdi)
    movq %rcx, 96(%rdi)
    movq %rbx, 104(%rdi)
    movq %rax, 112(%rdi)
    movq $0, 120(%rdi)
    movq $0, 128(%rdi)
    movq (%rsp), %rax
    movq %rax, 136(%rdi)            /* rip: the caller's */
    movq %cs, %rax
    movq %rax, 144(%rdi)
    pushfq
    popq 152(%rdi)
    leaq 8(%rsp), %rax
    movq %rax, 160(%rdi)            /* rsp after the return */
    movq %ss, %rax
    movq %rax, 168(%rdi)
    ret
.size trap_capture, . - trap_capture
.section .note.GNU-stack, "", @progbits
