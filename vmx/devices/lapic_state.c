/*
 * The local APIC as a section of state. The check lets in only states that the model itself can reach, as far
 * as its invariants depend on them: no vector below 16 in a register of vectors, no reserved bit, LVTs masked
 * while software-disabled, one kind of timer armed at most, and never a period of 0.
 */
#include <inttypes.h>
#include <stdio.h>
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"

#define BUS_DIVISOR_MAX 65536 /* keeps a period within 2^55 ticks */

static enum err refuse(char *why, size_t why_size, const char *field, uint64_t value)
{
    snprintf(why, why_size, "section lapic, field %s: 0x%" PRIx64 " is no state that an APIC can be in",
             field, value);
    return ERR_INVALID;
}

static enum err check_vectors(const struct lapic *lapic, char *why, size_t why_size)
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

static enum err check_registers(const struct lapic *lapic, char *why, size_t why_size)
{
    const struct { const char *name; uint32_t value, writable; bool lvt; } registers[] = {
        { "tpr", lapic->tpr, 0xff, false },
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
    if ((lapic->icr & ~ICR_WRITABLE) != 0)
        return refuse(why, why_size, "icr", lapic->icr);
    return OK;
}

static enum err check_timer(const struct lapic *lapic, char *why, size_t why_size)
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
    const struct lapic *lapic = decoded;
    enum err e;

    if ((lapic->apic_base & ~IA32_APIC_BASE_BSP) != APIC_BASE_X2APIC)
        return refuse(why, why_size, "apic_base", lapic->apic_base);
    e = check_vectors(lapic, why, why_size);
    if (e == OK)
        e = check_registers(lapic, why, why_size);
    if (e == OK)
        e = check_timer(lapic, why, why_size);
    return e;
}

static const struct field lapic_fields[] = {
    FIELD(struct lapic, apic_base, 0),
    FIELD(struct lapic, id, UINT32_MAX - 1), /* FFFFFFFFh is the broadcast address */
    FIELD(struct lapic, tpr, 0xff),
    FIELD(struct lapic, svr, SVR_WRITABLE),
    FIELD(struct lapic, esr, ESR_BITS),
    FIELD_ARRAY(struct lapic, isr, 0),
    FIELD_ARRAY(struct lapic, tmr, 0),
    FIELD_ARRAY(struct lapic, irr, 0),
    FIELD(struct lapic, icr, 0),
    FIELD(struct lapic, lvt_timer, LVT_TIMER_WRITABLE),
    FIELD(struct lapic, lvt_thermal, LVT_THERMAL_WRITABLE),
    FIELD(struct lapic, lvt_performance, LVT_PERFORMANCE_WRITABLE),
    FIELD(struct lapic, lvt_lint0, LVT_LINT_WRITABLE),
    FIELD(struct lapic, lvt_lint1, LVT_LINT_WRITABLE),
    FIELD(struct lapic, lvt_error, LVT_ERROR_WRITABLE),
    FIELD(struct lapic, initial_count, 0),
    FIELD(struct lapic, divide_configuration, DIVIDE_WRITABLE),
    FIELD(struct lapic, tsc_deadline, 0),
    FIELD(struct lapic, timer_due, 0),
    FIELD(struct lapic, bus_divisor, BUS_DIVISOR_MAX),
    FIELD(struct lapic, self_nmi, 1),
    FIELD(struct lapic, esr_pending, ESR_BITS),
};

const struct section lapic_section = {
    .name = "lapic",
    .version = 1,
    .fields = lapic_fields,
    .field_count = ARRAY_SIZE(lapic_fields),
    .struct_size = sizeof(struct lapic),
    .check = lapic_check,
};
