/*
 * What the target holds of the frames that a guest writes again and again. A harvest finds a frame as soon as it was written,
 * though it may hold what it held before: a page walk marks the guest's page tables (the processor's own accesses to them count
 * as writes while EPT keeps A and D bits: SDM 29.3.5 "Accessed and Dirty Flags for EPT"), and programs store the same value.
 *
 * **A frame is called unchanged only when every byte of it is what was sent last.** A bounded number of copies; a frame whose copy
 * had to go is sent as if it had changed. Pure.
 */
#ifndef TELEPOD_HELD_PAGES_H
#define TELEPOD_HELD_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"

#define HELD_PAGES_SHIFT 9
#define HELD_PAGES_ORDER HELD_PAGES_SHIFT    /* of a block of the page allocator */
#define HELD_PAGES_MAX (1u << HELD_PAGES_SHIFT)
#define HELD_PAGES_ROOM ((uint64_t)HELD_PAGES_MAX * PAGE_SIZE)

struct held_pages {
    uint8_t *copies;                    /* HELD_PAGES_ROOM bytes of the caller's; NULL: nothing is held */
    uint64_t frames[HELD_PAGES_MAX];    /* whose copy it is, plus 1; 0: nobody's */
};

/*
 * The frame is about to be sent: takes a copy of it, which is what must then be sent, since the guest may write meanwhile. Without
 * room it is the content itself that comes back, and nothing is held.
 */
const void *held_pages_keep(struct held_pages *held, uint64_t frame, const void *content);
/* Something else than a copy was sent for it. */
void held_pages_forget(struct held_pages *held, uint64_t frame);
/* Does the target hold exactly this? False also when nothing is known. */
bool held_pages_unchanged(const struct held_pages *held, uint64_t frame, const void *content);

#endif
