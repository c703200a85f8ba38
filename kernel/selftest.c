/*
 * Guarantees: each test leaves threads, heap and memory as they were. A test returns NULL, or says what went wrong.
 */
#include "kernel/selftest.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/cpu.h"
#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/lib/zero.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/paging.h"

#define PING_ROUNDS 200
#define WAIT_MS 2000

void selftest_division(void)
{
    if (idivq(0, 1000000000, 1000) != 1000000 || idivq(-1, (uint64_t)-1000000007, 10) != -100000000)
        panic("this processor divides wrongly (IDIV r/m64): an emulator with a known fault? See docs");
}

/* Two threads that wake each other in turn, PING_ROUNDS times. */
struct ping {
    struct thread *threads[2];
    atomic_uint turn;
};

static void ping_run(struct ping *p, unsigned side)
{
    uint64_t deadline = time_after_ms(WAIT_MS);

    for (unsigned round = side; round < PING_ROUNDS; round += 2) {
        while (atomic_load(&p->turn) != round)
            if (!thread_block_until(deadline) && time_now() >= deadline)
                return;
        atomic_store(&p->turn, round + 1);
        thread_wake(p->threads[!side]);
    }
}

static void ping_other(void *arg)
{
    ping_run(arg, 1);
}

/* Side 0 is the calling thread. */
static const char *ping_with(struct cpu *cpu)
{
    struct ping p = { .threads = { thread_current() } };

    if (thread_create(&p.threads[1], "selftest-ping", cpu, ping_other, &p))
        return "no memory for a thread";
    ping_run(&p, 0);
    thread_join(p.threads[1]);
    while (thread_block_until(0)) /* the last wake-up left a permit */
        ;
    return atomic_load(&p.turn) == PING_ROUNDS ? NULL : "a wake-up was lost";
}

static const char *test_threads_here(void)
{
    return ping_with(NULL);
}

static const char *test_threads_across_cpus(void)
{
    const char *error = NULL;

    for (uint32_t i = 1; i < cpu_count() && !error; i++)
        error = ping_with(cpu_by_index(i));
    return error;
}

static void note_cpu(void *arg)
{
    *(uint32_t *)arg = cpu_this()->index;
}

static const char *test_cpu_call(void)
{
    for (uint32_t i = 0; i < cpu_count(); i++) {
        uint32_t ran_on = UINT32_MAX;
        cpu_call(cpu_by_index(i), note_cpu, &ran_on);
        if (ran_on != i)
            return "the function ran on another CPU";
    }
    return NULL;
}

/* The order in which timers fired, by their place in the array. */
#define TIMERS 4
static struct timer timers[TIMERS];
static unsigned fired[TIMERS], fired_count;

static void note_timer(struct timer *timer)
{
    fired[fired_count++] = (unsigned)(timer - timers);
}

static const char *test_timers(void)
{
    static const unsigned delays_ms[TIMERS] = { 8, 2, 6, 4 };
    uint64_t start = time_now();

    fired_count = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i].fn = note_timer;
        timer_arm(&timers[i], start + time_from_us(delays_ms[i] * 1000));
    }
    timer_cancel(&timers[2]);
    thread_sleep_until(start + time_from_us(20000));
    if (fired_count != 3 || fired[0] != 1 || fired[1] != 3 || fired[2] != 0)
        return "timers fired in a wrong order";
    return time_now() < start + time_from_us(20000) ? "a sleep ended early" : NULL;
}

/* A thread that never blocks must not keep its CPU's timers and interrupts from running. */
static const char *test_interrupt_window(void)
{
    uint64_t limit = time_after_ms(WAIT_MS);

    fired_count = 0;
    timers[0].fn = note_timer;
    timer_arm(&timers[0], time_after_ms(1));
    while (!fired_count && time_now() < limit)
        thread_yield();
    timer_cancel(&timers[0]);
    return fired_count ? NULL : "no interrupt came in while a thread yielded";
}

static const char *test_block_until(void)
{
    uint64_t deadline = time_after_ms(3);

    if (thread_block_until(deadline))
        return "a permit came from nowhere";
    if (time_now() < deadline)
        return "the wait ended early";
    thread_wake(thread_current());
    thread_sleep_until(time_after_ms(1));
    return thread_block_until(time_after_ms(1)) ? NULL : "the permit was lost in a sleep";
}

static const char *test_write_protection(void)
{
    static const char constant[] = "rodata";

    if (probe_write8((uint8_t *)(uintptr_t)selftest_division, 0))
        return "text is writable";
    if (probe_write8((uint8_t *)(uintptr_t)constant, 0))
        return "rodata is writable";
    return NULL;
}

static const char *test_probes(void)
{
    uint64_t value;
    uint8_t byte;

    if (probe_read8((const uint8_t *)8, &byte))
        return "the first page is mapped";
    if (!probe_rdmsr(IA32_APIC_BASE, &value))
        return "IA32_APIC_BASE cannot be read";
    return NULL;
}

static const char *test_guard_page(void)
{
    void *top;
    uint8_t byte;

    if (paging_alloc_stack(THREAD_STACK_SIZE, &top))
        return "no memory for a stack";
    uint8_t *lowest = (uint8_t *)top - THREAD_STACK_SIZE;
    bool inside = probe_read8(lowest, &byte);
    bool below = probe_read8(lowest - 1, &byte);
    bool guard = paging_is_guard((uint64_t)lowest - 1);
    paging_free_stack(top, THREAD_STACK_SIZE);
    return !inside ? "a stack is not mapped" : below || !guard ? "there is no guard page" : NULL;
}

/* Blocks of 1 MiB in a list until there are no more, then all back. */
static const char *test_heap_end(void)
{
    struct block {
        struct block *next;
    } *list = NULL, *block;
    uint64_t blocks = heap_block_count();

    while ((block = malloc(MIB)) != NULL) {
        block->next = list;
        list = block;
    }
    while ((block = list) != NULL) {
        list = block->next;
        free(block);
    }
    block = malloc(MIB);
    if (!block)
        return "the heap did not recover";
    free(block);
    return heap_block_count() == blocks ? NULL : "blocks leaked";
}

static const char *test_page_costs(void)
{
    static uint8_t page[2 * PAGE_SIZE] __attribute__((aligned(4096)));
    uint64_t t0 = rdtsc();
    uint32_t crc = crc32c_update(0, page, PAGE_SIZE);
    uint64_t t1 = rdtsc();
    uint32_t same = crc32c_copy(0, page + PAGE_SIZE, page, PAGE_SIZE);
    uint64_t t2 = rdtsc();
    bool zero = memory_is_zero(page, PAGE_SIZE);
    uint64_t t3 = rdtsc();

    for (unsigned i = 0; i < 100; i++)
        thread_yield();
    log_info("selftest", "ticks: crc32c %lu, crc32c_copy %lu, zero %lu, thread_yield %lu", t1 - t0, t2 - t1, t3 - t2,
             (rdtsc() - t3) / 100);
    return crc == same && zero ? NULL : "wrong results";
}

static const struct {
    const char *name;
    const char *(*run)(void);
} tests[] = {
    { "threads on one CPU", test_threads_here },
    { "threads across CPUs", test_threads_across_cpus },
    { "cpu_call", test_cpu_call },
    { "timers", test_timers },
    { "interrupt window", test_interrupt_window },
    { "block until", test_block_until },
    { "W^X", test_write_protection },
    { "probes", test_probes },
    { "guard page", test_guard_page },
    { "heap runs out", test_heap_end },
    { "page costs", test_page_costs },
};

bool selftest_run(void)
{
    uint64_t threads = thread_live_count();
    unsigned failed = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
        const char *error = tests[i].run();
        if (!error && thread_live_count() != threads)
            error = "threads leaked";
        failed += error != NULL;
        log_info("selftest", "%s: %s", tests[i].name, error ? error : "ok");
    }
    log_info("selftest", "%u passed, %u failed", (unsigned)ARRAY_SIZE(tests) - failed, failed);
    return !failed;
}

/* Recursion that the compiler cannot turn into a loop; it does not end before the stack does. */
static unsigned eat_stack(volatile unsigned *depth)
{
    volatile unsigned next = *depth + 1;
    return next ? eat_stack(&next) + next : 0;
}

void selftest_crash(const char *how)
{
    volatile unsigned depth = 0;
    volatile uint64_t near_null = 8;

    if (!strcmp(how, "panic"))
        panic("on request");
    if (!strcmp(how, "stack"))
        eat_stack(&depth);
    if (!strcmp(how, "null"))
        *(volatile int *)near_null = 0;
    if (!strcmp(how, "text"))
        *(volatile uint8_t *)(uintptr_t)selftest_crash = 0;
    log_error("selftest", "no crash of the name %s", how);
}
