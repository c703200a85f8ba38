#include "guests/dirtier/truth.h"
#include <stdbool.h>

#define GOLDEN 0x9E3779B97F4A7C15ULL    /* 2^64 / golden ratio: odd, and its multiples are spread evenly */
#define MIX 0xD6E8FEB86659FD93ULL       /* odd, and no pattern to its bits */

/* Every bit of the argument moves about half of the bits of the result. */
static inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * MIX;
    x = (x ^ x >> 32) * MIX;
    return x ^ x >> 32;
}

static inline bool has_content(const struct truth *truth, uint64_t page)
{
    return page - truth->content_first < truth->content_pages;
}

/* Cheap, since it is computed for every word that is checked: one multiplication, from a seed that is mixed well. */
static inline uint64_t random_word(uint64_t seed, unsigned index)
{
    uint64_t x = seed + index * GOLDEN;
    return (x ^ x >> 32) * MIX;
}

static uint64_t ground_word(const struct truth *truth, uint64_t page, unsigned index)
{
    return has_content(truth, page) ? random_word(mix(page), index) : 0;
}

static uint64_t checksum(uint64_t page, uint64_t round)
{
    return mix(mix(page) + round);
}

static unsigned mark_index(uint64_t page, uint64_t round)
{
    return STAMP_WORDS + (unsigned)((checksum(page, round) >> 20) % (TRUTH_WORDS - STAMP_WORDS));
}

uint64_t truth_word(const struct truth *truth, uint64_t page, uint64_t round, unsigned index)
{
    if (round) {
        switch (index) {
        case STAMP_PAGE:
            return page;
        case STAMP_ROUND:
            return round;
        case STAMP_CHECKSUM:
            return checksum(page, round);
        default:
            if (index == mark_index(page, round))
                return ~checksum(page, round);
        }
    }
    return ground_word(truth, page, index);
}

void truth_lay_ground(const struct truth *truth, uint64_t *words, uint64_t page)
{
    uint64_t seed = mix(page);

    if (has_content(truth, page))
        for (unsigned i = 0; i < TRUTH_WORDS; i++)
            words[i] = random_word(seed, i);
}

/* The words in which a round differs from its neighbours: stamp, own mark, next mark. Returns their number. */
#define EDGE_WORDS (STAMP_WORDS + 2)
static void edge(uint64_t page, uint64_t round, unsigned indices[EDGE_WORDS])
{
    for (unsigned i = 0; i < STAMP_WORDS; i++)
        indices[i] = i;
    indices[STAMP_WORDS] = mark_index(page, round);
    indices[STAMP_WORDS + 1] = mark_index(page, round + 1);
}

void truth_write(const struct truth *truth, uint64_t *words, uint64_t page, uint64_t round)
{
    unsigned indices[EDGE_WORDS];

    edge(page, round, indices);
    for (unsigned i = 0; i < EDGE_WORDS; i++)
        words[indices[i]] = truth_word(truth, page, round + 1, indices[i]);
}

unsigned truth_check_edge(const struct truth *truth, const uint64_t *words, uint64_t page, uint64_t round)
{
    unsigned indices[EDGE_WORDS];

    edge(page, round, indices);
    for (unsigned i = 0; i < EDGE_WORDS; i++)
        if (words[indices[i]] != truth_word(truth, page, round, indices[i]))
            return indices[i];
    return TRUTH_WORDS;
}

/* The first word from `from` up to but not including `to` that is not the ground's, or `to`. */
static unsigned check_ground(const struct truth *truth, const uint64_t *words, uint64_t page, unsigned from,
                             unsigned to)
{
    unsigned i = from;

    if (has_content(truth, page)) {
        uint64_t seed = mix(page);
        while (i < to && words[i] == random_word(seed, i))
            i++;
    } else {
        while (i < to && words[i] == 0)
            i++;
    }
    return i;
}

unsigned truth_check(const struct truth *truth, const uint64_t *words, uint64_t page, uint64_t round)
{
    unsigned mark, wrong;

    if (round == 0)
        return check_ground(truth, words, page, 0, TRUTH_WORDS);
    wrong = truth_check_edge(truth, words, page, round);
    if (wrong != TRUTH_WORDS)
        return wrong;
    mark = mark_index(page, round);
    wrong = check_ground(truth, words, page, STAMP_WORDS, mark);
    return wrong != mark ? wrong : check_ground(truth, words, page, mark + 1, TRUTH_WORDS);
}
