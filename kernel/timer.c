/*
 * Guarantees: a timer's callback runs once, on the CPU that armed it, at its deadline or at the first interrupt window
 * after it. Each CPU has a list sorted by deadline; the hardware is armed for its head. A hardware interrupt that comes
 * early (a cancelled head, a short one-shot range) fires nothing and arms again.
 */
#include "kernel/timer.h"
#include <stddef.h>
#include "kernel/arch/insn.h"
#include "kernel/lapic.h"
#include "kernel/arch/msr.h"
#include "kernel/cpu.h"
#include "kernel/interrupt.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"

#define CALIBRATION_US 10000

struct timer_queue {
    struct timer *head;
};

/* The two ways in which a LAPIC keeps a deadline (SDM Vol. 3A, 11.5.4 "APIC Timer"). */
struct timer_mode {
    const char *name;
    uint32_t lvt;
    void (*program)(uint64_t deadline);
};

static void program_tsc_deadline(uint64_t deadline);
static void program_one_shot(uint64_t deadline);

static const struct timer_mode tsc_deadline = { "TSC-deadline", LAPIC_LVT_TSC_DEADLINE, program_tsc_deadline };
static const struct timer_mode one_shot = { "one-shot", 0, program_one_shot };

static struct timer_queue queues[CPUS_MAX];
static const struct timer_mode *mode;
static uint64_t lapic_hz; /* one-shot only */

static void program_tsc_deadline(uint64_t deadline)
{
    wrmsr(IA32_TSC_DEADLINE, deadline ? deadline : 1); /* 0 would disarm */
}

static void program_one_shot(uint64_t deadline)
{
    uint64_t now = time_now();
    uint64_t ticks = deadline > now ? deadline - now : 0;
    uint64_t whole_range = mul_div_u64(UINT32_MAX, time_tsc_hz(), lapic_hz);
    uint64_t count = ticks >= whole_range ? UINT32_MAX : mul_div_u64(ticks, lapic_hz, time_tsc_hz()) + 1;

    lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)count);
}

static void remove(struct timer_queue *queue, struct timer *timer)
{
    struct timer **link = &queue->head;

    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->armed = false;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
    struct timer_queue *queue = cpu_this()->timers;
    struct timer **link = &queue->head;

    if (timer->armed)
        remove(queue, timer);
    timer->deadline = deadline;
    timer->armed = true;
    while (*link && (*link)->deadline <= deadline)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
    if (queue->head == timer)
        mode->program(deadline);
}

void timer_cancel(struct timer *timer)
{
    if (timer->armed)
        remove(cpu_this()->timers, timer);
}

static void timer_handler(void *arg)
{
    struct timer_queue *queue = cpu_this()->timers;
    struct timer *timer;
    uint64_t now = time_now();

    (void)arg;
    while ((timer = queue->head) && timer->deadline <= now) {
        remove(queue, timer);
        timer->fn(timer);
    }
    if (queue->head)
        mode->program(queue->head->deadline);
}

/* Counts the LAPIC timer's ticks for a while of TSC time. */
static void lapic_timer_calibrate(void)
{
    uint64_t start, end;
    uint32_t count;

    lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);
    start = time_now();
    for (end = start + time_from_us(CALIBRATION_US); time_now() < end;)
        pause();
    count = UINT32_MAX - lapic_read(LAPIC_TIMER_CURRENT);
    end = time_now();
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_hz = mul_div_u64(count, time_tsc_hz(), end - start);
    KERNEL_ASSERT(lapic_hz);
}

void timer_init_cpu(void)
{
    struct cpu *cpu = cpu_this();

    cpu->timers = &queues[cpu->index];
    lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIVIDE_BY_1);
    lapic_write(LAPIC_LVT_TIMER, mode->lvt | VECTOR_TIMER);
    mfence(); /* the mode must be there before the first deadline is written (11.5.4.1 "TSC-Deadline Mode") */
}

void timer_init(void)
{
    mode = cpuid(1, 0).ecx & CPUID_01_ECX_TSC_DEADLINE ? &tsc_deadline : &one_shot;
    if (mode == &one_shot)
        lapic_timer_calibrate();
    if (interrupt_handle_vector(VECTOR_TIMER, timer_handler, NULL))
        panic("no room for the timer's interrupt handler");
    timer_init_cpu();
    log_info("timer", "LAPIC timer in %s mode", mode->name);
}
