/* A bitmap over bits 0 .. bit_count - 1 in 64-bit words that the caller owns. Bits past the end are always 0. Pure. */
#ifndef TELEPOD_BITMAP_H
#define TELEPOD_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct bitmap {
    uint64_t *words;
    uint64_t bit_count;
};

#define BITMAP_NONE UINT64_MAX

static inline uint64_t bitmap_word_count(uint64_t bits) { return (bits + 63) / 64; }
static inline bool bitmap_test(const struct bitmap *b, uint64_t i) { return b->words[i / 64] >> (i % 64) & 1; }
static inline void bitmap_set(struct bitmap *b, uint64_t i) { b->words[i / 64] |= 1ULL << (i % 64); }
static inline void bitmap_clear(struct bitmap *b, uint64_t i) { b->words[i / 64] &= ~(1ULL << (i % 64)); }

/*
 * The next word, from `word` on, that may not be zero; `words` if there is none. Eight at a time: bitmaps here are long and
 * mostly empty, and what looks through one does so while a guest stands still.
 */
static inline uint64_t bitmap_skip_zeros(const uint64_t *w, uint64_t word, uint64_t words)
{
    while (word + 8 <= words && !(w[word] | w[word + 1] | w[word + 2] | w[word + 3] | w[word + 4] | w[word + 5] |
                                  w[word + 6] | w[word + 7]))
        word += 8;
    return word;
}

void bitmap_set_range(struct bitmap *b, uint64_t first, uint64_t count);   /* clipped at the end */
uint64_t bitmap_count(const struct bitmap *b);                             /* bits that are set */
uint64_t bitmap_next(const struct bitmap *b, uint64_t from);               /* first set bit >= from, or BITMAP_NONE */

#endif
