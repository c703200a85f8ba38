/* Bits of the local APIC's registers, shared by the model and its timer. */
#ifndef TELEPOD_LAPIC_REGS_H
#define TELEPOD_LAPIC_REGS_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/arch/msr.h"
#include "vmx/devices/apic_message.h"
#include "vmx/devices/lapic.h"

/* The only state of IA32_APIC_BASE, but for BSP. */
#define APIC_BASE_X2APIC (0xfee00000ull | IA32_APIC_BASE_ENABLE | IA32_APIC_BASE_EXTD)
#define X2APIC_MSRS 0x40u            /* of the 100h reserved ones, those up to SELF IPI */

#define APIC_VECTOR_MASK 0xffu
#define APIC_VECTOR_FIRST_LEGAL 16   /* section 11.5.2 "Valid Interrupt Vectors" */

#define SVR_ENABLE (1u << 8)
#define SVR_WRITABLE 0x3ffu          /* bit 9, focus checking, has no effect; 12 needs version bit 24 */

#define LVT_MASKED (1u << 16)
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

#define ESR_REDIRECTABLE_IPI (1u << 4)
#define ESR_SEND_ILLEGAL_VECTOR (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_BITS (ESR_REDIRECTABLE_IPI | ESR_SEND_ILLEGAL_VECTOR | ESR_RECEIVE_ILLEGAL_VECTOR)

#define ICR_DELIVERY_MODE_SHIFT 8
#define ICR_DELIVERY_MODE_MASK 7u
#define ICR_DESTINATION_LOGICAL (1u << 11)
#define ICR_SHORTHAND_SHIFT 18
#define ICR_SHORTHAND_MASK 3u
#define ICR_DESTINATION_SHIFT 32
#define ICR_DESTINATION_BROADCAST 0xffffffffu
#define ICR_WRITABLE 0xffffffff000ccfffull /* figure 11-28; bit 12, delivery status, is gone in x2APIC mode */

/*
 * An event of a local source: delivered as the LVT register says, unless masked. Timer and error events are
 * fixed interrupts.
 */
void lapic_deliver_lvt(struct lapic *lapic, uint32_t lvt);

uint32_t lapic_ppr(const struct lapic *lapic);
uint32_t lapic_ldr(const struct lapic *lapic);
void lapic_end_of_interrupt(struct lapic *lapic);
/* Bits are legal already (the reserved ones 0). */
void lapic_send_ipi(struct lapic *lapic, uint64_t icr);
void lapic_send_self_ipi(struct lapic *lapic, uint8_t vector);

/* The timer's share of the registers; each works at `now`, after lapic_advance to the same `now`. */
uint32_t lapic_timer_current_count(const struct lapic *lapic, uint64_t now);
void lapic_timer_set_initial_count(struct lapic *lapic, uint64_t now, uint32_t count);
void lapic_timer_set_divide(struct lapic *lapic, uint64_t now, uint32_t divide_configuration);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt);
void lapic_timer_set_tsc_deadline(struct lapic *lapic, uint64_t now, uint64_t deadline);

#endif
