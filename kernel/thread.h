/*
 * Cooperative threads. A thread belongs to one CPU for life and runs until it yields, blocks or ends; nothing else takes
 * the CPU from it (see kernel/cpu.h on interrupts).
 *
 * Blocking uses a permit, so that no wake-up is lost: thread_wake() leaves a permit, thread_block() consumes one, waiting
 * for it if there is none. Therefore a waiter always loops:   while (!condition) thread_block();
 */
#ifndef TELEPOD_THREAD_H
#define TELEPOD_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/cpu.h"
#include "kernel/lib/err.h"

#define THREAD_NAME_MAX 24
#define THREAD_STACK_SIZE (32 * 1024)   /* bytes, with an unmapped guard page below */

struct thread;

/*
 * Creates a thread on `cpu` (NULL: the calling CPU) and makes it runnable. `*out` may be NULL: then it is detached and
 * frees itself at its end. Otherwise the caller must thread_join() it. Fails with ERR_NO_MEMORY.
 */
enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg);

void thread_join(struct thread *thread);      /* waits (blocking) for its end and frees it */
struct thread *thread_current(void);
const char *thread_name(const struct thread *thread);

void thread_yield(void);                      /* opens the interrupt window, runs the others that are ready, returns */
void thread_block(void);                      /* until a permit is there; consumes it */
bool thread_block_until(uint64_t deadline);   /* deadline: TSC; false if the time came first */
void thread_sleep_until(uint64_t deadline);   /* sleeps whatever wakes come; the permit is kept */
void thread_wake(struct thread *thread);      /* from any thread, timer callback or interrupt handler of any CPU */
bool thread_others_ready(void);               /* is another thread of this CPU runnable now? */

uint64_t thread_live_count(void);             /* threads that exist, all CPUs: to see leaks */

void thread_init_cpu(struct cpu *cpu);        /* boot: its run queue, and the idle thread that the CPU now runs as */
void thread_idle(void) __attribute__((noreturn));   /* boot: the calling CPU's idle loop */

#endif
