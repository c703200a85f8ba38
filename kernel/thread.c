/*
 * Guarantees: a wake-up that comes between a thread's decision to block and its switch is kept as a permit or as a
 * place in the queue, never lost; a thread's stack is freed by the thread that runs after it, never by itself.
 */
#include "kernel/thread.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/insn.h"
#include "kernel/interrupt.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/scheduler.h"
#include "kernel/time.h"
#include "mm/paging.h"

static atomic_ulong live_count;

void thread_main(void) __attribute__((noreturn));

void thread_finish_ended(struct run_queue *queue)
{
    struct thread *ended = queue->ended;

    if (!ended)
        return;
    queue->ended = NULL;
    paging_free_stack(ended->stack_top, THREAD_STACK_SIZE);
    atomic_fetch_sub(&live_count, 1);
    if (ended->detached) {
        free(ended);
        return;
    }
    spinlock_acquire(&queue->lock);
    struct thread *joiner = ended->joiner;
    ended->off_stack = true;
    spinlock_release(&queue->lock);
    if (joiner)
        thread_wake(joiner); /* it waits for `released`, so it is still there */
    __atomic_store_n(&ended->released, true, __ATOMIC_RELEASE);
}

/* Called by thread_launch() on the new thread's stack. */
void thread_main(void)
{
    struct thread *self = thread_current();
    struct run_queue *queue = self->cpu->run_queue;

    thread_finish_ended(queue);
    self->fn(self->arg);
    spinlock_acquire(&queue->lock);
    self->state = THREAD_ENDED;
    queue->ended = self;
    scheduler_switch_away(queue);
    panic("thread %s ran after its end", self->name);
}

enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg)
{
    struct thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return ERR_NO_MEMORY;
    if (paging_alloc_stack(THREAD_STACK_SIZE, &thread->stack_top)) {
        free(thread);
        return ERR_NO_MEMORY;
    }
    thread->cpu = cpu ? cpu : cpu_this();
    thread->fn = fn;
    thread->arg = arg;
    thread->detached = !out;
    thread->state = THREAD_NEW;
    strlcpy(thread->name, name, sizeof(thread->name));
    atomic_fetch_add(&live_count, 1);
    if (out)
        *out = thread;
    spinlock_acquire(&thread->cpu->run_queue->lock);
    scheduler_push(thread->cpu->run_queue, thread);
    cpu = thread->cpu;
    spinlock_release(&cpu->run_queue->lock); /* from here on a detached thread may be gone */
    cpu_kick(cpu);
    return OK;
}

static bool join_or_wait(struct thread *thread)
{
    struct run_queue *queue = thread->cpu->run_queue;

    spinlock_acquire(&queue->lock);
    thread->joiner = thread_current();
    bool off_stack = thread->off_stack;
    spinlock_release(&queue->lock);
    return off_stack;
}

void thread_join(struct thread *thread)
{
    while (!join_or_wait(thread))
        thread_block();
    while (!__atomic_load_n(&thread->released, __ATOMIC_ACQUIRE))
        pause(); /* another CPU, a few instructions before its end of thread_finish_ended() */
    free(thread);
}

const char *thread_name(const struct thread *thread)
{
    return thread->name;
}

void thread_wake(struct thread *thread)
{
    struct cpu *cpu = thread->cpu;

    spinlock_acquire(&cpu->run_queue->lock);
    thread->permit = true;
    bool ready = scheduler_make_ready(thread, THREAD_BLOCKED);
    spinlock_release(&cpu->run_queue->lock);
    if (ready)
        cpu_kick(cpu);
}

/* Callback of a thread's own timer, in an interrupt window of its CPU. */
static void wait_is_over(struct timer *timer)
{
    struct thread *thread = CONTAINER_OF(timer, struct thread, timer);
    struct run_queue *queue = thread->cpu->run_queue;

    spinlock_acquire(&queue->lock);
    if (!scheduler_make_ready(thread, THREAD_BLOCKED))
        scheduler_make_ready(thread, THREAD_SLEEPING);
    spinlock_release(&queue->lock);
}

bool thread_block_until(uint64_t deadline)
{
    struct thread *self = thread_current();
    struct run_queue *queue = self->cpu->run_queue;
    bool permit;

    interrupt_window();
    spinlock_acquire(&queue->lock);
    if (!self->permit && deadline <= time_now()) {
        /* Too late already. Others get their turn, so that a poll in a loop starves nobody. */
        scheduler_push(queue, self);
        scheduler_switch_away(queue);
        spinlock_acquire(&queue->lock);
    } else if (!self->permit) {
        self->state = THREAD_BLOCKED;
        if (deadline != UINT64_MAX) {
            self->timer.fn = wait_is_over;
            timer_arm(&self->timer, deadline);
        }
        scheduler_switch_away(queue);
        timer_cancel(&self->timer);
        spinlock_acquire(&queue->lock);
    }
    permit = self->permit;
    self->permit = false;
    spinlock_release(&queue->lock);
    return permit;
}

void thread_block(void)
{
    while (!thread_block_until(UINT64_MAX))
        ;
}

void thread_sleep_until(uint64_t deadline)
{
    struct thread *self = thread_current();
    struct run_queue *queue = self->cpu->run_queue;

    if (deadline <= time_now()) {
        thread_yield();
        return;
    }
    spinlock_acquire(&queue->lock);
    self->state = THREAD_SLEEPING;
    self->timer.fn = wait_is_over;
    timer_arm(&self->timer, deadline);
    scheduler_switch_away(queue);
}

uint64_t thread_live_count(void)
{
    return atomic_load(&live_count);
}
