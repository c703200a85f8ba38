/*
 * Per-CPU state. Each CPU finds its own struct cpu through the GS base; only that CPU touches it, but for the fields that
 * say otherwise.
 *
 * The rule that makes this kernel easy to read: **interrupts are closed (RFLAGS.IF = 0) in all kernel code**, and opened
 * only in the interrupt window of thread_yield() and in the idle loop, and once at boot, while a driver tries its interrupt
 * (and, in effect, while a guest runs: an external interrupt then exits). So code between two yields is never interrupted
 * and never preempted on its CPU; only state that several CPUs share needs a spinlock.
 */
#ifndef TELEPOD_CPU_H
#define TELEPOD_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define CPUS_MAX 64

struct thread;
struct run_queue;
struct timer_queue;

struct cpu {
    struct cpu *self;               /* at GS:0 */
    uint32_t index;                 /* 0 .. cpu_count() - 1; 0 is the bootstrap processor */
    uint32_t apic_id;
    struct thread *current;         /* the running thread */
    struct run_queue *run_queue;    /* kernel/scheduler.c; has a lock: other CPUs wake threads here */
    struct timer_queue *timers;     /* kernel/timer.c; this CPU only */
    void *tss;                      /* struct tss of kernel/arch/descriptors.h: host RSP0/IST, TR base for the VMCS */
    void *gdt;
    uint64_t interrupts;            /* external interrupts taken */
    uint64_t idle_tsc;              /* TSC ticks spent halted in the idle loop */
    void *vmx;                      /* struct vmx_cpu of vmx/; NULL while VMX is not on */
};

struct cpu *cpu_this(void);                 /* never NULL once cpu_init ran */
struct cpu *cpu_by_index(uint32_t index);   /* NULL: no such CPU */
uint32_t cpu_count(void);                   /* CPUs that run, >= 1 */

/* Makes `cpu` leave guest mode or its idle halt soon (an IPI); harmless if it does neither. Any CPU may call. */
void cpu_kick(struct cpu *cpu);

/* Runs fn(arg) on `cpu`, in a thread of its own, and waits for its end (yielding). On the own CPU it calls directly. */
void cpu_call(struct cpu *cpu, void (*fn)(void *), void *arg);

/* Boot only. */
void cpu_init(void);                                         /* this is CPU 0: tables, GS base, control registers */
enum err cpu_prepare(uint32_t apic_id, struct cpu **out);    /* memory and tables of the next CPU; ERR_NO_MEMORY */
void cpu_enter(struct cpu *cpu);                             /* on the new CPU itself: loads its tables and registers */
void cpu_set_online(struct cpu *cpu);                        /* it counts from now on */

#endif
