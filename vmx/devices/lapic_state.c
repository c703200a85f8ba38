/*
 * The local APIC as values, and as a section of state. The check lets in only states that the model itself can reach,
 * as far as its invariants depend on them: no vector below 16 in a register of vectors, no reserved bit, LVTs masked
 * while software-disabled, one kind of timer armed at most, and never a period of 0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"

#define BUS_DIVISOR_MAX 65536 /* keeps a period within 2^55 ticks */

/* x2APIC mode: 64 bits at the ICR's place (Vol. 3C, 30.5); xAPIC mode: two registers. */
uint64_t lapic_get_icr(const struct lapic *lapic)
{
    uint32_t high = lapic_mode(lapic) == APIC_X2APIC ? lapic_at(lapic, REG_ICR)[1] : lapic_get(lapic, REG_ICR_HIGH);
    return (uint64_t)high << ICR_DESTINATION_SHIFT | lapic_get(lapic, REG_ICR);
}

void lapic_put_icr(struct lapic *lapic, uint64_t icr)
{
    uint32_t high = (uint32_t)(icr >> ICR_DESTINATION_SHIFT);
    lapic_put(lapic, REG_ICR, (uint32_t)icr);
    if (lapic_mode(lapic) == APIC_X2APIC)
        lapic_at(lapic, REG_ICR)[1] = high;
    else
        lapic_put(lapic, REG_ICR_HIGH, high);
}

/* Registers whose value is what the page has. */
#define PLACE(reg, member) { reg, offsetof(struct lapic_state, member) }
static const struct { uint8_t reg; uint16_t offset; } places[] = {
    PLACE(REG_TPR, tpr), PLACE(REG_LDR, ldr), PLACE(REG_DFR, dfr), PLACE(REG_SVR, svr), PLACE(REG_ESR, esr),
    PLACE(REG_LVT_TIMER, lvt_timer), PLACE(REG_LVT_THERMAL, lvt_thermal),
    PLACE(REG_LVT_PERFORMANCE, lvt_performance), PLACE(REG_LVT_LINT0, lvt_lint0), PLACE(REG_LVT_LINT1, lvt_lint1),
    PLACE(REG_LVT_ERROR, lvt_error), PLACE(REG_INITIAL_COUNT, initial_count),
    PLACE(REG_DIVIDE_CONFIGURATION, divide_configuration),
};

void lapic_save(const struct lapic *lapic, struct lapic_state *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        *(uint32_t *)(void *)((char *)out + places[i].offset) = lapic_get(lapic, places[i].reg);
    for (unsigned i = 0; i < VECTOR_WORDS; i++) {
        out->isr[i] = lapic_get(lapic, REG_ISR + i);
        out->tmr[i] = lapic_get(lapic, REG_TMR + i);
        out->irr[i] = lapic_get(lapic, REG_IRR + i);
    }
    out->apic_base = lapic->apic_base;
    out->esr_pending = lapic->esr_pending;
    out->icr = lapic_get_icr(lapic);
    out->tsc_deadline = lapic->tsc_deadline;
    out->timer_due = lapic->timer_due;
    out->bus_divisor = lapic->bus_divisor;
}

void lapic_load(struct lapic *lapic, const struct lapic_state *state)
{
    lapic_reset(lapic, lapic->id, false, APIC_DISABLED);
    lapic->apic_base = state->apic_base;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        lapic_put(lapic, places[i].reg, *(const uint32_t *)(const void *)((const char *)state + places[i].offset));
    if (lapic_mode(lapic) == APIC_X2APIC)
        lapic_put_identity(lapic); /* LDR follows from the ID, which is the machine's to say and not the stream's */
    for (unsigned i = 0; i < VECTOR_WORDS; i++) {
        lapic_put(lapic, REG_ISR + i, state->isr[i]);
        lapic_put(lapic, REG_TMR + i, state->tmr[i]);
        lapic_put(lapic, REG_IRR + i, state->irr[i]);
    }
    lapic_put_icr(lapic, state->icr);
    lapic->esr_pending = state->esr_pending;
    lapic->timer_mode = state->lvt_timer & LVT_TIMER_MODE_MASK;
    lapic->timer_initial_count = state->initial_count;
    lapic->timer_divide = state->divide_configuration;
    lapic->tsc_deadline = state->tsc_deadline;
    lapic->timer_due = state->timer_due;
    lapic->bus_divisor = state->bus_divisor;
}

/* ---- the section ---- */

static enum err refuse(char *why, size_t why_size, const char *field, uint64_t value)
{
    snprintf(why, why_size, "section lapic, field %s: 0x%" PRIx64 " is no state that an APIC can be in",
             field, value);
    return ERR_INVALID;
}

static enum err check_vectors(const struct lapic_state *lapic, char *why, size_t why_size)
{
    const uint32_t illegal = (1u << APIC_VECTOR_FIRST_LEGAL) - 1;

    if ((lapic->irr[0] & illegal) != 0)
        return refuse(why, why_size, "irr", lapic->irr[0]);
    if ((lapic->isr[0] & illegal) != 0)
        return refuse(why, why_size, "isr", lapic->isr[0]);
    if ((lapic->tmr[0] & illegal) != 0)
        return refuse(why, why_size, "tmr", lapic->tmr[0]);
    return OK;
}

static enum err check_registers(const struct lapic_state *lapic, char *why, size_t why_size)
{
    const struct { const char *name; uint32_t value, writable; bool lvt; } registers[] = {
        { "tpr", lapic->tpr, TPR_WRITABLE, false },
        { "svr", lapic->svr, SVR_WRITABLE, false },
        { "esr", lapic->esr, ESR_BITS, false },
        { "esr_pending", lapic->esr_pending, ESR_BITS, false },
        { "lvt_timer", lapic->lvt_timer, LVT_TIMER_WRITABLE & ~LVT_READ_ONLY, true },
        { "lvt_thermal", lapic->lvt_thermal, LVT_THERMAL_WRITABLE & ~LVT_READ_ONLY, true },
        { "lvt_performance", lapic->lvt_performance, LVT_PERFORMANCE_WRITABLE & ~LVT_READ_ONLY, true },
        { "lvt_lint0", lapic->lvt_lint0, LVT_LINT_WRITABLE & ~LVT_READ_ONLY, true },
        { "lvt_lint1", lapic->lvt_lint1, LVT_LINT_WRITABLE & ~LVT_READ_ONLY, true },
        { "lvt_error", lapic->lvt_error, LVT_ERROR_WRITABLE & ~LVT_READ_ONLY, true },
        { "divide_configuration", lapic->divide_configuration, DIVIDE_WRITABLE, false },
    };
    bool enabled = (lapic->svr & SVR_ENABLE) != 0;

    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        bool unmasked_while_disabled = registers[i].lvt && !enabled && (registers[i].value & LVT_MASKED) == 0;

        if ((registers[i].value & ~registers[i].writable) != 0 || unmasked_while_disabled)
            return refuse(why, why_size, registers[i].name, registers[i].value);
    }
    return OK;
}

/* What has another form in each mode. While disabled the registers are as after a reset. */
static enum err check_mode(const struct lapic_state *lapic, char *why, size_t why_size)
{
    uint64_t mode = lapic->apic_base & APIC_BASE_MODE;
    bool x2apic = mode == APIC_BASE_MODE;
    uint64_t icr_bits = x2apic ? ICR_WRITABLE : (uint64_t)ICR_HIGH_WRITABLE << 32 | ICR_LOW_WRITABLE;

    if ((lapic->apic_base & ~APIC_BASE_WRITABLE) != 0 || mode == IA32_APIC_BASE_EXTD)
        return refuse(why, why_size, "apic_base", lapic->apic_base);
    if (mode == 0 && (lapic->svr & SVR_ENABLE) != 0)
        return refuse(why, why_size, "svr", lapic->svr);
    if ((lapic->icr & ~icr_bits) != 0)
        return refuse(why, why_size, "icr", lapic->icr);
    if (!x2apic && (lapic->ldr & ~LDR_WRITABLE) != 0)
        return refuse(why, why_size, "ldr", lapic->ldr);
    if (x2apic ? lapic->dfr != 0 : (lapic->dfr & DFR_ONES) != DFR_ONES)
        return refuse(why, why_size, "dfr", lapic->dfr);
    return OK;
}

static enum err check_timer(const struct lapic_state *lapic, char *why, size_t why_size)
{
    uint32_t mode = lapic->lvt_timer & LVT_TIMER_MODE_MASK;

    if (mode == LVT_TIMER_MODE_MASK)
        return refuse(why, why_size, "lvt_timer", lapic->lvt_timer);
    if (lapic->bus_divisor == 0)
        return refuse(why, why_size, "bus_divisor", lapic->bus_divisor);
    if (mode != LVT_TIMER_TSC_DEADLINE && lapic->tsc_deadline != 0)
        return refuse(why, why_size, "tsc_deadline", lapic->tsc_deadline);
    if (mode == LVT_TIMER_TSC_DEADLINE && lapic->initial_count != 0)
        return refuse(why, why_size, "initial_count", lapic->initial_count);
    if (lapic->timer_due != 0 && lapic->initial_count == 0) /* would be a period of 0 */
        return refuse(why, why_size, "timer_due", lapic->timer_due);
    return OK;
}

static enum err lapic_check(const void *decoded, char *why, size_t why_size)
{
    const struct lapic_state *lapic = decoded;
    enum err e = check_mode(lapic, why, why_size);

    if (e == OK)
        e = check_vectors(lapic, why, why_size);
    if (e == OK)
        e = check_registers(lapic, why, why_size);
    if (e == OK)
        e = check_timer(lapic, why, why_size);
    return e;
}

static const struct field lapic_fields[] = {
    FIELD(struct lapic_state, apic_base, 0),
    FIELD(struct lapic_state, tpr, TPR_WRITABLE),
    FIELD(struct lapic_state, ldr, 0),
    FIELD(struct lapic_state, dfr, 0),
    FIELD(struct lapic_state, svr, SVR_WRITABLE),
    FIELD(struct lapic_state, esr, ESR_BITS),
    FIELD(struct lapic_state, esr_pending, ESR_BITS),
    FIELD_ARRAY(struct lapic_state, isr, 0),
    FIELD_ARRAY(struct lapic_state, tmr, 0),
    FIELD_ARRAY(struct lapic_state, irr, 0),
    FIELD(struct lapic_state, icr, 0),
    FIELD(struct lapic_state, lvt_timer, LVT_TIMER_WRITABLE),
    FIELD(struct lapic_state, lvt_thermal, LVT_THERMAL_WRITABLE),
    FIELD(struct lapic_state, lvt_performance, LVT_PERFORMANCE_WRITABLE),
    FIELD(struct lapic_state, lvt_lint0, LVT_LINT_WRITABLE),
    FIELD(struct lapic_state, lvt_lint1, LVT_LINT_WRITABLE),
    FIELD(struct lapic_state, lvt_error, LVT_ERROR_WRITABLE),
    FIELD(struct lapic_state, initial_count, 0),
    FIELD(struct lapic_state, divide_configuration, DIVIDE_WRITABLE),
    FIELD(struct lapic_state, tsc_deadline, 0),
    FIELD(struct lapic_state, timer_due, 0),
    FIELD(struct lapic_state, bus_divisor, BUS_DIVISOR_MAX),
};

const struct section lapic_section = {
    .name = "lapic",
    .version = 2,
    .fields = lapic_fields,
    .field_count = ARRAY_SIZE(lapic_fields),
    .struct_size = sizeof(struct lapic_state),
    .check = lapic_check,
};
