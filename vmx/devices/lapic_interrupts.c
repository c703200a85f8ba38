/*
 * The local APIC's interrupts: acceptance, priorities, errors and IPIs. A vector below 16 never gets into IRR
 * or ISR. Every decision is taken at the entry into the guest, where nothing can change between choice and
 * delivery: so the race that makes hardware deliver a spurious interrupt (section 11.9 "Spurious Interrupt")
 * does not exist, and the spurious vector is never dispensed.
 */
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"

#define VECTOR_WORDS 8
#define PRIORITY_CLASS_MASK 0xf0u
#define NO_VECTOR (-1)

static void vector_set(uint32_t set[VECTOR_WORDS], uint8_t vector)
{
    set[vector / 32] |= 1u << (vector % 32);
}

static void vector_clear(uint32_t set[VECTOR_WORDS], uint8_t vector)
{
    set[vector / 32] &= ~(1u << (vector % 32));
}

static int vector_highest(const uint32_t set[VECTOR_WORDS])
{
    for (int word = VECTOR_WORDS - 1; word >= 0; word--)
        if (set[word] != 0)
            return word * 32 + 31 - __builtin_clz(set[word]);
    return NO_VECTOR;
}

/*
 * Section 11.5.3 "Error Handling". Errors gather until software writes the ESR, which shows them and rearms
 * the error interrupt: between two writes only the first error interrupts.
 */
static void record_error(struct lapic *lapic, uint32_t error)
{
    bool armed = lapic->esr_pending == 0;

    lapic->esr_pending |= error;
    if (armed)
        lapic_deliver_lvt(lapic, lapic->lvt_error);
}

/*
 * Section 11.8.4 "Interrupt Acceptance for Fixed Interrupts"; the TMR bit is cleared for an edge-triggered
 * one.
 */
void lapic_set_irr(struct lapic *lapic, uint8_t vector)
{
    if (vector < APIC_VECTOR_FIRST_LEGAL) {
        record_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
        return;
    }
    /*
     * Section 11.4.7.2: a software-disabled APIC responds to INIT, NMI, SMI and SIPI only; what is in IRR and
     * ISR stays.
     */
    if ((lapic->svr & SVR_ENABLE) == 0)
        return;
    vector_set(lapic->irr, vector);
    vector_clear(lapic->tmr, vector);
}

void lapic_deliver_lvt(struct lapic *lapic, uint32_t lvt)
{
    if ((lvt & LVT_MASKED) == 0)
        lapic_set_irr(lapic, (uint8_t)(lvt & APIC_VECTOR_MASK));
}

/*
 * Section 11.8.3.1 "Task and Processor Priorities": the class is the larger of TPR's and the highest
 * interrupt in service's; the sub-class is TPR's if TPR's class is larger, else 0 (if they are equal the
 * manual leaves the choice: TPR's).
 */
uint32_t lapic_ppr(const struct lapic *lapic)
{
    int in_service = vector_highest(lapic->isr);
    uint32_t class = in_service == NO_VECTOR ? 0 : (uint32_t)in_service & PRIORITY_CLASS_MASK;

    return (lapic->tpr & PRIORITY_CLASS_MASK) >= class ? lapic->tpr : class;
}

int lapic_pending_vector(const struct lapic *lapic)
{
    int requested = vector_highest(lapic->irr);

    if (requested == NO_VECTOR ||
        ((uint32_t)requested & PRIORITY_CLASS_MASK) <= (lapic_ppr(lapic) & PRIORITY_CLASS_MASK))
        return NO_VECTOR;
    return requested;
}

void lapic_accept(struct lapic *lapic, uint8_t vector)
{
    vector_clear(lapic->irr, vector);
    vector_set(lapic->isr, vector);
}

/*
 * Section 11.8.5 "Signaling Interrupt Servicing Completion"; nothing is level-triggered, so nobody hears of
 * it.
 */
void lapic_end_of_interrupt(struct lapic *lapic)
{
    int in_service = vector_highest(lapic->isr);

    if (in_service != NO_VECTOR)
        vector_clear(lapic->isr, (uint8_t)in_service);
}

/* Section 11.12.10.2 "Deriving Logical x2APIC ID from the Local x2APIC ID" */
uint32_t lapic_ldr(const struct lapic *lapic)
{
    return (lapic->id & 0xffff0) << 12 | 1u << (lapic->id & 0xf);
}

static bool destination_is_self(const struct lapic *lapic, uint64_t icr)
{
    uint32_t destination = (uint32_t)(icr >> ICR_DESTINATION_SHIFT);
    uint32_t ldr = lapic_ldr(lapic);

    if (destination == ICR_DESTINATION_BROADCAST)
        return true;
    if ((icr & ICR_DESTINATION_LOGICAL) == 0)
        return destination == lapic->id;
    return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff) != 0; /* cluster, member */
}

/*
 * Whether this processor is among the targets. By shorthand, only a fixed IPI may reach the sender itself:
 * the other modes are invalid with "self" and "all including self" (tables 11-3 and 11-4), and are dropped.
 */
static bool reaches_self(const struct lapic *lapic, uint64_t icr, uint32_t mode)
{
    switch (icr >> ICR_SHORTHAND_SHIFT & ICR_SHORTHAND_MASK) {
    case SHORTHAND_NONE: return destination_is_self(lapic, icr);
    case SHORTHAND_SELF:
    case SHORTHAND_ALL_INCLUDING_SELF: return mode == DELIVERY_FIXED;
    default: return false;
    }
}

/*
 * Section 11.6.1 "Interrupt Command Register (ICR)". A fixed IPI counts as edge-triggered whatever the
 * trigger bit says. An INIT or SMI that a processor sends to itself would leave a machine of one vCPU waiting
 * for ever, or in an SMM that it has not got: dropped, like a start-up IPI to a processor that is not waiting
 * for one, and like the reserved modes.
 */
void lapic_send_ipi(struct lapic *lapic, uint64_t icr)
{
    uint32_t mode = (uint32_t)(icr >> ICR_DELIVERY_MODE_SHIFT) & ICR_DELIVERY_MODE_MASK;
    uint8_t vector = (uint8_t)(icr & APIC_VECTOR_MASK);

    if (mode == DELIVERY_LOWEST_PRIORITY) {
        /* Not offered: only this error is recorded, whatever the vector (section 11.5.3). */
        record_error(lapic, ESR_REDIRECTABLE_IPI);
        return;
    }
    if (mode == DELIVERY_FIXED && vector < APIC_VECTOR_FIRST_LEGAL)
        record_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
    if (!reaches_self(lapic, icr, mode))
        return;
    if (mode == DELIVERY_FIXED)
        lapic_set_irr(lapic, vector);
    else if (mode == DELIVERY_NMI)
        lapic->self_nmi = 1;
}

/* Section 11.12.11 "SELF IPI Register": the same as a fixed, edge-triggered IPI with the shorthand "self". */
void lapic_send_self_ipi(struct lapic *lapic, uint8_t vector)
{
    lapic_send_ipi(lapic, (uint64_t)SHORTHAND_SELF << ICR_SHORTHAND_SHIFT | vector);
}
