/*
 * Firmware of 64 KiB that does what guests/ABI.md says a pod does, and nothing else: copies a guest's image
 * to 0x8000, leaves the command line and the RAM size, turns x2APIC mode on, and enters the guest in real
 * mode. With it a guest runs on a bare (emulated) machine, which is the ground truth for what it should do on
 * a pod. See guests/bare/run.sh.
 *
 * GUEST_IMAGE: the image as a flat binary; GUEST_COMMAND_LINE: a string; GUEST_RAM_SIZE: bytes, below 4 GiB.
 */
#include "guests/lib/machine.h"

#define IMAGE_ADDRESS 0x8000
#define CODE_OFFSET 0xF000
#define RESET_OFFSET 0xFFF0         /* SDM Vol. 3A, section 10.1.4 "First Instruction Executed" */

    .section .rom, "ax"
    .code16
image:
    .incbin GUEST_IMAGE
image_end:

    .org CODE_OFFSET
code:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw $(image - image), %si      /* the CS base is that of this ROM */
    movw $IMAGE_ADDRESS, %di
    movw $(image_end - image), %cx
    rep movsb %cs:(%si), %es:(%di)
    movw $(command_line - image), %si
    movw $COMMAND_LINE_ADDRESS, %di
    movw $(command_line_end - command_line), %cx
    rep movsb %cs:(%si), %es:(%di)
    movl $GUEST_RAM_SIZE, RAM_SIZE_ADDRESS
    movl $IA32_APIC_BASE, %ecx
    rdmsr
    orl $(IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD), %eax
    wrmsr
    ljmp $(IMAGE_ADDRESS >> 4), $0

command_line:
    .asciz GUEST_COMMAND_LINE
command_line_end:

    .org RESET_OFFSET
    jmp code
    .org 0x10000

    .section .note.GNU-stack, "", @progbits
