/*
 * Inside of the threads, shared by scheduler.c (which thread runs) and thread.c (how threads begin, wait and end).
 * A thread's state changes only under the lock of its CPU's run queue.
 */
#ifndef TELEPOD_SCHEDULER_H
#define TELEPOD_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "kernel/timer.h"

enum thread_state {
    THREAD_NEW,      /* never ran: has no saved registers */
    THREAD_READY,    /* in the queue, or running */
    THREAD_BLOCKED,  /* waits for a permit, and for `timer` if armed */
    THREAD_SLEEPING, /* waits for `timer` only */
    THREAD_ENDED,
};

struct thread {
    uint64_t sp;         /* while it does not run */
    struct thread *next; /* in the run queue */
    struct cpu *cpu;
    enum thread_state state;
    bool permit;
    bool detached;
    bool off_stack; /* its end is complete but for the wake-up of the joiner */
    bool released;  /* nothing but the joiner knows this structure any more */
    struct thread *joiner;
    void (*fn)(void *);
    void *arg;
    void *stack_top;
    struct timer timer; /* of the CPU; armed and cancelled by the thread itself */
    char name[THREAD_NAME_MAX];
};

struct run_queue {
    struct spinlock lock;
    struct thread *head, *tail; /* ready threads; head is also read without the lock, as a hint */
    struct thread *ended;       /* left its stack in the last switch; for thread_finish_ended() */
    struct thread idle;         /* runs when nothing else can; never in the queue */
};

/* With the queue's lock held: */
void scheduler_push(struct run_queue *queue, struct thread *thread);
void scheduler_switch_away(struct run_queue *queue);                         /* runs the next thread; releases the lock */
bool scheduler_make_ready(struct thread *thread, enum thread_state state);   /* if it waits in `state`; did it? */

/* thread.c's, called first after every switch, on the new thread's stack: the end of the thread that ran before. */
void thread_finish_ended(struct run_queue *queue);

#endif
