/*
 * The machine that a guest finds, as numbers: guests/ABI.md says the same in words. Included by assembly too.
 * "SDM" is the Intel 64 and IA-32 Architectures Software Developer's Manual throughout this folder.
 */
#ifndef TELEPOD_GUESTS_MACHINE_H
#define TELEPOD_GUESTS_MACHINE_H

/* Left by the pod before the first instruction. */
#define COMMAND_LINE_ADDRESS 0x7000 /* NUL-terminated */
#define COMMAND_LINE_MAX 256
#define RAM_SIZE_ADDRESS 0x7100     /* 64 bits, bytes */

/* Ports. */
#define PORT_EXIT 0xF4              /* a byte written here ends the guest with that exit code */
#define PORT_COM1 0x3F8
#define UART_DATA (PORT_COM1 + 0)   /* divisor, low byte, while LCR.DLAB is set */
#define UART_IER (PORT_COM1 + 1)    /* divisor, high byte, while LCR.DLAB is set */
#define UART_FCR (PORT_COM1 + 2)
#define UART_LCR (PORT_COM1 + 3)
#define UART_MCR (PORT_COM1 + 4)
#define UART_LSR (PORT_COM1 + 5)
#define UART_LCR_DLAB 0x80
#define UART_LCR_8N1 0x03
#define UART_FCR_ENABLE_CLEAR 0x07  /* FIFOs on, and emptied */
#define UART_MCR_DTR_RTS 0x03
#define UART_LSR_DR 0x01            /* a byte waits to be read */
#define UART_LSR_THRE 0x20          /* the transmitter takes a byte */
#define UART_DIVISOR_115200 1

/* Control registers (SDM Vol. 3A, section 2.5 "Control Registers"). */
#define CR0_PE 0x00000001
#define CR0_MP 0x00000002
#define CR0_EM 0x00000004
#define CR0_TS 0x00000008
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020
#define CR0_WP 0x00010000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000
#define CR4_PAE 0x00000020
#define CR4_OSFXSR 0x00000200
#define CR4_OSXMMEXCPT 0x00000400
#define CR4_LA57 0x00001000
#define CR4_VMXE 0x00002000
#define CR4_PCIDE 0x00020000
#define CR4_OSXSAVE 0x00040000

#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200

/*
 * MSRs: SDM Vol. 4, section 2.1 "Architectural MSRs"; of the x2APIC: Vol. 3A, section 11.12.1.2 "x2APIC Register Address
 * Space".
 */
#define IA32_TSC 0x10
#define IA32_APIC_BASE 0x1B
#define IA32_APIC_BASE_EXTD 0x400
#define IA32_APIC_BASE_EN 0x800
#define IA32_TSC_ADJUST 0x3B
#define IA32_SYSENTER_CS 0x174
#define IA32_SYSENTER_ESP 0x175
#define IA32_SYSENTER_EIP 0x176
#define IA32_PAT 0x277
#define IA32_TSC_DEADLINE 0x6E0
#define X2APIC_ID 0x802
#define X2APIC_TPR 0x808
#define X2APIC_PPR 0x80A
#define X2APIC_EOI 0x80B
#define X2APIC_DFR 0x80E            /* xAPIC mode only */
#define X2APIC_SVR 0x80F
#define X2APIC_ISR0 0x810
#define X2APIC_IRR0 0x820
#define X2APIC_ESR 0x828
#define X2APIC_ICR 0x830
#define X2APIC_LVT_TIMER 0x832
#define X2APIC_SELF_IPI 0x83F
#define IA32_EFER 0xC0000080
#define IA32_EFER_SCE 0x1
#define IA32_EFER_LME 0x100
#define IA32_EFER_NXE 0x800
#define IA32_STAR 0xC0000081
#define IA32_LSTAR 0xC0000082
#define IA32_CSTAR 0xC0000083
#define IA32_FMASK 0xC0000084
#define IA32_FS_BASE 0xC0000100
#define IA32_GS_BASE 0xC0000101
#define IA32_KERNEL_GS_BASE 0xC0000102
#define IA32_TSC_AUX 0xC0000103

/* The same registers in memory: SDM Vol. 3A, table 11-1 "Local APIC Register Address Map". The I/O APIC is at its own. */
#define XAPIC_BASE 0xFEE00000
#define XAPIC_ID 0x20
#define XAPIC_VERSION 0x30
#define XAPIC_TPR 0x80
#define XAPIC_PPR 0xA0
#define XAPIC_EOI 0xB0
#define XAPIC_LDR 0xD0
#define XAPIC_DFR 0xE0
#define XAPIC_SVR 0xF0
#define XAPIC_ISR0 0x100
#define XAPIC_TMR0 0x180
#define XAPIC_IRR0 0x200
#define XAPIC_ESR 0x280
#define XAPIC_ICR 0x300
#define XAPIC_ICR_HIGH 0x310
#define XAPIC_LVT_TIMER 0x320
#define XAPIC_LVT_LINT0 0x350
#define XAPIC_LVT_ERROR 0x370
#define XAPIC_INITIAL_COUNT 0x380
#define XAPIC_CURRENT_COUNT 0x390
#define XAPIC_DIVIDE 0x3E0
#define IOAPIC_ADDRESS 0xFEC00000

#define X2APIC_SVR_ENABLE 0x100
#define X2APIC_LVT_MODE_TSC_DEADLINE (2 << 17)
#define X2APIC_ICR_NMI (4 << 8)
#define X2APIC_ICR_INIT (5 << 8)
#define X2APIC_ICR_START_UP (6 << 8)
#define X2APIC_ICR_LOGICAL (1 << 11)
#define X2APIC_ICR_ASSERT (1 << 14)
#define X2APIC_ICR_SELF (1 << 18)   /* destination shorthand 01: self */
#define X2APIC_ICR_ALL (2 << 18)
#define X2APIC_ICR_OTHERS (3 << 18)
#define X2APIC_LDR 0x80D

/* Segment selectors of start.S. */
#define SELECTOR_CODE32 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE64 0x18
#define SELECTOR_TSS 0x20

/* Vectors: 0 .. 31 are the processor's, the rest is ours. All have a gate; see interrupt.h. */
#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_TIMER 32
#define VECTOR_USER 33              /* 33 .. 62: free for a guest */
#define VECTOR_SPURIOUS 63
#define VECTOR_COUNT 64

#define CPUS_MAX 16
#define SMP_STACK_SHIFT 12
#define SMP_STACK_SIZE (1 << SMP_STACK_SHIFT)

#define PAGE_SIZE 4096
#define PAGE_SHIFT 12
#define LARGE_PAGE_SIZE 0x200000
#define MAPPED_LIMIT 0x100000000    /* start.S maps the first 4 GiB, one to one */

#endif
