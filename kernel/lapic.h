/*
 * The calling CPU's local APIC (SDM Vol. 3A, chapter 11 "Advanced Programmable Interrupt Controller"), in x2APIC mode
 * where the processor has it, else through its registers in memory. All CPUs of a pod use the same mode.
 */
#ifndef TELEPOD_LAPIC_H
#define TELEPOD_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

/* Vectors that the kernel fixes; the others up to VECTOR_ALLOC_LAST are for GSIs (kernel/interrupt.c). */
#define VECTOR_ALLOC_FIRST 0x30
#define VECTOR_ALLOC_LAST 0xef
#define VECTOR_ERROR 0xfc
#define VECTOR_TIMER 0xfd
#define VECTOR_KICK 0xfe
#define VECTOR_SPURIOUS 0xff

/* SDM Table 11-1 "Local APIC Register Address Map" */
enum lapic_register {
    LAPIC_ID = 0x20,
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_EOI = 0xb0,
    LAPIC_SVR = 0xf0,
    LAPIC_ESR = 0x280,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_THERMAL = 0x330,
    LAPIC_LVT_PMC = 0x340,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LINT1 = 0x360,
    LAPIC_LVT_ERROR = 0x370,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define LAPIC_LVT_MASKED (1U << 16)
#define LAPIC_LVT_NMI (4U << 8)
#define LAPIC_LVT_TSC_DEADLINE (2U << 17)
#define LAPIC_TIMER_DIVIDE_BY_1 0xbU

/* SDM Figure 11-12 "Interrupt Command Register (ICR)" */
#define LAPIC_ICR_NMI (4U << 8)
#define LAPIC_ICR_INIT (5U << 8)
#define LAPIC_ICR_STARTUP (6U << 8)
#define LAPIC_ICR_ASSERT (1U << 14)
#define LAPIC_ICR_ALL_BUT_SELF (3U << 18)

void lapic_init(void);     /* bootstrap processor: chooses the mode; calls the next */
void lapic_init_cpu(void); /* each CPU: enabled, timer masked, LINT0 masked, LINT1 NMI */
bool lapic_is_x2apic(void);
bool lapic_is_ready(void); /* lapic_init ran */
uint32_t lapic_id(void);
uint32_t lapic_read(enum lapic_register reg);
void lapic_write(enum lapic_register reg, uint32_t value);
void lapic_eoi(void);
/* Sends `command` (ICR's low half: vector, delivery mode, shorthand) to the CPU with this APIC id. */
void lapic_send(uint32_t apic_id, uint32_t command);

#endif
