/* Guarantees what lapic.h says. A register access is one branch and one instruction. */
#include "kernel/lapic.h"
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/paging.h"

#define LAPIC_SVR_ENABLE BIT(8)
#define LAPIC_ICR_PENDING BIT(12)
#define XAPIC_ID_SHIFT 24
#define DEFAULT_BASE 0xfee00000UL

static bool x2apic;
static volatile uint8_t *registers; /* xAPIC mode only */

bool lapic_is_x2apic(void)
{
    return x2apic;
}

bool lapic_is_ready(void)
{
    return x2apic || registers;
}

uint32_t lapic_read(enum lapic_register reg)
{
    if (x2apic)
        return (uint32_t)rdmsr(IA32_X2APIC_BASE + reg / 16);
    return *(volatile uint32_t *)(registers + reg);
}

void lapic_write(enum lapic_register reg, uint32_t value)
{
    if (x2apic)
        wrmsr(IA32_X2APIC_BASE + reg / 16, value);
    else
        *(volatile uint32_t *)(registers + reg) = value;
}

uint32_t lapic_id(void)
{
    uint32_t id = lapic_read(LAPIC_ID);
    return x2apic ? id : id >> XAPIC_ID_SHIFT;
}

void lapic_eoi(void)
{
    lapic_write(LAPIC_EOI, 0);
}

void lapic_send(uint32_t apic_id, uint32_t command)
{
    if (x2apic) {
        /* This WRMSR does not wait for earlier stores, and the target must see them: 11.12.3 "MSR Access in x2APIC
         * Mode" */
        mfence();
        lfence();
        wrmsr(IA32_X2APIC_BASE + LAPIC_ICR / 16, (uint64_t)apic_id << 32 | command);
        return;
    }
    /* xAPIC: the write to the low half sends, so the destination goes first; one IPI at a time. */
    while (lapic_read(LAPIC_ICR) & LAPIC_ICR_PENDING)
        pause();
    lapic_write(LAPIC_ICR_HIGH, apic_id << XAPIC_ID_SHIFT);
    lapic_write(LAPIC_ICR, command);
}

/* The sources that nobody handles are masked; the firmware may have left its timer running, which our mask ends. */
static const struct {
    enum lapic_register reg;
    uint32_t value;
} initial[] = {
    { LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER },
    { LAPIC_TIMER_INITIAL, 0 },
    { LAPIC_LVT_LINT0, LAPIC_LVT_MASKED }, /* the 8259s' line: all ISA interrupts come through the I/O APIC */
    { LAPIC_LVT_LINT1, LAPIC_LVT_NMI },
    { LAPIC_LVT_ERROR, VECTOR_ERROR },
    { LAPIC_TPR, 0 },
    { LAPIC_SVR, LAPIC_SVR_ENABLE | VECTOR_SPURIOUS },
};

void lapic_init_cpu(void)
{
    uint64_t base = rdmsr(IA32_APIC_BASE) | IA32_APIC_BASE_ENABLE;

    /* Figure 11-27 "Local APIC State Transitions": disabled -> xAPIC -> x2APIC, one step at a time. */
    wrmsr(IA32_APIC_BASE, base);
    if (x2apic)
        wrmsr(IA32_APIC_BASE, base | IA32_APIC_BASE_EXTD);
    for (unsigned i = 0; i < ARRAY_SIZE(initial); i++)
        lapic_write(initial[i].reg, initial[i].value);
}

void lapic_init(void)
{
    bool has_x2apic = cpuid(1, 0).ecx & CPUID_01_ECX_X2APIC;

    if (!has_x2apic) {
        struct hpa base = acpi_get()->local_apic;
        volatile void *mapped = NULL;
        if (!base.raw)
            base.raw = DEFAULT_BASE;
        if (paging_map_mmio(base, PAGE_SIZE, &mapped))
            panic("local APIC at %#lx cannot be mapped", base.raw);
        registers = mapped;
    }
    x2apic = has_x2apic;
    lapic_init_cpu();
}
