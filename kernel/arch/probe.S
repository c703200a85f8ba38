/*
 * bool probe_read8(const volatile void *address, uint8_t *out);
 * bool probe_write8(volatile void *address, uint8_t value);
 * bool probe_rdmsr(uint32_t msr, uint64_t *out);
 * bool probe_wrmsr(uint32_t msr, uint64_t value);
 *
 * Each has one instruction that may fault; .fixup holds pairs (address of that instruction, where to go on), which
 * trap_dispatch() looks up. System V ABI; only caller-saved registers are changed.
 */
.macro MAY_FAULT
    .section .fixup, "a"
    .quad 1f, probe_failed
    .previous
1:
.endm

.macro FUNCTION name
    .section .text.\name, "ax"
    .globl \name
    .type \name, @function
\name:
.endm

FUNCTION probe_read8
    MAY_FAULT
    movb (%rdi), %al
    movb %al, (%rsi)
    movl $1, %eax
    ret
.size probe_read8, . - probe_read8

FUNCTION probe_write8
    MAY_FAULT
    movb %sil, (%rdi)
    movl $1, %eax
    ret
.size probe_write8, . - probe_write8

FUNCTION probe_rdmsr
    movl %edi, %ecx
    MAY_FAULT
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, (%rsi)
    movl $1, %eax
    ret
.size probe_rdmsr, . - probe_rdmsr

FUNCTION probe_wrmsr
    movl %edi, %ecx
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    MAY_FAULT
    wrmsr
    movl $1, %eax
    ret
.size probe_wrmsr, . - probe_wrmsr

FUNCTION probe_failed
    xorl %eax, %eax
    ret
.size probe_failed, . - probe_failed
.section .note.GNU-stack, "", @progbits
