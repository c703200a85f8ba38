#include "guests/lib/timer.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"

#define CPUID_TSC_CRYSTAL 0x15              /* EBX / EAX times ECX Hz */
#define CPUID_FEATURES 1
#define CPUID_FEATURES_ECX_X2APIC (1u << 21)
#define CPUID_FEATURES_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_FEATURES_ECX_HYPERVISOR (1u << 31)
#define CPUID_HYPERVISOR 0x40000000
#define CPUID_HYPERVISOR_TSC_KHZ 0x40000010 /* by convention of the hypervisors, in EAX */

static uint64_t start, period;
static uint64_t asked;                      /* interrupts asked for */
static volatile uint64_t came;              /* interrupts that came */
static uint64_t latest_tsc, backward_reads;

uint64_t timer_tsc_hz(void)
{
    if (cpuid(CPUID_FEATURES, 0).ecx & CPUID_FEATURES_ECX_HYPERVISOR &&
        cpuid(CPUID_HYPERVISOR, 0).eax >= CPUID_HYPERVISOR_TSC_KHZ)
        return cpuid(CPUID_HYPERVISOR_TSC_KHZ, 0).eax * 1000UL;
    if (cpuid(0, 0).eax >= CPUID_TSC_CRYSTAL) {
        struct cpuid_result crystal = cpuid(CPUID_TSC_CRYSTAL, 0);
        if (crystal.eax && crystal.ebx && crystal.ecx)
            return (uint64_t)crystal.ecx * crystal.ebx / crystal.eax;
    }
    guest_fail("CPUID does not tell the TSC frequency (leaves 40000010h and 15h)");
}

uint64_t timer_now(void)
{
    uint64_t now = rdtsc();

    if (now < latest_tsc)
        backward_reads++;
    else
        latest_tsc = now;
    return now;
}

static void timer_handler(struct interrupt_frame *frame)
{
    (void)frame;
    timer_now();
    came++;
    interrupt_end();
}

void timer_start(uint64_t hz)
{
    uint32_t features = cpuid(CPUID_FEATURES, 0).ecx;

    if (!(features & CPUID_FEATURES_ECX_X2APIC) || !(features & CPUID_FEATURES_ECX_TSC_DEADLINE))
        guest_fail("CPUID offers no x2APIC with a TSC-deadline timer");
    wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
    wrmsr(X2APIC_TPR, 0);
    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    interrupt_set_handler(VECTOR_TIMER, timer_handler);
    wrmsr(X2APIC_LVT_TIMER, X2APIC_LVT_MODE_TSC_DEADLINE | VECTOR_TIMER);
    period = timer_tsc_hz() / hz;
    start = timer_now();
}

uint64_t timer_period(void)
{
    return period;
}

uint64_t timer_deadline(uint64_t tick)
{
    return start + tick * period;
}

void timer_arm(uint64_t tick)
{
    asked++;
    wrmsr(IA32_TSC_DEADLINE, timer_deadline(tick));     /* one in the past fires at once */
}

bool timer_fired(void)
{
    return came >= asked;
}

void timer_sleep(void)
{
    while (!timer_fired())
        interrupts_wait();
}

uint64_t timer_interrupts(void)
{
    return came;
}

uint64_t timer_backward_reads(void)
{
    return backward_reads;
}
