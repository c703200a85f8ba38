#include "guests/lib/smp.h"
#include <stdbool.h>
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

#define START_PAGE 0x8                      /* start.S lies at 8000h */
#define INIT_TO_START_UP_MS 10              /* SDM Vol. 3A, 9.4.4.1, steps 15 to 17 */
#define NMI_TO_START_UP_MS 2                /* more than a slice: it has been looked at */
#define START_UP_TO_START_UP_US 200
#define PATIENCE_SECONDS 10

extern volatile uint8_t smp_starting;       /* start.S */
extern volatile uint32_t smp_arrived;       /* others that have reached 64-bit mode */
extern uint8_t smp_stacks[CPUS_MAX - 1][SMP_STACK_SIZE];

volatile uint32_t smp_arrived;
uint8_t smp_stacks[CPUS_MAX - 1][SMP_STACK_SIZE] __attribute__((section(".bss.cold"), aligned(16)));

/* What a processor finds at GS:0. */
static struct self { uint32_t number, apic_id; } selves[CPUS_MAX];
static volatile uint32_t ready;             /* others that run main */
static void (*other_main)(unsigned number);

static void settle(unsigned number)
{
    selves[number] = (struct self){ number, (uint32_t)rdmsr(X2APIC_ID) };
    wrmsr(IA32_GS_BASE, (uint64_t)&selves[number]);
    wrmsr(X2APIC_TPR, 0);
    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
}

void smp_enter(uint32_t number)
{
    interrupt_load();
    settle(number);
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    other_main(number);
}

unsigned smp_number(void)
{
    uint32_t number;
    __asm__ volatile("movl %%gs:0, %0" : "=r"(number));
    return number;
}

uint32_t smp_apic_id(unsigned number)
{
    return selves[number].apic_id;
}

void smp_send(uint32_t destination, uint32_t command)
{
    wrmsr(X2APIC_ICR, (uint64_t)destination << 32 | command);
}

static void wait(uint64_t ticks)
{
    uint64_t start = rdtsc();
    while (rdtsc() - start < ticks)
        __asm__ volatile("pause");
}

void smp_start(unsigned count, void (*main)(unsigned number))
{
    uint64_t hz = timer_tsc_hz(), begin = rdtsc();

    other_main = main;
    smp_starting = 1;
    settle(0);
    smp_send(0, X2APIC_ICR_OTHERS | X2APIC_ICR_INIT | X2APIC_ICR_ASSERT);
    wait(hz / 1000 * INIT_TO_START_UP_MS);
    /* Who waits for its start-up takes no NMI, and none afterwards that came then: it has no table for it. */
    smp_send(0, X2APIC_ICR_OTHERS | X2APIC_ICR_NMI | X2APIC_ICR_ASSERT);
    wait(hz / 1000 * NMI_TO_START_UP_MS);
    for (unsigned i = 0; i < 2; i++) {
        smp_send(0, X2APIC_ICR_OTHERS | X2APIC_ICR_START_UP | X2APIC_ICR_ASSERT | START_PAGE);
        wait(hz / 1000000 * START_UP_TO_START_UP_US);
    }
    while (ready + 1 < count)
        if (rdtsc() - begin > hz * PATIENCE_SECONDS)
            guest_fail("%u of %u processors came", ready + 1, count);
    if (ready + 1 > count)
        guest_fail("%u processors came, expected %u", ready + 1, count);
}
