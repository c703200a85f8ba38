/* See mm/buddy.h for the invariants. All operations cost O(orders). */
#include "mm/buddy.h"

#include <string.h>
#include "kernel/lib/util.h"

#define NO_FRAME UINT32_MAX
#define STATE_FREE 0x40
#define STATE_ALLOCATED 0x80
#define STATE_ORDER_MASK 0x0f

size_t buddy_metadata_size(uint64_t frame_count)
{
    return frame_count * (sizeof(struct buddy_link) + sizeof(uint8_t));
}

void buddy_init(struct buddy *buddy, uint64_t frame_count, void *metadata)
{
    *buddy = (struct buddy){ .frame_count = frame_count, .links = metadata };
    buddy->state = (uint8_t *)metadata + frame_count * sizeof(struct buddy_link);
    memset(buddy->state, 0, frame_count);
    for (unsigned order = 0; order < BUDDY_ORDERS; order++)
        buddy->heads[order] = NO_FRAME;
}

static void push(struct buddy *buddy, uint64_t first, unsigned order)
{
    uint32_t head = buddy->heads[order];
    buddy->links[first] = (struct buddy_link){ .next = head, .previous = NO_FRAME };
    if (head != NO_FRAME)
        buddy->links[head].previous = (uint32_t)first;
    buddy->heads[order] = (uint32_t)first;
    buddy->state[first] = (uint8_t)(STATE_FREE | order);
    buddy->free_blocks[order]++;
}

static void unlink_block(struct buddy *buddy, uint64_t first, unsigned order)
{
    struct buddy_link link = buddy->links[first];
    if (link.previous == NO_FRAME)
        buddy->heads[order] = link.next;
    else
        buddy->links[link.previous].next = link.next;
    if (link.next != NO_FRAME)
        buddy->links[link.next].previous = link.previous;
    buddy->state[first] = 0;
    buddy->free_blocks[order]--;
}

/* Puts a block that is in no list back, merged with its buddies as far as they are free. */
static void insert_merged(struct buddy *buddy, uint64_t first, unsigned order)
{
    while (order < BUDDY_ORDER_MAX) {
        uint64_t other = first ^ BIT(order);
        if (other >= buddy->frame_count || buddy->state[other] != (STATE_FREE | order))
            break;
        unlink_block(buddy, other, order);
        first = MIN(first, other);
        order++;
    }
    push(buddy, first, order);
}

/* The largest order of a block that ends at `end`, is aligned and does not begin before `first`. */
static unsigned largest_order_before(uint64_t first, uint64_t end)
{
    unsigned order = MIN((unsigned)__builtin_ctzll(end), BUDDY_ORDER_MAX);
    while (BIT(order) > end - first)
        order--;
    return order;
}

static bool range_is_unmanaged(const struct buddy *buddy, uint64_t first, uint64_t count)
{
    if (count > buddy->frame_count || first > buddy->frame_count - count)
        return false;
    for (uint64_t end = first + count; end > first;) {
        unsigned order = largest_order_before(first, end);
        end -= BIT(order);
        if (buddy->state[end] != 0)
            return false;
    }
    return true;
}

bool buddy_add(struct buddy *buddy, uint64_t first, uint64_t count)
{
    if (!range_is_unmanaged(buddy, first, count))
        return false;
    /* From the top down: lists are last in, first out, so that the lowest block is handed out first. */
    for (uint64_t end = first + count; end > first;) {
        unsigned order = largest_order_before(first, end);
        end -= BIT(order);
        insert_merged(buddy, end, order);
    }
    buddy->free_count += count;
    buddy->total_count += count;
    return true;
}

bool buddy_alloc(struct buddy *buddy, unsigned order, uint64_t *first)
{
    unsigned from = order;
    while (from < BUDDY_ORDERS && buddy->heads[from] == NO_FRAME)
        from++;
    if (from >= BUDDY_ORDERS)
        return false;
    uint64_t block = buddy->heads[from];
    unlink_block(buddy, block, from);
    while (from > order) {      /* the upper half goes back, the lower half is split on */
        from--;
        push(buddy, block + BIT(from), from);
    }
    buddy->state[block] = (uint8_t)(STATE_ALLOCATED | order);
    buddy->free_count -= BIT(order);
    *first = block;
    return true;
}

bool buddy_free(struct buddy *buddy, uint64_t first, unsigned order)
{
    if (order > BUDDY_ORDER_MAX || first >= buddy->frame_count ||
        buddy->state[first] != (STATE_ALLOCATED | order))
        return false;
    buddy->state[first] = 0;
    buddy->free_count += BIT(order);
    insert_merged(buddy, first, order);
    return true;
}

bool buddy_order(const struct buddy *buddy, uint64_t first, unsigned *order)
{
    if (first >= buddy->frame_count || !(buddy->state[first] & STATE_ALLOCATED))
        return false;
    *order = buddy->state[first] & STATE_ORDER_MASK;
    return true;
}
