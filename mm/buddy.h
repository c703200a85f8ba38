/*
 * Buddy allocator over frame numbers. Pure: it never touches the memory that it hands out, all its state is
 * in the caller's structure and in the metadata that the caller gives it.
 *
 * Invariants:
 *   - every managed frame lies in exactly one block; a block of order n is 2^n frames, aligned to 2^n;
 *   - state[] of a block's first frame says free or allocated and the order, state[] of its other frames is
 *     0; so a wrong free (twice, wrong order, middle of a block, never managed) is found by one look;
 *   - two free buddies of one order below the highest are always merged.
 */
#ifndef TELEPOD_BUDDY_H
#define TELEPOD_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDDY_ORDER_MAX 9
#define BUDDY_ORDERS (BUDDY_ORDER_MAX + 1)

/* Frame numbers as 32 bits: 16 TiB of memory. */
struct buddy_link { uint32_t next, previous; };

struct buddy {
    uint64_t frame_count;                 /* frames 0 .. frame_count - 1 can be managed */
    uint64_t free_count, total_count;     /* frames */
    uint64_t free_blocks[BUDDY_ORDERS];
    uint32_t heads[BUDDY_ORDERS];         /* free list of each order */
    struct buddy_link *links;             /* frame_count of them; valid for the first frame of a free block */
    uint8_t *state;                       /* frame_count bytes */
};

/* Bytes of metadata for frame_count frames. */
size_t buddy_metadata_size(uint64_t frame_count);

/* No frame is managed yet. Only the state bytes are cleared: 1 byte a frame is all that start-up costs. */
void buddy_init(struct buddy *buddy, uint64_t frame_count, void *metadata);

/*
 * Takes free frames under care, lowest addresses to be handed out first. False (and no change) if any is out
 * of range or is a block's first frame already.
 */
bool buddy_add(struct buddy *buddy, uint64_t first, uint64_t count);

/* False: no free block of this order or a higher one. */
bool buddy_alloc(struct buddy *buddy, unsigned order, uint64_t *first);

/* False (and no change): [first, order] is not an allocated block. */
bool buddy_free(struct buddy *buddy, uint64_t first, unsigned order);

/* The order of the allocated block that begins at `first`; false: none does. */
bool buddy_order(const struct buddy *buddy, uint64_t first, unsigned *order);

#endif
