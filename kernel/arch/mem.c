/*
 * memcpy, memmove, memset and memcmp for the kernel, instead of newlib's: whole pages in as few instructions as the
 * processor offers, without SSE. Not built for the host.
 */
#include <stdint.h>
#include <string.h>
#include "kernel/arch/insn.h"

#define WORD sizeof(uint64_t)
#define BYTES_ONES 0x0101010101010101ULL

/* Any alignment, any type: what a compiler may assume of a uint64_t pointer does not hold here. */
struct word {
    uint64_t value;
} __attribute__((packed, may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    const void *at = from;
    void *end = rep_movsq(to, &at, size / WORD);

    if (size % WORD)
        rep_movsb(end, &at, size % WORD);
    return to;
}

/* From the end, for a destination that begins inside the source. */
static void copy_backward(uint8_t *to, const uint8_t *from, size_t size)
{
    while (size >= WORD) {
        size -= WORD;
        ((struct word *)(to + size))->value = ((const struct word *)(from + size))->value;
    }
    while (size--)
        to[size] = from[size];
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size); /* forward is right: no byte is overwritten before it is read */
    copy_backward(to, from, size);
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *end = rep_stosq(to, (uint8_t)value * BYTES_ONES, size / WORD);

    if (size % WORD)
        rep_stosb(end, (uint8_t)value, size % WORD);
    return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const void *left_end = left, *right_end = right;
    bool differ = size >= WORD && repe_cmpsq(&left_end, &right_end, size / WORD);
    const uint8_t *a = left_end, *b = right_end;

    /* The quadword that differs, or what follows the last one. */
    a -= differ ? WORD : 0;
    b -= differ ? WORD : 0;
    for (size = differ ? WORD : size % WORD; size; a++, b++, size--)
        if (*a != *b)
            return *a - *b;
    return 0;
}
