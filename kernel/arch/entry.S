/*
 * void entry(struct boot_info *info);      the ELF entry point, called by the loader (boot/boot_info.h)
 * void entry_ap(struct cpu *cpu, void *stack_top);   where the trampoline jumps, on another CPU, with no stack yet
 *
 * Both leave whatever stack there was and call C on the kernel's own; neither callee returns. .bss is zero: the loader
 * cleared what the ELF file does not fill.
 */
#define BOOT_STACK_SIZE 32768

.section .text.entry, "ax"
.globl entry
.type entry, @function
entry:
    cli
    cld
    leaq boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp                 /* the end of the frame chain for backtraces */
    call kernel_main
    ud2
.size entry, . - entry

.globl entry_ap
.type entry_ap, @function
entry_ap:
    movq %rsi, %rsp
    xorl %ebp, %ebp
    call smp_ap_main
    ud2
.size entry_ap, . - entry_ap

.section .bss.boot_stack, "aw", @nobits
.balign 4096
boot_stack:
    .skip BOOT_STACK_SIZE
boot_stack_top:
.section .note.GNU-stack, "", @progbits
