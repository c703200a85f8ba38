/* Small expressions that every room uses. No side effects, no state. */
#ifndef TELEPOD_UTIL_H
#define TELEPOD_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ULL << (n))

#define NS_PER_US 1000UL
#define US_PER_MS 1000UL
#define MS_PER_S 1000UL
#define US_PER_S 1000000UL
#define NS_PER_S 1000000000UL

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* align must be a power of two */
#define ALIGN_UP(x, align) (((x) + ((align) - 1)) & ~((__typeof__(x))(align) - 1))
#define ALIGN_DOWN(x, align) ((x) & ~((__typeof__(x))(align) - 1))
#define DIV_ROUND_UP(a, b) (((a) + (b) - 1) / (b))

/* a * b / c with a 128-bit intermediate; c != 0, and the quotient must fit 64 bits. */
static inline uint64_t mul_div_u64(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}

#endif
