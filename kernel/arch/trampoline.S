/*
 * extern const char trampoline_start[], trampoline_end[];     copied to a low frame, run there
 *
 * A CPU that gets a start-up IPI with vector VV begins here in real mode, CS = VV00H, IP = 0 (SDM Vol. 3A, 9.4.4 "MP
 * Initialization Example"). Steps, as in 10.8.5 "Initializing IA-32e Mode": protected mode, CR4.PAE, CR3, EFER.LME, CR0.PG,
 * then a far jump to 64-bit code and to entry_ap(cpu, stack_top). Position: EBX holds the frame's address; the three
 * places that need it as an immediate are patched by the code itself.
 */
#include "kernel/arch/trampoline.h"

#define CR0_PE 1
#define IA32_EFER 0xc0000080
#define CODE_32 0x08
#define CODE_64 0x10
#define DATA_32 0x18
#define OFFSET(label) ((label) - trampoline_start)

.section .rodata.trampoline, "a"
.balign 16
.globl trampoline_start, trampoline_end
trampoline_start:
.code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movzwl %ax, %ebx
    shll $4, %ebx                                   /* the frame's physical address */
    addl %ebx, OFFSET(gdt_pointer) + 2
    addl %ebx, OFFSET(far_32)
    addl %ebx, OFFSET(far_64)
    lgdtl OFFSET(gdt_pointer)
    movl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl *OFFSET(far_32)

.code32
protected_mode:
    movw $DATA_32, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl TRAMPOLINE_PARAM_CR4(%ebx), %eax
    movl %eax, %cr4
    movl TRAMPOLINE_PARAM_CR3(%ebx), %eax
    movl %eax, %cr3
    movl $IA32_EFER, %ecx
    movl TRAMPOLINE_PARAM_EFER(%ebx), %eax
    xorl %edx, %edx
    wrmsr
    movl TRAMPOLINE_PARAM_CR0(%ebx), %eax
    movl %eax, %cr0                                 /* paging: long mode is active, in its compatibility mode */
    ljmpl *OFFSET(far_64)(%ebx)

.code64
long_mode:
    movl %ebx, %ebx                                 /* the upper half was undefined */
    movq TRAMPOLINE_PARAM_CPU(%rbx), %rdi
    movq TRAMPOLINE_PARAM_STACK(%rbx), %rsi
    jmpq *TRAMPOLINE_PARAM_ENTRY(%rbx)

.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff                        /* CODE_32: flat, execute/read, accessed */
    .quad 0x00af9b000000ffff                        /* CODE_64 */
    .quad 0x00cf93000000ffff                        /* DATA_32: flat, read/write, accessed */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long OFFSET(gdt)
.balign 8
far_32:
    .long OFFSET(protected_mode)
    .word CODE_32
.balign 8
far_64:
    .long OFFSET(long_mode)
    .word CODE_64
trampoline_end:
.section .note.GNU-stack, "", @progbits
