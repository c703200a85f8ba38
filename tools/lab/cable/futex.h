/* futex.h: sleeping on a word of memory that several processes share; see futex(2). */
#ifndef TELEPOD_TOOLS_LAB_CABLE_FUTEX_H
#define TELEPOD_TOOLS_LAB_CABLE_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Returns at once if *word is not `value`; else when somebody wakes it, after `timeout`, or without a reason. */
static inline void futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, timeout, 0, 0);
}

static inline void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, 0, 0, 0);
}

#endif
