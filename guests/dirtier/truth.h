/*
 * What every page must contain, as a pure function of its number and its round (how often it was written):
 *
 *   round 0    the ground: random words for the first content_pages pages, zeros for the rest;
 *   round r    the ground, with a stamp in the first words (page number, round, checksum of both), and a mark in one
 *              word whose place changes from round to round. A write restores the ground under the old mark.
 *
 * So each write changes a few words only, as QEMU's migration test changes one byte a page, yet no two rounds
 * of a page look the same, no two pages look the same, and a page that is half old and half new is neither.
 */
#ifndef TELEPOD_GUESTS_TRUTH_H
#define TELEPOD_GUESTS_TRUTH_H

#include <stdint.h>

#define TRUTH_WORDS 512         /* 64-bit words of a page */

enum truth_stamp {
    STAMP_PAGE,
    STAMP_ROUND,
    STAMP_CHECKSUM,
    STAMP_WORDS
};

struct truth {
    uint64_t content_first, content_pages;      /* the pages with random ground */
};

/* The word that must stand at `index` (below TRUTH_WORDS) of a page. */
uint64_t truth_word(const struct truth *truth, uint64_t page, uint64_t round, unsigned index);

/* Makes the ground of a page that is all zero. */
void truth_lay_ground(const struct truth *truth, uint64_t *words, uint64_t page);

/* From round `round` to the next: changes only the words that differ. */
void truth_write(const struct truth *truth, uint64_t *words, uint64_t page, uint64_t round);

/* The index of the first word that is wrong, or TRUTH_WORDS: all are right. The first looks at the whole page... */
unsigned truth_check(const struct truth *truth, const uint64_t *words, uint64_t page, uint64_t round);
/* ...and this one only at the words that the next write will change. */
unsigned truth_check_edge(const struct truth *truth, const uint64_t *words, uint64_t page, uint64_t round);

#endif
