/*
 * A bounded queue of frames: copied in, looked at in place, let go. It never holds more than its slots, whatever is put
 * into it. Pure; locking is the caller's.
 */
#ifndef TELEPOD_FRAME_QUEUE_H
#define TELEPOD_FRAME_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include "net/switch.h"

#define FRAME_QUEUE_SLOTS 128u         /* a power of two */

struct frame_slot {
    uint32_t size;
    uint8_t bytes[2044];               /* slots are 2 KiB, so that a queue is a run of whole pages */
};
_Static_assert(sizeof(((struct frame_slot *)0)->bytes) >= SWITCH_FRAME_MAX, "the longest frame fits");

struct frame_queue {
    struct frame_slot *slots;          /* FRAME_QUEUE_SLOTS, the caller's */
    uint32_t first, end;               /* counted for ever: [first, end) are in the queue */
    uint32_t stale_before;             /* frames before this one are to be let go without being looked at */
};

/* true: it was copied. false: there is no room. size: 0..SWITCH_FRAME_MAX. */
bool frame_queue_put(struct frame_queue *queue, const void *frame, uint32_t size);
/* The first frame that is not stale; stays where it is until frame_queue_drop_first. NULL: there is none. Lets stale ones
   go, and adds their number to *stale. */
const struct frame_slot *frame_queue_first(struct frame_queue *queue, uint64_t *stale);
void frame_queue_drop_first(struct frame_queue *queue);
/* All that is in it now is stale: it is not looked at any more. What is being looked at stays in place until it is let go. */
void frame_queue_make_stale(struct frame_queue *queue);
bool frame_queue_is_empty(const struct frame_queue *queue);

#endif
