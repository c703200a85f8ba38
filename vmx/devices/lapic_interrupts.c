/*
 * The local APIC's interrupts: acceptance, priorities, errors and IPIs. A vector below 16 never gets into IRR
 * or ISR. Every decision that is taken here is taken at the entry into the guest, where nothing can change between
 * choice and delivery: so the race that makes hardware deliver a spurious interrupt (section 11.9 "Spurious
 * Interrupt") does not exist, and the spurious vector is never dispensed.
 */
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"

#define PRIORITY_CLASS_MASK 0xf0u
#define NO_VECTOR (-1)

/* `set`: REG_ISR, REG_TMR or REG_IRR, the first of eight registers. */
static void vector_set(struct lapic *lapic, unsigned set, uint8_t vector)
{
    *lapic_at(lapic, set + vector / 32) |= 1u << (vector % 32);
}

static void vector_clear(struct lapic *lapic, unsigned set, uint8_t vector)
{
    *lapic_at(lapic, set + vector / 32) &= ~(1u << (vector % 32));
}

static bool vector_test(const struct lapic *lapic, unsigned set, uint8_t vector)
{
    return (lapic_get(lapic, set + vector / 32) >> (vector % 32) & 1) != 0;
}

static int vector_highest(const struct lapic *lapic, unsigned set)
{
    for (int word = VECTOR_WORDS - 1; word >= 0; word--) {
        uint32_t bits = lapic_get(lapic, set + (unsigned)word);
        if (bits != 0)
            return word * 32 + 31 - __builtin_clz(bits);
    }
    return NO_VECTOR;
}

/*
 * Errors gather until software writes the ESR, which shows them and rearms the error interrupt: between two writes
 * only the first error interrupts.
 */
void lapic_record_error(struct lapic *lapic, uint32_t error)
{
    bool armed = lapic->esr_pending == 0;

    lapic->esr_pending |= error;
    if (armed)
        lapic_deliver_lvt(lapic, lapic_get(lapic, REG_LVT_ERROR));
}

/*
 * Section 11.8.4 "Interrupt Acceptance for Fixed Interrupts". Section 11.4.7.2: a software-disabled APIC responds to
 * INIT, NMI, SMI and SIPI only; what is in IRR and ISR stays.
 */
void lapic_set_irr(struct lapic *lapic, uint8_t vector, bool level)
{
    if (lapic_mode(lapic) == APIC_DISABLED)
        return;
    if (vector < APIC_VECTOR_FIRST_LEGAL) {
        lapic_record_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
        return;
    }
    if (!lapic_software_enabled(lapic))
        return;
    if (level != vector_test(lapic, REG_TMR, vector)) {
        if (level)
            vector_set(lapic, REG_TMR, vector);
        else
            vector_clear(lapic, REG_TMR, vector);
        lapic->changed |= LAPIC_CHANGED_TRIGGERS;
    }
    vector_set(lapic, REG_IRR, vector);
    lapic->changed |= LAPIC_CHANGED_REQUESTS;
}

void lapic_deliver_lvt(struct lapic *lapic, uint32_t lvt)
{
    if ((lvt & LVT_MASKED) == 0)
        lapic_set_irr(lapic, (uint8_t)(lvt & APIC_VECTOR_MASK), false);
}

/*
 * Section 11.8.3.1 "Task and Processor Priorities": the class is the larger of TPR's and the highest
 * interrupt in service's; the sub-class is TPR's if TPR's class is larger, else 0 (if they are equal the
 * manual leaves the choice: TPR's).
 */
uint32_t lapic_ppr(const struct lapic *lapic)
{
    int in_service = vector_highest(lapic, REG_ISR);
    uint32_t class = in_service == NO_VECTOR ? 0 : (uint32_t)in_service & PRIORITY_CLASS_MASK;
    uint32_t tpr = lapic_get(lapic, REG_TPR);

    return (tpr & PRIORITY_CLASS_MASK) >= class ? tpr : class;
}

int lapic_pending_vector(const struct lapic *lapic)
{
    int requested = vector_highest(lapic, REG_IRR);

    if (requested == NO_VECTOR ||
        ((uint32_t)requested & PRIORITY_CLASS_MASK) <= (lapic_ppr(lapic) & PRIORITY_CLASS_MASK))
        return NO_VECTOR;
    return requested;
}

void lapic_accept(struct lapic *lapic, uint8_t vector)
{
    vector_clear(lapic, REG_IRR, vector);
    vector_set(lapic, REG_ISR, vector);
    lapic->changed |= LAPIC_CHANGED_REQUESTS;
}

bool lapic_put_back(struct lapic *lapic, uint8_t vector)
{
    if (!vector_test(lapic, REG_ISR, vector))
        return false;
    vector_clear(lapic, REG_ISR, vector);
    vector_set(lapic, REG_IRR, vector);
    lapic->changed |= LAPIC_CHANGED_REQUESTS;
    return true;
}

uint8_t lapic_requesting_vector(const struct lapic *lapic)
{
    return (uint8_t)MAX(vector_highest(lapic, REG_IRR), 0);
}

uint8_t lapic_servicing_vector(const struct lapic *lapic)
{
    return (uint8_t)MAX(vector_highest(lapic, REG_ISR), 0);
}

bool lapic_held_by_tpr(const struct lapic *lapic)
{
    uint32_t requested = lapic_requesting_vector(lapic);

    return requested != 0 && (requested & PRIORITY_CLASS_MASK) <= (lapic_get(lapic, REG_TPR) & PRIORITY_CLASS_MASK);
}

uint32_t lapic_trigger_modes(const struct lapic *lapic, unsigned i)
{
    return lapic_get(lapic, REG_TMR + i % VECTOR_WORDS);
}

void lapic_eoi_virtualized(struct lapic *lapic, uint8_t vector)
{
    if (vector_test(lapic, REG_TMR, vector))
        lapic->output->eoi(lapic->context, vector);
}

/* Section 11.8.5 "Signaling Interrupt Servicing Completion": level-triggered ones are told to the I/O APIC. */
void lapic_end_of_interrupt(struct lapic *lapic)
{
    int in_service = vector_highest(lapic, REG_ISR);

    if (in_service == NO_VECTOR)
        return;
    vector_clear(lapic, REG_ISR, (uint8_t)in_service);
    lapic->changed |= LAPIC_CHANGED_REQUESTS;
    lapic_eoi_virtualized(lapic, (uint8_t)in_service);
}

/* Without an APIC, or with one that is disabled, LINT0 is the processor's INTR pin (section 11.4.3). */
bool lapic_takes_extint(const struct lapic *lapic)
{
    uint32_t lint0 = lapic_get(lapic, REG_LVT_LINT0);

    if (lapic_mode(lapic) == APIC_DISABLED)
        return (lapic->apic_base & IA32_APIC_BASE_BSP) != 0;
    return (lint0 & LVT_MASKED) == 0 && LVT_DELIVERY_MODE(lint0) == DELIVERY_EXTINT;
}

/* Tables 11-3 and 11-4: what may be sent with which shorthand; a de-asserted INIT does nothing, an SMI finds no SMM. */
static bool is_valid_ipi(uint32_t mode, uint32_t shorthand, bool deassert)
{
    switch (mode) {
    case DELIVERY_FIXED: return true;
    case DELIVERY_INIT: return shorthand != SHORTHAND_SELF && shorthand != SHORTHAND_ALL_INCLUDING_SELF && !deassert;
    case DELIVERY_LOWEST_PRIORITY:
    case DELIVERY_NMI:
    case DELIVERY_START_UP: return shorthand != SHORTHAND_SELF && shorthand != SHORTHAND_ALL_INCLUDING_SELF;
    default: return false;
    }
}

static uint32_t ipi_destination(const struct lapic *lapic, uint64_t icr)
{
    if (lapic_mode(lapic) == APIC_X2APIC)
        return (uint32_t)(icr >> ICR_DESTINATION_SHIFT);
    uint32_t destination = (uint32_t)(icr >> ICR_XAPIC_DESTINATION_SHIFT);
    return destination == ICR_XAPIC_BROADCAST ? APIC_DESTINATION_BROADCAST : destination;
}

/*
 * Section 11.6.1 "Interrupt Command Register (ICR)". A fixed IPI counts as edge-triggered whatever the trigger bit
 * says. One to itself alone needs nobody else.
 */
void lapic_send_ipi(struct lapic *lapic, uint64_t icr)
{
    uint32_t mode = (uint32_t)(icr >> ICR_DELIVERY_MODE_SHIFT) & ICR_DELIVERY_MODE_MASK;
    uint32_t shorthand = (uint32_t)(icr >> ICR_SHORTHAND_SHIFT) & ICR_SHORTHAND_MASK;
    uint8_t vector = (uint8_t)(icr & APIC_VECTOR_MASK);
    struct apic_message message = {
        .destination = ipi_destination(lapic, icr),
        .logical = (icr & ICR_DESTINATION_LOGICAL) != 0,
        .delivery_mode = (uint8_t)mode,
        .vector = vector,
        .assert = true,
        .shorthand = (uint8_t)shorthand,
    };

    if (!is_valid_ipi(mode, shorthand, (icr & ICR_LEVEL) != 0 && (icr & ICR_ASSERT) == 0))
        return;
    if (mode <= DELIVERY_LOWEST_PRIORITY && vector < APIC_VECTOR_FIRST_LEGAL)
        lapic_record_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
    if (shorthand == SHORTHAND_SELF)
        lapic_set_irr(lapic, vector, false);
    else
        lapic->output->send(lapic->context, &message);
}

/* Section 11.12.11 "SELF IPI Register": the same as a fixed, edge-triggered IPI with the shorthand "self". */
void lapic_send_self_ipi(struct lapic *lapic, uint8_t vector)
{
    lapic_send_ipi(lapic, (uint64_t)SHORTHAND_SELF << ICR_SHORTHAND_SHIFT | vector);
}
