#include "guests/dirtier/pattern.h"

#define HOT_SHARE 8                 /* the first 1/8 of the pages is hot; 1 write in 8 is not */

/* Bits of a page number in a set that is a power of two. */
static unsigned bits_of(uint64_t pages)
{
    return (unsigned)__builtin_ctzll(pages);
}

/*
 * A permutation of 0 .. pages - 1 for each round: add, multiply by an odd number, fold the high half of the
 * bits onto the low one. Each step can be undone: the fold undoes itself, and every odd number has an inverse
 * modulo a power of two.
 */
static const uint64_t ODD = 0x9E3779B97F4A7C15, ODD_INVERSE = 0xF1DE83E19937733D;
_Static_assert(0x9E3779B97F4A7C15ULL * 0xF1DE83E19937733DULL == 1, "and modulo less than 2^64, too");

static uint64_t fold(uint64_t x, unsigned bits)
{
    return x ^ x >> (bits + 1) / 2;
}

static uint64_t round_offset(uint64_t round)
{
    return (round + 1) * ODD >> 17;
}

static uint64_t shuffle(uint64_t place, uint64_t pages, uint64_t round)
{
    return fold((place + round_offset(round)) * ODD & (pages - 1), bits_of(pages));
}

static uint64_t unshuffle(uint64_t page, uint64_t pages, uint64_t round)
{
    return (fold(page, bits_of(pages)) * ODD_INVERSE - round_offset(round)) & (pages - 1);
}

static uint64_t hot_pages(const struct pattern *pattern)
{
    return pattern->pages / HOT_SHARE;
}

/* Hits of `page` when `n` writes go round `pages` pages in order. */
static uint64_t round_robin_count(uint64_t n, uint64_t pages, uint64_t page)
{
    return n / pages + (page < n % pages);
}

bool pattern_valid(const struct pattern *pattern)
{
    switch (pattern->kind) {
    case PATTERN_RANDOM:
        return pattern->pages && (pattern->pages & (pattern->pages - 1)) == 0;
    case PATTERN_HOT:
        return pattern->pages >= HOT_SHARE;
    default:
        return pattern->pages && pattern->kind < PATTERN_KINDS;
    }
}

uint64_t pattern_page(const struct pattern *pattern, uint64_t n)
{
    uint64_t pages = pattern->pages, hot, place;

    switch (pattern->kind) {
    case PATTERN_RANDOM:
        return shuffle(n % pages, pages, n / pages);
    case PATTERN_SWEEP:
        place = n % (2 * pages);
        return place < pages ? place : 2 * pages - 1 - place;
    case PATTERN_HOT:
        hot = hot_pages(pattern);
        if (n % HOT_SHARE == HOT_SHARE - 1)
            return hot + n / HOT_SHARE % (pages - hot);
        return (n - n / HOT_SHARE) % hot;
    default:
        return n % pages;
    }
}

uint64_t pattern_count(const struct pattern *pattern, uint64_t n, uint64_t page)
{
    uint64_t pages = pattern->pages, hot, place;

    switch (pattern->kind) {
    case PATTERN_RANDOM:
        return n / pages + (unshuffle(page, pages, n / pages) < n % pages);
    case PATTERN_SWEEP:
        place = n % (2 * pages);
        return n / (2 * pages) * 2 + (page < place) + (2 * pages - 1 - page < place);
    case PATTERN_HOT:
        hot = hot_pages(pattern);
        if (page < hot)
            return round_robin_count(n - n / HOT_SHARE, hot, page);
        return round_robin_count(n / HOT_SHARE, pages - hot, page - hot);
    default:
        return round_robin_count(n, pages, page);
    }
}
