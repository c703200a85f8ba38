/*
 * void thread_switch(uint64_t *save_sp, uint64_t new_sp);
 *     Saves the callee-saved registers on the running stack and RSP in *save_sp, then takes up the thread that was saved
 *     with new_sp. Returns when someone switches back.
 * void thread_launch(uint64_t *save_sp, void *stack_top);
 *     The same, but starts a thread that never ran: thread_main() on an empty stack (16-byte aligned top). So nobody but
 *     the CPU that runs a thread ever touches its stack through the thread's creation.
 *
 * RFLAGS is not saved: IF is 0 on both sides, and the ABI wants DF = 0 at calls.
 */
.macro SAVE
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
.endm

.section .text.thread_switch, "ax"
.globl thread_switch
.type thread_switch, @function
thread_switch:
    SAVE
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size thread_switch, . - thread_switch

.section .text.thread_launch, "ax"
.globl thread_launch
.type thread_launch, @function
thread_launch:
    SAVE
    movq %rsi, %rsp
    xorl %ebp, %ebp             /* the end of the frame chain for backtraces */
    call thread_main            /* never returns */
    ud2
.size thread_launch, . - thread_launch
.section .note.GNU-stack, "", @progbits
