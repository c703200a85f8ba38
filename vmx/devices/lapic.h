/*
 * The virtual local APIC in x2APIC mode: SDM Vol. 3A, chapter 11 "Advanced Programmable Interrupt Controller
 * (APIC)", edition 325462-083 (section numbers in this folder are of that edition). Pure model. Time is the
 * guest's TSC, given as an argument. One LAPIC a vCPU, and one vCPU a machine: an IPI to another processor
 * finds nobody.
 *
 * **x2APIC mode only.** MMIO is not offered, so nothing may leave the mode: WRMSR to IA32_APIC_BASE that
 * clears EXTD or EN, or moves the base, raises #GP(0), as on processors whose IA32_XAPIC_DISABLE_STATUS says
 * LEGACY_XAPIC_DISABLED.
 */
#ifndef TELEPOD_VMX_DEVICES_LAPIC_H
#define TELEPOD_VMX_DEVICES_LAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "vmx/fields.h"

struct lapic {
    uint64_t apic_base;         /* IA32_APIC_BASE */
    uint32_t id, tpr, svr, esr;
    uint32_t isr[8], tmr[8], irr[8];
    uint64_t icr;
    uint32_t lvt_timer, lvt_thermal, lvt_performance, lvt_lint0, lvt_lint1, lvt_error;
    uint32_t initial_count, divide_configuration;
    uint64_t tsc_deadline;      /* IA32_TSC_DEADLINE; 0: disarmed */
    uint64_t timer_due;         /* guest TSC at which the present count reaches 0; 0: the count stands at 0 */
    uint64_t bus_divisor;       /* guest TSC ticks per timer tick at divide 1; CPUID 15h tells the guest 1 */
    uint32_t self_nmi;          /* an NMI was sent to itself; the caller takes it, and clears this */
    uint32_t esr_pending;       /* errors since the last write of the ESR, which shows them */
};
extern const struct section lapic_section;

/* As after INIT, but in x2APIC mode. `id` is the x2APIC ID. */
void lapic_reset(struct lapic *lapic, uint32_t id, bool bootstrap);

/*
 * RDMSR/WRMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h..83Fh. false: the instruction must raise #GP(0).
 */
bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t *value);
bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t value);

/*
 * Guest TSC at which the guest must leave guest mode for the timer; UINT64_MAX: never. It may lie in the
 * past. A masked timer asks for no exit, nor does one of a tiny period while its interrupt waits already: it
 * cannot starve its own guest. The answer changes with every write to the APIC and with lapic_advance.
 */
uint64_t lapic_next_deadline(const struct lapic *lapic);

/*
 * Sets IRR bits for what is due at `now`. Several missed periods of a periodic timer set it once, as the
 * hardware does, and the phase is kept. Call before lapic_pending_vector at every entry.
 */
void lapic_advance(struct lapic *lapic, uint64_t now);

/*
 * The guest wrote its TSC, which jumped from `before` to `after`: the count goes on undisturbed, a TSC
 * deadline is absolute.
 */
void lapic_tsc_moved(struct lapic *lapic, uint64_t before, uint64_t after);

/*
 * A fixed, edge-triggered interrupt arrives. Vectors below 16 are an error in the ESR; a software-disabled
 * APIC drops it.
 */
void lapic_set_irr(struct lapic *lapic, uint8_t vector);

/* Highest vector that may be delivered now (above PPR), or -1. */
int lapic_pending_vector(const struct lapic *lapic);

/* IRR -> ISR: the vector, which lapic_pending_vector gave, was injected. */
void lapic_accept(struct lapic *lapic, uint8_t vector);

#endif
