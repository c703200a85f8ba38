/*
 * The local APIC's registers as software sees them: as MSRs (section 11.12.1.2 "x2APIC Register Address Space"), in
 * memory (11.4.1 "The Local APIC Block Diagram", table 11-1), and as the processor leaves them in the page. One table
 * says which register exists where, and what may be written: a WRMSR that the manual forbids raises #GP(0) and does
 * nothing; a store to memory loses its reserved bits.
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/lapic_regs.h"


enum { MSR_READ = 1, MSR_WRITE = 2, MEMORY_READ = 4, MEMORY_WRITE = 8 };
#define READ (MSR_READ | MEMORY_READ)
#define WRITE (MSR_WRITE | MEMORY_WRITE)
#define READ_WRITE (READ | WRITE)

/*
 * Section 11.12.1.3 "Reserved Bit Checking": WRMSR of a 1 outside `writable` raises #GP(0), and so does access to what
 * is in no row, as LVT CMCI, which the version register does not announce. EOI and ESR can be written, by WRMSR only
 * with 0.
 */
static const struct rule {
    uint8_t access;
    uint64_t writable;
} rules[REG_COUNT] = {
    [REG_ID] = { READ, 0 },
    [REG_VERSION] = { READ, 0 },
    [REG_TPR] = { READ_WRITE, TPR_WRITABLE },
    [REG_APR] = { MEMORY_READ, 0 },
    [REG_PPR] = { READ, 0 },
    [REG_EOI] = { WRITE | MEMORY_READ, 0 },
    [REG_RRD] = { MEMORY_READ, 0 },
    [REG_LDR] = { READ | MEMORY_WRITE, LDR_WRITABLE },
    [REG_DFR] = { MEMORY_READ | MEMORY_WRITE, UINT32_MAX },
    [REG_SVR] = { READ_WRITE, SVR_WRITABLE },
    [REG_ISR ... REG_ISR_LAST] = { READ, 0 },
    [REG_TMR ... REG_TMR_LAST] = { READ, 0 },
    [REG_IRR ... REG_IRR_LAST] = { READ, 0 },
    [REG_ESR] = { READ_WRITE, 0 },
    [REG_ICR] = { READ_WRITE, ICR_WRITABLE },
    [REG_ICR_HIGH] = { MEMORY_READ | MEMORY_WRITE, ICR_HIGH_WRITABLE },
    [REG_LVT_TIMER] = { READ_WRITE, LVT_TIMER_WRITABLE },
    [REG_LVT_THERMAL] = { READ_WRITE, LVT_THERMAL_WRITABLE },
    [REG_LVT_PERFORMANCE] = { READ_WRITE, LVT_PERFORMANCE_WRITABLE },
    [REG_LVT_LINT0] = { READ_WRITE, LVT_LINT_WRITABLE },
    [REG_LVT_LINT1] = { READ_WRITE, LVT_LINT_WRITABLE },
    [REG_LVT_ERROR] = { READ_WRITE, LVT_ERROR_WRITABLE },
    [REG_INITIAL_COUNT] = { READ_WRITE, UINT32_MAX },
    [REG_CURRENT_COUNT] = { READ, 0 },
    [REG_DIVIDE_CONFIGURATION] = { READ_WRITE, DIVIDE_WRITABLE },
    [REG_SELF_IPI] = { MSR_WRITE, APIC_VECTOR_MASK },
};

static bool may(unsigned reg, unsigned access)
{
    return reg < REG_COUNT && (rules[reg].access & access) != 0;
}

static bool in_x2apic_mode(const struct lapic *lapic)
{
    return lapic_mode(lapic) == APIC_X2APIC;
}

/* ---- reads ---- */

static uint64_t read_register(const struct lapic *lapic, unsigned reg, uint64_t now)
{
    switch (reg) {
    case REG_PPR: return lapic_ppr(lapic);
    case REG_CURRENT_COUNT: return lapic_timer_current_count(lapic, now);
    case REG_ICR: return in_x2apic_mode(lapic) ? lapic_get_icr(lapic) : lapic_get(lapic, reg);
    case REG_EOI: return 0;
    default: return lapic_get(lapic, reg);
    }
}

bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t *value)
{
    unsigned reg = msr - IA32_X2APIC_BASE;
    lapic_advance(lapic, now);
    if (msr == IA32_APIC_BASE || msr == IA32_TSC_DEADLINE) {
        *value = msr == IA32_APIC_BASE ? lapic->apic_base : lapic->tsc_deadline;
        return true;
    }
    if (!in_x2apic_mode(lapic) || !may(reg, MSR_READ))
        return false;
    *value = read_register(lapic, reg, now);
    return true;
}

uint32_t lapic_mmio_read(struct lapic *lapic, uint32_t offset, uint64_t now)
{
    unsigned reg = offset / REGISTER_STRIDE;
    if (lapic_mode(lapic) != APIC_XAPIC || offset % REGISTER_STRIDE)
        return 0;
    lapic_advance(lapic, now);
    if (may(reg, MEMORY_READ))
        return (uint32_t)read_register(lapic, reg, now);
    lapic_record_error(lapic, ESR_ILLEGAL_REGISTER_ADDRESS);
    return 0;
}

/* ---- writes ---- */

/*
 * Section 11.4.7.2 "Local APIC State After It Has Been Software Disabled": the mask bits of all LVT registers
 * are set, and attempts to reset them are ignored.
 */
static void write_svr(struct lapic *lapic, uint32_t value)
{
    lapic_put(lapic, REG_SVR, value);
    lapic->changed |= LAPIC_CHANGED_ROUTE;
    if ((value & SVR_ENABLE) != 0)
        return;
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
        lapic_put(lapic, reg, lapic_get(lapic, reg) | LVT_MASKED);
}

static void write_lvt(struct lapic *lapic, unsigned reg, uint32_t value)
{
    value &= ~LVT_READ_ONLY;
    if ((lapic_get(lapic, REG_SVR) & SVR_ENABLE) == 0)
        value |= LVT_MASKED;
    if (reg == REG_LVT_TIMER)
        lapic_timer_set_lvt(lapic, value);
    else
        lapic_put(lapic, reg, value);
}

/* Section 11.5.3: the write shows the errors since the last one, and rearms. */
static void write_esr(struct lapic *lapic)
{
    lapic_put(lapic, REG_ESR, lapic->esr_pending);
    lapic->esr_pending = 0;
}

/* In xAPIC mode a write of the low half sends to where the high half says. */
static void write_icr(struct lapic *lapic, uint64_t value)
{
    if (!in_x2apic_mode(lapic))
        value |= (uint64_t)lapic_get(lapic, REG_ICR_HIGH) << ICR_DESTINATION_SHIFT;
    lapic_put_icr(lapic, value);
    lapic_send_ipi(lapic, value);
}

/* `value` has only bits that may be set. Every case leaves in the page what a read shall give. */
static void write_register(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value)
{
    switch (reg) {
    case REG_TPR: lapic_put(lapic, REG_TPR, (uint32_t)value); break;
    case REG_EOI: lapic_end_of_interrupt(lapic); break;
    case REG_LDR:
    case REG_DFR:
        lapic_put(lapic, reg, (uint32_t)value | (reg == REG_DFR ? DFR_ONES : 0));
        lapic->changed |= LAPIC_CHANGED_ROUTE;
        break;
    case REG_SVR: write_svr(lapic, (uint32_t)value); break;
    case REG_ESR: write_esr(lapic); break;
    case REG_ICR: write_icr(lapic, value); break;
    case REG_ICR_HIGH: lapic_put(lapic, REG_ICR_HIGH, (uint32_t)value); break;
    case REG_LVT_TIMER ... REG_LVT_ERROR: write_lvt(lapic, reg, (uint32_t)value); break;
    case REG_INITIAL_COUNT: lapic_timer_set_initial_count(lapic, now, (uint32_t)value); break;
    case REG_DIVIDE_CONFIGURATION: lapic_timer_set_divide(lapic, now, (uint32_t)value); break;
    case REG_SELF_IPI: lapic_send_self_ipi(lapic, (uint8_t)value); break;
    }
}

/* The timer mode 11b is reserved. */
static bool is_reserved_timer_mode(unsigned reg, uint64_t value)
{
    return reg == REG_LVT_TIMER && (value & LVT_TIMER_MODE_MASK) == LVT_TIMER_MODE_MASK;
}

bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t value)
{
    unsigned reg = msr - IA32_X2APIC_BASE;
    lapic_advance(lapic, now); /* what was due before this write is not undone by it */
    if (msr == IA32_TSC_DEADLINE) {
        lapic_timer_set_tsc_deadline(lapic, now, value);
        return true;
    }
    if (msr == IA32_APIC_BASE)
        return lapic_write_apic_base(lapic, value);
    if (!in_x2apic_mode(lapic) || !may(reg, MSR_WRITE))
        return false;
    if ((value & ~rules[reg].writable) != 0 || is_reserved_timer_mode(reg, value))
        return false;
    write_register(lapic, reg, now, value);
    return true;
}

/* What is left of a 32-bit value that was stored. A reserved timer mode becomes one-shot. */
static uint32_t without_reserved_bits(unsigned reg, uint32_t value)
{
    value &= reg == REG_ICR ? ICR_LOW_WRITABLE : (uint32_t)rules[reg].writable;
    return is_reserved_timer_mode(reg, value) ? value & ~LVT_TIMER_MODE_MASK : value;
}

static void store(struct lapic *lapic, unsigned reg, uint64_t now, uint32_t value)
{
    lapic_advance(lapic, now);
    if (may(reg, MEMORY_WRITE))
        write_register(lapic, reg, now, without_reserved_bits(reg, value));
    else if (!may(reg, MEMORY_READ))
        lapic_record_error(lapic, ESR_ILLEGAL_REGISTER_ADDRESS);
}

void lapic_mmio_write(struct lapic *lapic, uint32_t offset, uint64_t now, uint32_t value)
{
    if (lapic_mode(lapic) == APIC_XAPIC && offset % REGISTER_STRIDE == 0)
        store(lapic, offset / REGISTER_STRIDE, now, value);
}

/*
 * Vol. 3C, 30.4.3.3 "APIC-Write Emulation": the value is in the page. The ID is not for software to change; an illegal
 * self-IPI in x2APIC mode comes here too (30.5).
 */
void lapic_page_written(struct lapic *lapic, uint32_t offset, uint64_t now)
{
    unsigned reg = offset / REGISTER_STRIDE;
    if (reg >= REG_COUNT)
        return;
    if (reg == REG_ID)
        lapic_put(lapic, REG_ID, lapic->id << XAPIC_ID_SHIFT);
    else if (reg == REG_SELF_IPI && in_x2apic_mode(lapic))
        lapic_send_self_ipi(lapic, (uint8_t)lapic_get(lapic, reg));
    else
        store(lapic, reg, now, lapic_get(lapic, reg));
}

uint8_t lapic_cr8(const struct lapic *lapic)
{
    return (uint8_t)(lapic_get(lapic, REG_TPR) >> 4);
}

void lapic_set_cr8(struct lapic *lapic, uint8_t value)
{
    lapic_put(lapic, REG_TPR, (uint32_t)value << 4 & TPR_WRITABLE);
}
