/*
 * Guarantees: a CPU runs its ready threads in the order in which they became ready, and halts when there are none,
 * without missing one that becomes ready meanwhile.
 *
 * Only a CPU itself takes threads from its queue. So a thread that another CPU makes ready while it is still on its way
 * into thread_switch() cannot be resumed before that switch is complete.
 */
#include "kernel/scheduler.h"
#include <stddef.h>
#include <string.h>
#include "kernel/arch/insn.h"
#include "kernel/interrupt.h"

static struct run_queue run_queues[CPUS_MAX];

void thread_switch(uint64_t *save_sp, uint64_t new_sp); /* kernel/arch/switch.S */
void thread_launch(uint64_t *save_sp, void *stack_top);

static bool has_ready(const struct run_queue *queue)
{
    return __atomic_load_n(&queue->head, __ATOMIC_RELAXED) != NULL;
}

void scheduler_push(struct run_queue *queue, struct thread *thread)
{
    thread->next = NULL;
    if (queue->head)
        queue->tail->next = thread;
    else
        __atomic_store_n(&queue->head, thread, __ATOMIC_RELAXED);
    queue->tail = thread;
}

static struct thread *pop(struct run_queue *queue)
{
    struct thread *thread = queue->head;

    if (!thread)
        return &queue->idle;
    __atomic_store_n(&queue->head, thread->next, __ATOMIC_RELAXED);
    return thread;
}

/* Runs the next thread. The queue's lock is held by the caller and released here. */
void scheduler_switch_away(struct run_queue *queue)
{
    struct cpu *cpu = cpu_this();
    struct thread *from = cpu->current, *to = pop(queue);
    bool launch = to->state == THREAD_NEW;

    to->state = THREAD_READY;
    spinlock_release(&queue->lock);
    if (to == from)
        return;
    cpu->current = to;
    if (launch)
        thread_launch(&from->sp, to->stack_top);
    else
        thread_switch(&from->sp, to->sp);
    thread_finish_ended(queue);
}

struct thread *thread_current(void)
{
    return cpu_this()->current;
}

void thread_yield(void)
{
    struct run_queue *queue = cpu_this()->run_queue;

    interrupt_window();
    if (!has_ready(queue))
        return;
    spinlock_acquire(&queue->lock);
    if (thread_current() != &queue->idle)
        scheduler_push(queue, thread_current());
    scheduler_switch_away(queue);
}

/* Makes a waiting thread ready, if it waits in `state`. Returns whether it did. */
bool scheduler_make_ready(struct thread *thread, enum thread_state state)
{
    if (thread->state != state)
        return false;
    thread->state = THREAD_READY;
    scheduler_push(thread->cpu->run_queue, thread);
    return true;
}

bool thread_others_ready(void)
{
    return has_ready(cpu_this()->run_queue);
}

void thread_init_cpu(struct cpu *cpu)
{
    struct run_queue *queue = &run_queues[cpu->index];

    queue->idle.cpu = cpu;
    queue->idle.state = THREAD_READY;
    strlcpy(queue->idle.name, "idle", sizeof(queue->idle.name));
    cpu->run_queue = queue;
    cpu->current = &queue->idle;
}

void thread_idle(void)
{
    struct cpu *cpu = cpu_this();

    for (;;) {
        thread_yield();
        /* IF is 0: a wake-up from now on is a pending interrupt, which ends the HLT at once. */
        if (has_ready(cpu->run_queue))
            continue;
        uint64_t start = rdtsc();
        sti_hlt();
        cli();
        cpu->idle_tsc += rdtsc() - start;
    }
}
