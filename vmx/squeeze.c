/* See squeeze.h. Zero words are looked at four at a time, and no byte is handled alone: a quiet machine's state takes some
 * thousand instructions. */
#include "vmx/squeeze.h"

#include <string.h>
#include "kernel/lib/util.h"

#define WORD sizeof(uint64_t)
#define BITS 8u
#define SKIP_SHIFT 4
#define SKIP_MAX 15u
#define LENGTH_MASK 15u
#define LONG_SKIP 16u       /* zero words that a byte without a length counts by */

/* Eight bytes at any address. */
struct word {
    uint64_t value;
} __attribute__((packed, may_alias));

static const uint64_t *skip_zeros(const uint64_t *at, const uint64_t *end)
{
    while (at + 4 <= end && !(at[0] | at[1] | at[2] | at[3]))
        at += 4;
    while (at < end && !*at)
        at++;
    return at;
}

static uint8_t *put_long_skips(uint8_t *out, size_t *zeros)
{
    while (*zeros > SKIP_MAX) {
        size_t units = MIN(*zeros / LONG_SKIP, (size_t)SKIP_MAX + 1);
        *out++ = (uint8_t)((units - 1) << SKIP_SHIFT);
        *zeros -= units * LONG_SKIP;
    }
    return out;
}

size_t squeeze(const uint64_t *words, size_t count, uint8_t *out)
{
    const uint64_t *at = words, *end = words + count;
    uint8_t *to = out;

    for (; at < end; at++) {
        size_t zeros = 0;
        if (!*at) {
            const uint64_t *next = skip_zeros(at + 1, end);
            zeros = (size_t)(next - at);
            at = next;
            if (at == end)
                break;
            if (zeros > SKIP_MAX)
                to = put_long_skips(to, &zeros);
        }
        unsigned length = WORD - (unsigned)__builtin_clzll(*at) / BITS;
        *to++ = (uint8_t)(zeros << SKIP_SHIFT | length);
        ((struct word *)to)->value = *at;
        to += length;
    }
    return (size_t)(to - out);
}

/* By the number of bytes that count: what is more than a word has none. */
static const uint64_t masks[LENGTH_MASK + 1] = { 0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffff, 0xffffffffffff,
                                                 0xffffffffffffff, UINT64_MAX };

/* Near the end of the input there are fewer bytes than a word has. */
static uint64_t get_word(const uint8_t *from, size_t left)
{
    uint64_t value = 0;
    if (left >= WORD)
        return ((const struct word *)from)->value;
    memcpy(&value, from, left);
    return value;
}

bool unsqueeze(const uint8_t *bytes, size_t size, uint64_t *words, size_t count)
{
    const uint8_t *from = bytes, *end = bytes + size;
    size_t at = 0;

    memset(words, 0, count * WORD);
    while (from < end) {
        unsigned length = *from & LENGTH_MASK, zeros = *from >> SKIP_SHIFT;
        size_t left = (size_t)(end - ++from);
        if (length == 0) {
            at += (zeros + 1) * LONG_SKIP;
            continue;
        }
        at += zeros;
        if (length > left || at >= count || !masks[length])
            return false;
        words[at++] = get_word(from, left) & masks[length];
        from += length;
    }
    return at <= count;
}
