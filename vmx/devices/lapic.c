/*
 * The local APIC's registers as MSRs (section 11.12.1.2 "x2APIC Register Address Space"). Every WRMSR is
 * checked against one table before anything changes: a write that the manual forbids raises #GP(0) and does
 * nothing.
 */
#include <stddef.h>
#include <string.h>
#include "vmx/devices/lapic_regs.h"

/* The MSR's address less 800h (table 11-6). */
enum x2apic_register {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_ISR_LAST = 0x17,
    REG_TMR = 0x18,
    REG_TMR_LAST = 0x1f,
    REG_IRR = 0x20,
    REG_IRR_LAST = 0x27,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
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
};

/*
 * Section 11.4.8 "Local APIC Version Register": an integrated APIC with six LVT registers, no EOI-broadcast
 * suppression.
 */
#define VERSION_VALUE (0x14u | 5u << 16)
#define SVR_RESET 0xffu

enum { READ = 1, WRITE = 2, READ_WRITE = READ | WRITE };
enum value_of { COMPUTED, PLAIN, PLAIN_64 };

/*
 * What RDMSR and WRMSR may do. Section 11.12.1.3 "Reserved Bit Checking": writing a 1 outside `writable`
 * raises #GP(0), and so does access to what is in no row: the DFR and ICR-high of xAPIC mode, and LVT CMCI,
 * which the version register does not announce. EOI and ESR can be written, but only with 0. PLAIN registers
 * read as the member says.
 */
static const struct rule {
    uint8_t access;
    uint8_t kind;
    uint16_t offset;
    uint64_t writable;
} rules[X2APIC_MSRS] = {
    [REG_ID] = { READ, PLAIN, offsetof(struct lapic, id), 0 },
    [REG_VERSION] = { READ, COMPUTED, 0, 0 },
    [REG_TPR] = { READ_WRITE, PLAIN, offsetof(struct lapic, tpr), 0xff },
    [REG_PPR] = { READ, COMPUTED, 0, 0 },
    [REG_EOI] = { WRITE, COMPUTED, 0, 0 },
    [REG_LDR] = { READ, COMPUTED, 0, 0 },
    [REG_SVR] = { READ_WRITE, PLAIN, offsetof(struct lapic, svr), SVR_WRITABLE },
    [REG_ISR ... REG_ISR_LAST] = { READ, COMPUTED, 0, 0 },
    [REG_TMR ... REG_TMR_LAST] = { READ, COMPUTED, 0, 0 },
    [REG_IRR ... REG_IRR_LAST] = { READ, COMPUTED, 0, 0 },
    [REG_ESR] = { READ_WRITE, PLAIN, offsetof(struct lapic, esr), 0 },
    [REG_ICR] = { READ_WRITE, PLAIN_64, offsetof(struct lapic, icr), ICR_WRITABLE },
    [REG_LVT_TIMER] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_timer), LVT_TIMER_WRITABLE },
    [REG_LVT_THERMAL] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_thermal), LVT_THERMAL_WRITABLE },
    [REG_LVT_PERFORMANCE] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_performance),
                              LVT_PERFORMANCE_WRITABLE },
    [REG_LVT_LINT0] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_lint0), LVT_LINT_WRITABLE },
    [REG_LVT_LINT1] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_lint1), LVT_LINT_WRITABLE },
    [REG_LVT_ERROR] = { READ_WRITE, PLAIN, offsetof(struct lapic, lvt_error), LVT_ERROR_WRITABLE },
    [REG_INITIAL_COUNT] = { READ_WRITE, PLAIN, offsetof(struct lapic, initial_count), UINT32_MAX },
    [REG_CURRENT_COUNT] = { READ, COMPUTED, 0, 0 },
    [REG_DIVIDE_CONFIGURATION] = { READ_WRITE, PLAIN, offsetof(struct lapic, divide_configuration),
                                   DIVIDE_WRITABLE },
    [REG_SELF_IPI] = { WRITE, COMPUTED, 0, APIC_VECTOR_MASK },
};

static const struct rule *rule_of(uint32_t msr)
{
    return &rules[msr - IA32_X2APIC_BASE];
}

static uint32_t *register_of(struct lapic *lapic, const struct rule *rule)
{
    return (uint32_t *)((uint8_t *)lapic + rule->offset);
}

static bool msr_is_x2apic(uint32_t msr)
{
    return msr >= IA32_X2APIC_BASE && msr < IA32_X2APIC_BASE + X2APIC_MSRS;
}

/* Section 11.4.7.3 "Local APIC State After an INIT Reset" */
void lapic_reset(struct lapic *lapic, uint32_t id, bool bootstrap)
{
    memset(lapic, 0, sizeof(*lapic));
    lapic->apic_base = APIC_BASE_X2APIC | (bootstrap ? IA32_APIC_BASE_BSP : 0);
    lapic->id = id;
    lapic->svr = SVR_RESET;
    lapic->bus_divisor = 1;
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
        *register_of(lapic, &rules[reg]) = LVT_MASKED;
}

/* ---- RDMSR ---- */

static uint64_t read_computed(const struct lapic *lapic, unsigned reg, uint64_t now)
{
    switch (reg) {
    case REG_VERSION: return VERSION_VALUE;
    case REG_PPR: return lapic_ppr(lapic);
    case REG_LDR: return lapic_ldr(lapic);
    case REG_ISR ... REG_ISR_LAST: return lapic->isr[reg - REG_ISR];
    case REG_TMR ... REG_TMR_LAST: return lapic->tmr[reg - REG_TMR];
    case REG_IRR ... REG_IRR_LAST: return lapic->irr[reg - REG_IRR];
    case REG_CURRENT_COUNT: return lapic_timer_current_count(lapic, now);
    default: return 0;
    }
}

bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t *value)
{
    const struct rule *rule;

    lapic_advance(lapic, now);
    if (msr == IA32_APIC_BASE || msr == IA32_TSC_DEADLINE) {
        *value = msr == IA32_APIC_BASE ? lapic->apic_base : lapic->tsc_deadline;
        return true;
    }
    if (!msr_is_x2apic(msr) || (rule_of(msr)->access & READ) == 0)
        return false;
    rule = rule_of(msr);
    if (rule->kind == COMPUTED)
        *value = read_computed(lapic, msr - IA32_X2APIC_BASE, now);
    else
        *value = rule->kind == PLAIN_64 ? lapic->icr : *register_of(lapic, rule);
    return true;
}

/* ---- WRMSR ---- */

/*
 * Section 11.4.7.2 "Local APIC State After It Has Been Software Disabled": the mask bits of all LVT registers
 * are set, and attempts to reset them are ignored.
 */
static void write_svr(struct lapic *lapic, uint32_t value)
{
    lapic->svr = value;
    if ((value & SVR_ENABLE) != 0)
        return;
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
        *register_of(lapic, &rules[reg]) |= LVT_MASKED;
}

static void write_lvt(struct lapic *lapic, unsigned reg, uint32_t value)
{
    value &= ~LVT_READ_ONLY;
    if ((lapic->svr & SVR_ENABLE) == 0)
        value |= LVT_MASKED;
    if (reg == REG_LVT_TIMER)
        lapic_timer_set_lvt(lapic, value);
    else
        *register_of(lapic, &rules[reg]) = value;
}

/* Section 11.5.3: the write shows the errors since the last one, and rearms. */
static void write_esr(struct lapic *lapic)
{
    lapic->esr = lapic->esr_pending;
    lapic->esr_pending = 0;
}

static void write_register(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value)
{
    switch (reg) {
    case REG_TPR: lapic->tpr = (uint32_t)value; break;
    case REG_EOI: lapic_end_of_interrupt(lapic); break;
    case REG_SVR: write_svr(lapic, (uint32_t)value); break;
    case REG_ESR: write_esr(lapic); break;
    case REG_ICR:
        lapic->icr = value;
        lapic_send_ipi(lapic, value);
        break;
    case REG_LVT_TIMER ... REG_LVT_ERROR: write_lvt(lapic, reg, (uint32_t)value); break;
    case REG_INITIAL_COUNT: lapic_timer_set_initial_count(lapic, now, (uint32_t)value); break;
    case REG_DIVIDE_CONFIGURATION: lapic_timer_set_divide(lapic, now, (uint32_t)value); break;
    case REG_SELF_IPI: lapic_send_self_ipi(lapic, (uint8_t)value); break;
    }
}

/* The timer mode 11b is reserved: refused like a reserved bit. */
static bool value_allowed(unsigned reg, uint64_t value)
{
    if ((value & ~rules[reg].writable) != 0)
        return false;
    return reg != REG_LVT_TIMER || (value & LVT_TIMER_MODE_MASK) != LVT_TIMER_MODE_MASK;
}

/*
 * Section 11.12.5 "x2APIC State Transitions", less those that leave the mode: see lapic.h. BSP is writable,
 * and only a label.
 */
static bool write_apic_base(struct lapic *lapic, uint64_t value)
{
    if ((value & ~IA32_APIC_BASE_BSP) != APIC_BASE_X2APIC)
        return false;
    lapic->apic_base = value;
    return true;
}

bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t value)
{
    lapic_advance(lapic, now); /* what was due before this write is not undone by it */
    if (msr == IA32_APIC_BASE)
        return write_apic_base(lapic, value);
    if (msr == IA32_TSC_DEADLINE) {
        lapic_timer_set_tsc_deadline(lapic, now, value);
        return true;
    }
    if (!msr_is_x2apic(msr) || (rule_of(msr)->access & WRITE) == 0)
        return false;
    if (!value_allowed(msr - IA32_X2APIC_BASE, value))
        return false;
    write_register(lapic, msr - IA32_X2APIC_BASE, now, value);
    return true;
}
