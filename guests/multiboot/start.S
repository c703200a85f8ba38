/*
 * The Multiboot-1 guest's header and entry. The header gives no addresses: the ELF file does. EAX and EBX are as the loader
 * left them (Multiboot 0.6.96, 3.2 "Machine state"); a stack is the kernel's own business.
 *
 * void multiboot_main(uint32_t magic, const struct information *information); regparm(0)
 */
#define MAGIC 0x1badb002
#define FLAGS 0x3                       /* modules on page boundaries; memory sizes wanted */
#define STACK_BYTES 4096

    .section .header, "a"
    .align 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl _start
_start:
    mov     $stack_top, %esp
    push    %ebx
    push    %eax
    call    multiboot_main
1:  cli
    hlt
    jmp     1b

    .bss
    .align 16
    .skip STACK_BYTES
stack_top:

    .section .note.GNU-stack, "", @progbits
