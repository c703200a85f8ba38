/*
 * Instructions that are expected to fault. Each function tries one and returns the vector of the exception
 * that it raised, or ATTEMPT_NO_FAULT. Interrupts must be off: there is one attempt at a time.
 */
#ifndef TELEPOD_GUESTS_ATTEMPT_H
#define TELEPOD_GUESTS_ATTEMPT_H

#include <stdint.h>

#define ATTEMPT_NO_FAULT (-1)

struct attempt {
    uint64_t resume_rip;    /* where to go on after an exception; 0: none is expected */
    uint64_t error_code;    /* of the last one that came */
    int vector;
    int offset;             /* the pushed RIP, relative to the instruction's end: 0 of a trap, -length of a fault */
    uint64_t rflags;        /* as pushed */
};
extern struct attempt attempt;      /* filled by interrupt_dispatch() */

/* Around the instruction: tells the dispatcher where it ends, and takes that back. */
#define ATTEMPT_BEGIN "movl $-1, attempt + 16\n\tmovq $9f, attempt\n\t"
#define ATTEMPT_END "\n9:\tmovq $0, attempt\n\t"
_Static_assert(__builtin_offsetof(struct attempt, resume_rip) == 0, "ATTEMPT_BEGIN");
_Static_assert(__builtin_offsetof(struct attempt, vector) == 16, "ATTEMPT_BEGIN");
_Static_assert(ATTEMPT_NO_FAULT == -1, "ATTEMPT_BEGIN");

static inline int attempt_rdmsr(uint32_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0;
    __asm__ volatile(ATTEMPT_BEGIN "rdmsr" ATTEMPT_END : "+a"(low), "+d"(high) : "c"(msr) : "memory");
    *value = (uint64_t)high << 32 | low;
    return attempt.vector;
}

static inline int attempt_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile(ATTEMPT_BEGIN "wrmsr" ATTEMPT_END
                     : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
    return attempt.vector;
}

static inline int attempt_xsetbv(uint32_t index, uint64_t value)
{
    __asm__ volatile(ATTEMPT_BEGIN "xsetbv" ATTEMPT_END
                     : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
    return attempt.vector;
}

#define ATTEMPT_WRITE(name) \
    static inline int attempt_write_##name(uint64_t value) \
    { \
        __asm__ volatile(ATTEMPT_BEGIN "mov %0, %%" #name ATTEMPT_END : : "r"(value) : "memory"); \
        return attempt.vector; \
    }
ATTEMPT_WRITE(cr0)
ATTEMPT_WRITE(cr3)
ATTEMPT_WRITE(cr4)
ATTEMPT_WRITE(cr8)
ATTEMPT_WRITE(dr6)
ATTEMPT_WRITE(dr7)

/* Any instruction without operands, given as a string; it may change any general register but RSP and RBP. */
#define ATTEMPT_INSTRUCTION(text) \
    ({ \
        uint64_t a_ = 0, c_ = 0, d_ = 0; \
        __asm__ volatile(ATTEMPT_BEGIN text ATTEMPT_END \
                         : "+a"(a_), "+c"(c_), "+d"(d_) \
                         : : "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc"); \
        attempt.vector; \
    })

#endif
