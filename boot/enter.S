/*
 * void enter_kernel(uint64_t cr3, uint64_t stack_top, uint64_t entry, const struct boot_info *info)
 * (noreturn)
 *
 * Registers: rdi = cr3, rsi = stack_top, rdx = entry, rcx = info (System V ABI). Runs in the low identity
 * map, which the old and the new page tables both have. The firmware's GDT stays in the segment registers;
 * its memory is free RAM for the kernel, which loads its own GDT and IDT before anything else needs one.
 */
#define IA32_EFER 0xc0000080
#define IA32_EFER_NXE 11
#define CR0_WP 16
#define CR4_PGE 7
#define CR4_CET 23

    .text
    .globl enter_kernel
    .type enter_kernel, @function
enter_kernel:
    cli
    cld
    movq %rdx, %r8                  /* WRMSR needs edx and ecx */
    movq %rcx, %r9

    movl $IA32_EFER, %ecx           /* before CR3: a set XD bit is a reserved bit without NXE */
    rdmsr
    btsl $IA32_EFER_NXE, %eax
    wrmsr

    movq %cr4, %rax
    btrq $CR4_CET, %rax             /* shadow stacks, if the firmware has any, are its own */
    btrq $CR4_PGE, %rax             /* forgets the firmware's global translations */
    movq %rax, %cr4
    movq %rdi, %cr3

    movq %cr0, %rax
    btsq $CR0_WP, %rax
    movq %rax, %cr0

    movq %rsi, %rsp
    xorl %ebp, %ebp                 /* the end of every backtrace */
    movq %r9, %rdi
    call *%r8                       /* the ABI's stack alignment; entry does not return */
1:  hlt
    jmp 1b
    .size enter_kernel, . - enter_kernel

    .section .note.GNU-stack, "", @progbits
