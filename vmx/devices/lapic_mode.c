/*
 * Reset, INIT, and the modes of the local APIC: section 11.12.5 "x2APIC State Transitions". A mode is two bits of
 * IA32_APIC_BASE; what is no legal step from here is #GP(0), as figure 11-27 draws it.
 */
#include <string.h>
#include "vmx/devices/lapic_regs.h"

/* Section 11.4.8 "Local APIC Version Register": integrated, six LVT registers, no EOI-broadcast suppression. */
#define VERSION_VALUE (0x14u | 5u << 16)

/* Section 11.12.10.2 "Deriving Logical x2APIC ID from the Local x2APIC ID" */
#define X2APIC_CLUSTER_SHIFT 4
#define X2APIC_CLUSTER_PLACE 16
#define X2APIC_MEMBER_MASK 0xfu

void lapic_attach(struct lapic *lapic, void *page, const struct lapic_output *output, void *context)
{
    memset(lapic, 0, sizeof *lapic);
    lapic->page = page;
    lapic->output = output;
    lapic->context = context;
    lapic->bus_divisor = 1;
}

enum apic_mode lapic_mode(const struct lapic *lapic)
{
    if ((lapic->apic_base & IA32_APIC_BASE_ENABLE) == 0)
        return APIC_DISABLED;
    return lapic->apic_base & IA32_APIC_BASE_EXTD ? APIC_X2APIC : APIC_XAPIC;
}

uint64_t lapic_mmio_base(const struct lapic *lapic)
{
    return lapic_mode(lapic) == APIC_XAPIC ? lapic->apic_base & APIC_BASE_ADDRESS : 0;
}

uint32_t lapic_ldr(const struct lapic *lapic)
{
    return lapic_get(lapic, REG_LDR);
}

uint32_t lapic_dfr(const struct lapic *lapic)
{
    return lapic_get(lapic, REG_DFR);
}

bool lapic_software_enabled(const struct lapic *lapic)
{
    return (lapic_get(lapic, REG_SVR) & SVR_ENABLE) != 0;
}

static uint32_t logical_x2apic_id(uint32_t id)
{
    return id >> X2APIC_CLUSTER_SHIFT << X2APIC_CLUSTER_PLACE | 1u << (id & X2APIC_MEMBER_MASK);
}

/* What identifies the APIC, in the form of its mode; the DFR exists in xAPIC mode only. */
void lapic_put_identity(struct lapic *lapic)
{
    bool x2apic = lapic_mode(lapic) == APIC_X2APIC;
    lapic_put(lapic, REG_ID, x2apic ? lapic->id : lapic->id << XAPIC_ID_SHIFT);
    lapic_put(lapic, REG_VERSION, VERSION_VALUE);
    lapic_put(lapic, REG_LDR, x2apic ? logical_x2apic_id(lapic->id) : 0);
    lapic_put(lapic, REG_DFR, x2apic ? 0 : DFR_RESET);
}

static void changed_all(struct lapic *lapic)
{
    lapic->changed |= LAPIC_CHANGED_REQUESTS | LAPIC_CHANGED_TRIGGERS | LAPIC_CHANGED_MODE | LAPIC_CHANGED_ROUTE;
}

/* Sections 11.4.7.1 "Local APIC State After Power-Up or Reset" and 11.4.7.3 "... an INIT Reset": the registers. */
static void reset_registers(struct lapic *lapic)
{
    memset(lapic->page, 0, LAPIC_PAGE_SIZE);
    lapic_put_identity(lapic);
    lapic_put(lapic, REG_SVR, SVR_RESET);
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
        lapic_put(lapic, reg, LVT_MASKED);
    lapic->esr_pending = 0;
    lapic_timer_reset(lapic);
    changed_all(lapic);
}

void lapic_reset(struct lapic *lapic, uint32_t id, bool bootstrap, enum apic_mode mode)
{
    static const uint64_t bits[] = { [APIC_DISABLED] = 0, [APIC_XAPIC] = IA32_APIC_BASE_ENABLE,
                                     [APIC_X2APIC] = APIC_BASE_MODE };
    lapic->id = id;
    lapic->apic_base = LAPIC_DEFAULT_BASE | bits[mode] | (bootstrap ? IA32_APIC_BASE_BSP : 0);
    reset_registers(lapic);
}

void lapic_init_signal(struct lapic *lapic)
{
    reset_registers(lapic);
}

/* MultiProcessor Specification 1.4, 3.6.2.2 "Virtual Wire Mode" */
void lapic_prepare_virtual_wire(struct lapic *lapic)
{
    lapic_put(lapic, REG_SVR, SVR_RESET | SVR_ENABLE);
    lapic_put(lapic, REG_LVT_LINT0, DELIVERY_EXTINT << ICR_DELIVERY_MODE_SHIFT);
    lapic_put(lapic, REG_LVT_LINT1, DELIVERY_NMI << ICR_DELIVERY_MODE_SHIFT);
    lapic->changed |= LAPIC_CHANGED_ROUTE;
}

/* Legal steps; a step to the same mode may move the base. 11.12.5: x2APIC mode is left through "disabled" only. */
static bool may_step(enum apic_mode from, uint64_t to)
{
    switch (to & APIC_BASE_MODE) {
    case 0: return true;
    case IA32_APIC_BASE_ENABLE: return from != APIC_X2APIC;
    case APIC_BASE_MODE: return from != APIC_DISABLED;
    default: return false; /* EXTD without EN is invalid */
    }
}

/*
 * Section 11.12.5.1 "x2APIC States": xAPIC to x2APIC keeps the registers, but for ID, LDR and the ICR, whose forms
 * differ. Disabling loses them.
 */
bool lapic_write_apic_base(struct lapic *lapic, uint64_t value)
{
    enum apic_mode from = lapic_mode(lapic);
    if ((value & ~APIC_BASE_WRITABLE) != 0 || !may_step(from, value))
        return false;
    lapic->apic_base = value;
    enum apic_mode to = lapic_mode(lapic);
    if (to == APIC_DISABLED || from == APIC_DISABLED) {
        reset_registers(lapic);
    } else if (to != from) {
        lapic_put_identity(lapic);
        lapic_put(lapic, REG_ICR_HIGH, 0);
    }
    lapic->changed |= LAPIC_CHANGED_MODE | LAPIC_CHANGED_ROUTE;
    return true;
}
