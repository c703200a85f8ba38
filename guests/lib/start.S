/*
 * From real mode to C. Guarantees that guest_main() runs in 64-bit mode with
 *   - the first 4 GiB mapped one to one by 2 MiB pages, writable and executable;
 *   - GDT, IDT and a TSS loaded, a stack, interrupts off, COM1 at 115200 8N1.
 *
 *     void guest_start(void);                   (guest.c) called at the end, does not return
 *     void smp_enter(uint32_t index);           (smp.c) the same for the other processors, weak
 *     extern uint32_t smp_arrived;              (smp.c) counts them as they come; each takes its number from it
 *     extern uint8_t smp_stacks[][SMP_STACK_SIZE];    (smp.c) of processor 1, 2 ...
 *     extern const char guest_real_mode_message[], guest_protected_mode_message[];
 *
 * The two messages are sent from the mode that they name; a guest that defines none of them says nothing (weak).
 *
 * Entry (guests/ABI.md): real mode, CS:IP = 0x800:0, the other segments 0, IF = 0. No stack is used before
 * 64-bit mode. The other processors come here too, by start-up IPIs to this page, once smp.c has set smp_starting: they
 * go the same way past what is done already. Steps: SDM Vol. 3A, section 10.9.1 "Switching to Protected Mode" and 10.8.5
 * "Initializing IA-32e Mode".
 */
#include "guests/lib/machine.h"

/* outb VALUE to PORT; clobbers AL, DX. Any mode. */
.macro PORT_WRITE port, value
    movw $\port, %dx
    movb $\value, %al
    outb %al, %dx
.endm

/* Sends the string at (R)SI; clobbers AL, BL, DX, (R)SI. The same text assembles for 16 and for 32 bits. */
.macro PRINT
1:  lodsb
    testb %al, %al
    jz 3f
    movb %al, %bl
    movw $UART_LSR, %dx
2:  inb %dx, %al
    testb $UART_LSR_THRE, %al
    jz 2b
    movw $UART_DATA, %dx
    movb %bl, %al
    outb %al, %dx
    jmp 1b
3:
.endm

#define PAGE_TABLE_FLAGS 0x23         /* present, writable, accessed */
#define LARGE_PAGE_FLAGS 0xE3         /* present, writable, accessed, dirty, 2 MiB */
#define PAGE_DIRECTORIES 4            /* of 1 GiB each */

    .section .start, "ax"
    .code16
    .global start
start:
    ljmp $0, $real_mode               /* CS base 0: offsets are addresses from here on */
real_mode:
    cld
    cmpb $0, smp_starting
    jne leave_real_mode
    PORT_WRITE UART_LCR, UART_LCR_DLAB
    PORT_WRITE UART_DATA, UART_DIVISOR_115200
    PORT_WRITE UART_IER, 0                  /* divisor, high byte */
    PORT_WRITE UART_LCR, UART_LCR_8N1
    PORT_WRITE UART_IER, 0                  /* no interrupts: we poll */
    PORT_WRITE UART_FCR, UART_FCR_ENABLE_CLEAR
    PORT_WRITE UART_MCR, UART_MCR_DTR_RTS
    movl $guest_real_mode_message, %esi
    PRINT

leave_real_mode:
    lgdtl gdt_pointer
    movl %cr0, %eax
    orl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl $SELECTOR_CODE32, $protected_mode

    .code32
protected_mode:
    movw $SELECTOR_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    cmpb $0, smp_starting
    jne enable_paging
    movl $guest_protected_mode_message, %esi
    PRINT

    /* One PML4 entry, four page directories, 2048 large pages. A and D are set here, so the processor need not. */
    movl $(pdpt + PAGE_TABLE_FLAGS), pml4
    movl $(page_directories + PAGE_TABLE_FLAGS), %eax
    movl $pdpt, %edi
    movl $PAGE_DIRECTORIES, %ecx
1:  movl %eax, (%edi)
    addl $PAGE_SIZE, %eax
    addl $8, %edi
    loop 1b
    movl $LARGE_PAGE_FLAGS, %eax
    movl $page_directories, %edi
    movl $(PAGE_DIRECTORIES * 512), %ecx
1:  movl %eax, (%edi)
    addl $LARGE_PAGE_SIZE, %eax
    addl $8, %edi
    loop 1b

enable_paging:
    /* 10.8.5: CR4.PAE, CR3, EFER.LME, CR0.PG, then a far jump into a 64-bit code segment. */
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $IA32_EFER, %ecx
    rdmsr
    orl $IA32_EFER_LME, %eax
    wrmsr
    movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
    movl %eax, %cr0
    ljmp $SELECTOR_CODE64, $long_mode

    .code64
long_mode:
    cmpb $0, smp_starting
    jne other_processor
    movl $stack_top, %esp
    movl $tss, %eax                   /* an address in three pieces: no relocation does that */
    movw %ax, gdt_tss + 2
    shrl $16, %eax
    movb %al, gdt_tss + 4
    movw $SELECTOR_TSS, %ax
    ltr %ax
    call guest_start
1:  hlt
    jmp 1b

/* No TSS: it never changes stacks. */
other_processor:
    movl $1, %edi
    lock xaddl %edi, smp_arrived      /* the processors before it, the first one not counted */
    incl %edi
    movl %edi, %esp
    shll $SMP_STACK_SHIFT, %esp
    addl $smp_stacks, %esp
    call smp_enter
1:  hlt
    jmp 1b

    .weak smp_arrived, smp_stacks, smp_enter

    .weak guest_real_mode_message, guest_protected_mode_message
guest_real_mode_message:
guest_protected_mode_message:
    .byte 0

    .section .tables, "aw"
    .balign 16
gdt:                                  /* the accessed bits are set in advance */
    .quad 0
    .quad 0x00CF9B000000FFFF          /* SELECTOR_CODE32: flat, execute/read */
    .quad 0x00CF93000000FFFF          /* SELECTOR_DATA: flat, read/write */
    .quad 0x00AF9B000000FFFF          /* SELECTOR_CODE64 */
gdt_tss:
    .quad 0x0000890000000067, 0       /* SELECTOR_TSS: 64-bit TSS, base filled in above, 104 bytes */
gdt_pointer:
    .word . - gdt - 1
    .long gdt
    .global smp_starting
smp_starting:
    .byte 0
    .balign 16
    .global tss
tss:                                  /* struct tss (interrupt.h): stacks by the interrupt gates' IST numbers */
    .zero 102
    .word 104                         /* no I/O permission map */

    .section .bss.page_tables, "aw", @nobits
    .balign PAGE_SIZE
    .global pml4, page_directories
pml4:
    .zero PAGE_SIZE
pdpt:
    .zero PAGE_SIZE
page_directories:
    .zero PAGE_SIZE * PAGE_DIRECTORIES

    .section .note.GNU-stack, "", @progbits
