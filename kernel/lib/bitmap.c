/* Guarantees that bits past bit_count stay 0, so that counting and searching need no special last word. */
#include "kernel/lib/bitmap.h"

#include <string.h>

#define WORD_BITS 64
#define ALL_ONES UINT64_MAX

/* Bits `first` to 63 of a word, and bits 0 to last. */
static uint64_t from_bit(uint64_t first)
{
    return ALL_ONES << (first % WORD_BITS);
}
static uint64_t up_to_bit(uint64_t last)
{
    return ALL_ONES >> (WORD_BITS - 1 - last % WORD_BITS);
}

void bitmap_set_range(struct bitmap *b, uint64_t first, uint64_t count)
{
    if (first >= b->bit_count || !count)
        return;
    uint64_t last = count > b->bit_count - first ? b->bit_count - 1 : first + count - 1;
    uint64_t word = first / WORD_BITS, last_word = last / WORD_BITS;

    if (word == last_word) {
        b->words[word] |= from_bit(first) & up_to_bit(last);
        return;
    }
    b->words[word++] |= from_bit(first);
    while (word < last_word)
        b->words[word++] = ALL_ONES;
    b->words[last_word] |= up_to_bit(last);
}

/* Adds up neighbours in ever wider fields; the processor of the baseline has no POPCNT. */
static uint64_t count_bits(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555;
    x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return x * 0x0101010101010101 >> 56;
}

uint64_t bitmap_count(const struct bitmap *b)
{
    uint64_t count = 0;

    uint64_t words = bitmap_word_count(b->bit_count);

    for (uint64_t i = bitmap_skip_zeros(b->words, 0, words); i < words; i = bitmap_skip_zeros(b->words, i + 1, words))
        if (b->words[i])
            count += count_bits(b->words[i]);
    return count;
}

uint64_t bitmap_next(const struct bitmap *b, uint64_t from)
{
    if (from >= b->bit_count)
        return BITMAP_NONE;
    uint64_t word = from / WORD_BITS, words = bitmap_word_count(b->bit_count);
    uint64_t bits = b->words[word] & from_bit(from);

    while (!bits) {
        word = bitmap_skip_zeros(b->words, word + 1, words);
        if (word == words)
            return BITMAP_NONE;
        bits = b->words[word];
    }
    return word * WORD_BITS + (uint64_t)__builtin_ctzll(bits);
}
