/*
 * Into guest mode and back.
 *
 *   enum vmx_result vmx_enter(struct vcpu *vcpu, bool launched);
 *
 * The vCPU's VMCS is current and complete but for HOST_RSP, which is written here when the stack pointer is another
 * one than the last time. Uses VMRESUME if `launched`, else VMLAUNCH. Returns VMX_SUCCEED after a VM exit, with the
 * guest's general-purpose registers in vcpu->gpr (RSP, RIP and RFLAGS are in the VMCS); VMX_FAIL_* if guest mode
 * was not entered.
 *
 *   void vmx_exit_point(void);
 *
 * HOST_RIP: the processor comes here at every VM exit, with RSP = HOST_RSP, RFLAGS = 2 and the guest's other
 * registers.
 *
 * Register contract: System V; callee-saved registers are on the stack while the guest runs. FPU, vector and debug
 * registers and the MSRs of struct vcpu_loaded are not touched: they stay the guest's (vmx/loaded.c).
 */
#include "vmx/entry_offsets.h"

    .text
    .global vmx_enter
    .type vmx_enter, @function
vmx_enter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi                           /* vmx_exit_point finds the vCPU at HOST_RSP */
    cmp %rsp, VCPU_HOST_RSP(%rdi)
    je 1f
    mov %rsp, VCPU_HOST_RSP(%rdi)
    mov $HOST_RSP_FIELD, %eax
    vmwrite %rsp, %rax
1:  test %sil, %sil                     /* ZF survives the loads: MOV changes no flags */
    mov VCPU_RAX(%rdi), %rax
    mov VCPU_RCX(%rdi), %rcx
    mov VCPU_RDX(%rdi), %rdx
    mov VCPU_RBX(%rdi), %rbx
    mov VCPU_RBP(%rdi), %rbp
    mov VCPU_RSI(%rdi), %rsi
    mov VCPU_R8(%rdi), %r8
    mov VCPU_R9(%rdi), %r9
    mov VCPU_R10(%rdi), %r10
    mov VCPU_R11(%rdi), %r11
    mov VCPU_R12(%rdi), %r12
    mov VCPU_R13(%rdi), %r13
    mov VCPU_R14(%rdi), %r14
    mov VCPU_R15(%rdi), %r15
    mov VCPU_RDI(%rdi), %rdi
    jz 2f
    vmresume
    jmp 3f
2:  vmlaunch
3:  mov $1, %eax                        /* CF: VMfailInvalid, else ZF: VMfailValid */
    jc vmx_return
    mov $2, %eax
    jmp vmx_return

    .global vmx_exit_point
vmx_exit_point:
    push %rdi
    mov 8(%rsp), %rdi
    mov %rax, VCPU_RAX(%rdi)
    mov %rcx, VCPU_RCX(%rdi)
    mov %rdx, VCPU_RDX(%rdi)
    mov %rbx, VCPU_RBX(%rdi)
    mov %rbp, VCPU_RBP(%rdi)
    mov %rsi, VCPU_RSI(%rdi)
    mov %r8, VCPU_R8(%rdi)
    mov %r9, VCPU_R9(%rdi)
    mov %r10, VCPU_R10(%rdi)
    mov %r11, VCPU_R11(%rdi)
    mov %r12, VCPU_R12(%rdi)
    mov %r13, VCPU_R13(%rdi)
    mov %r14, VCPU_R14(%rdi)
    mov %r15, VCPU_R15(%rdi)
    pop VCPU_RDI(%rdi)
    xor %eax, %eax

vmx_return:
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size vmx_enter, . - vmx_enter

    .section .note.GNU-stack, "", @progbits
