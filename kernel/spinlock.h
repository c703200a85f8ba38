/* A ticket lock for the little that CPUs share. Held for a few instructions, never across a yield. IF is 0 anyway. */
#ifndef TELEPOD_SPINLOCK_H
#define TELEPOD_SPINLOCK_H

#include <stdatomic.h>

struct spinlock {
    atomic_uint next, serving;
};
#define SPINLOCK_INIT { 0, 0 }

static inline void spinlock_acquire(struct spinlock *lock)
{
    unsigned ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);
    while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
        __builtin_ia32_pause();
}

static inline void spinlock_release(struct spinlock *lock)
{
    unsigned now = atomic_load_explicit(&lock->serving, memory_order_relaxed);
    atomic_store_explicit(&lock->serving, now + 1, memory_order_release);
}

#endif
