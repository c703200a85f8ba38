/*
 * void direct_enter(uint64_t entry, uint64_t boot_params, const struct direct_gdtr *gdtr)
 *   __attribute__((noreturn, sysv_abi)); RDI, RSI, RDX. Interrupts are off and all is identity-mapped, before and after.
 *
 * The state of Linux's 64-bit boot protocol: its GDT with 10h for CS and 18h for the rest, RSI = boot_params.
 */
    .text
    .globl direct_enter
direct_enter:
    cli
    lgdt    (%rdx)
    mov     $0x18, %eax
    mov     %eax, %ds
    mov     %eax, %es
    mov     %eax, %fs
    mov     %eax, %gs
    mov     %eax, %ss
    pushq   $0x10
    push    %rdi
    lretq

    .section .note.GNU-stack, "", @progbits
