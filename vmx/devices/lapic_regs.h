/* Registers of the local APIC and their bits, shared by the parts of the model. */
#ifndef TELEPOD_LAPIC_REGS_H
#define TELEPOD_LAPIC_REGS_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/arch/msr.h"
#include "vmx/devices/apic_message.h"
#include "vmx/devices/lapic.h"

/* Offset in the page (table 11-1) / 16, which is also the MSR's address less 800h (table 11-6). */
enum lapic_register {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_ISR_LAST = 0x17,
    REG_TMR = 0x18,
    REG_TMR_LAST = 0x1f,
    REG_IRR = 0x20,
    REG_IRR_LAST = 0x27,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT_TIMER = 0x32,
    REG_LVT_THERMAL = 0x33,
    REG_LVT_PERFORMANCE = 0x34,
    REG_LVT_LINT0 = 0x35,
    REG_LVT_LINT1 = 0x36,
    REG_LVT_ERROR = 0x37,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE_CONFIGURATION = 0x3e,
    REG_SELF_IPI = 0x3f,
    REG_COUNT = 0x40,
};
#define REGISTER_STRIDE 16

#define APIC_BASE_MODE (IA32_APIC_BASE_ENABLE | IA32_APIC_BASE_EXTD)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull
#define APIC_BASE_WRITABLE (APIC_BASE_ADDRESS | APIC_BASE_MODE | IA32_APIC_BASE_BSP)
#define X2APIC_MSRS 0x100u           /* 800h to 8FFh are the APIC's, most of them reserved */

#define APIC_VECTOR_MASK 0xffu
#define APIC_VECTOR_FIRST_LEGAL 16   /* section 11.5.2 "Valid Interrupt Vectors" */
#define VECTOR_WORDS 8

#define XAPIC_ID_SHIFT 24
#define TPR_WRITABLE 0xffu
#define LDR_WRITABLE 0xff000000u
#define DFR_ONES 0x0fffffffu
#define DFR_RESET 0xffffffffu

#define SVR_ENABLE (1u << 8)
#define SVR_WRITABLE 0x3ffu          /* bit 9, focus checking, has no effect; 12 needs version bit 24 */
#define SVR_RESET 0xffu

#define LVT_MASKED (1u << 16)
#define LVT_DELIVERY_MODE(lvt) ((lvt) >> 8 & 7)
#define LVT_TIMER_MODE_MASK (3u << 17)
#define LVT_TIMER_PERIODIC (1u << 17)
#define LVT_TIMER_TSC_DEADLINE (2u << 17)

/* What software may write in an LVT register, read-only bits (delivery status 12, remote IRR 14) included. */
#define LVT_TIMER_WRITABLE 0x710ffu
#define LVT_THERMAL_WRITABLE 0x117ffu
#define LVT_PERFORMANCE_WRITABLE 0x117ffu
#define LVT_LINT_WRITABLE 0x1f7ffu
#define LVT_ERROR_WRITABLE 0x110ffu
#define LVT_READ_ONLY ((1u << 12) | (1u << 14))

#define DIVIDE_WRITABLE 0xbu

#define ESR_SEND_ILLEGAL_VECTOR (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_ILLEGAL_REGISTER_ADDRESS (1u << 7)
#define ESR_BITS (ESR_SEND_ILLEGAL_VECTOR | ESR_RECEIVE_ILLEGAL_VECTOR | ESR_ILLEGAL_REGISTER_ADDRESS)

#define ICR_DELIVERY_MODE_SHIFT 8
#define ICR_DELIVERY_MODE_MASK 7u
#define ICR_DESTINATION_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_SHORTHAND_SHIFT 18
#define ICR_SHORTHAND_MASK 3u
#define ICR_DESTINATION_SHIFT 32
#define ICR_XAPIC_DESTINATION_SHIFT 56
#define ICR_XAPIC_BROADCAST 0xffu
#define ICR_LOW_WRITABLE 0x000ccfffu         /* figure 11-12; bit 12, delivery status, is read-only: always idle */
#define ICR_HIGH_WRITABLE 0xff000000u
#define ICR_WRITABLE 0xffffffff000ccfffull   /* figure 11-28, x2APIC mode */

/* Registers are 32 bits wide, each at the start of 16 bytes; the ICR of x2APIC mode takes 64 bits of its 16 bytes. */
static inline uint32_t *lapic_at(const struct lapic *lapic, unsigned reg)
{
    return (uint32_t *)(void *)(lapic->page + reg * REGISTER_STRIDE);
}

static inline uint32_t lapic_get(const struct lapic *lapic, unsigned reg)
{
    return *(volatile const uint32_t *)lapic_at(lapic, reg);
}

static inline void lapic_put(struct lapic *lapic, unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)lapic_at(lapic, reg) = value;
}

/* lapic_state.c */
uint64_t lapic_get_icr(const struct lapic *lapic);
void lapic_put_icr(struct lapic *lapic, uint64_t icr);

/*
 * An event of a local source: delivered as the LVT register says, unless masked. Timer and error events are
 * fixed interrupts.
 */
void lapic_deliver_lvt(struct lapic *lapic, uint32_t lvt);
/* Section 11.5.3 "Error Handling": ESR bits. */
void lapic_record_error(struct lapic *lapic, uint32_t error);

uint32_t lapic_ppr(const struct lapic *lapic);
void lapic_end_of_interrupt(struct lapic *lapic);
/* Reserved bits are 0 already. In xAPIC mode the destination is in bits 63:56. */
void lapic_send_ipi(struct lapic *lapic, uint64_t icr);
void lapic_send_self_ipi(struct lapic *lapic, uint8_t vector);

/* lapic_mode.c. ID, version, LDR and DFR, in the form of the mode. */
void lapic_put_identity(struct lapic *lapic);
/* False: #GP(0). */
bool lapic_write_apic_base(struct lapic *lapic, uint64_t value);

/* The timer's share of the registers; each works at `now`, after lapic_advance to the same `now`. */
uint32_t lapic_timer_current_count(const struct lapic *lapic, uint64_t now);
void lapic_timer_set_initial_count(struct lapic *lapic, uint64_t now, uint32_t count);
void lapic_timer_set_divide(struct lapic *lapic, uint64_t now, uint32_t divide_configuration);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt);
void lapic_timer_set_tsc_deadline(struct lapic *lapic, uint64_t now, uint64_t deadline);
void lapic_timer_reset(struct lapic *lapic);

#endif
