/*
 * Which page the n-th write hits, and how often a page was hit in the first n writes. Both are pure functions
 * of n: nobody has to keep a table of rounds, whose own pages could go stale together with the pages that it
 * speaks of.
 */
#ifndef TELEPOD_GUESTS_PATTERN_H
#define TELEPOD_GUESTS_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

enum pattern_kind {
    PATTERN_FLAT,       /* page after page, from the first again after the last */
    PATTERN_RANDOM,     /* every page once a round, each round in an order of its own; the set is a power of two */
    PATTERN_SWEEP,      /* up and down again, so that the edges are hit twice in a row */
    PATTERN_HOT,        /* seven of eight writes go to the first eighth of the set */
    PATTERN_KINDS
};

struct pattern {
    enum pattern_kind kind;
    uint64_t pages;     /* in the set, at least 1 */
};

bool pattern_valid(const struct pattern *pattern);

/* The page (0 .. pages - 1) of write n, counted from 0. */
uint64_t pattern_page(const struct pattern *pattern, uint64_t n);

/* How many of the writes 0 .. n - 1 hit the page. */
uint64_t pattern_count(const struct pattern *pattern, uint64_t n, uint64_t page);

#endif
