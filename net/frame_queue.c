#include "net/frame_queue.h"

#include <string.h>

_Static_assert((FRAME_QUEUE_SLOTS & (FRAME_QUEUE_SLOTS - 1)) == 0, "counts that wrap still number the slots");

static struct frame_slot *slot_of(const struct frame_queue *queue, uint32_t count)
{
    return &queue->slots[count % FRAME_QUEUE_SLOTS];
}

bool frame_queue_put(struct frame_queue *queue, const void *frame, uint32_t size)
{
    struct frame_slot *slot = slot_of(queue, queue->end);

    if (queue->end - queue->first == FRAME_QUEUE_SLOTS)
        return false;
    slot->size = size;
    memcpy(slot->bytes, frame, size);
    queue->end++;
    return true;
}

const struct frame_slot *frame_queue_first(struct frame_queue *queue, uint64_t *stale)
{
    while (queue->first != queue->end && (int32_t)(queue->stale_before - queue->first) > 0) {
        queue->first++;
        ++*stale;
    }
    return queue->first == queue->end ? NULL : slot_of(queue, queue->first);
}

void frame_queue_drop_first(struct frame_queue *queue)
{
    if (queue->first != queue->end)
        queue->first++;
    /* Kept near, so that it never seems to lie ahead after the counts have wrapped. */
    if ((int32_t)(queue->stale_before - queue->first) < 0)
        queue->stale_before = queue->first;
}

void frame_queue_make_stale(struct frame_queue *queue)
{
    queue->stale_before = queue->end;
}

bool frame_queue_is_empty(const struct frame_queue *queue)
{
    return queue->first == queue->end;
}
