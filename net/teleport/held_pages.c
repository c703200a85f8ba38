/* See held_pages.h. A hash table of bounded probes: who finds all of them taken takes the first. */
#include "net/teleport/held_pages.h"

#include <string.h>

#define PROBES 4u
#define GOLDEN_RATIO 0x9e3779b97f4a7c15ULL  /* 2^64 / 1.618: neighbours go far apart (Knuth, TAOCP, 6.4) */
#define NOWHERE HELD_PAGES_MAX

static uint32_t first_slot(uint64_t frame)
{
    return (uint32_t)(frame * GOLDEN_RATIO >> (64 - HELD_PAGES_SHIFT));
}

static uint32_t find(const struct held_pages *held, uint64_t tag, uint32_t first)
{
    for (uint32_t i = 0; i < PROBES; i++)
        if (held->frames[(first + i) % HELD_PAGES_MAX] == tag)
            return (first + i) % HELD_PAGES_MAX;
    return NOWHERE;
}

static uint32_t slot_of(const struct held_pages *held, uint64_t frame)
{
    return held->copies ? find(held, frame + 1, first_slot(frame)) : NOWHERE;
}

const void *held_pages_keep(struct held_pages *held, uint64_t frame, const void *content)
{
    if (!held->copies)
        return content;
    uint32_t slot = slot_of(held, frame);
    if (slot == NOWHERE)
        slot = find(held, 0, first_slot(frame));
    if (slot == NOWHERE)
        slot = first_slot(frame);
    held->frames[slot] = frame + 1;
    return memcpy(held->copies + (uint64_t)slot * PAGE_SIZE, content, PAGE_SIZE);
}

void held_pages_forget(struct held_pages *held, uint64_t frame)
{
    uint32_t slot = slot_of(held, frame);
    if (slot != NOWHERE)
        held->frames[slot] = 0;
}

bool held_pages_unchanged(const struct held_pages *held, uint64_t frame, const void *content)
{
    uint32_t slot = slot_of(held, frame);
    return slot != NOWHERE && !memcmp(held->copies + (uint64_t)slot * PAGE_SIZE, content, PAGE_SIZE);
}
