/*
 * See virtqueue.h. The order of loads and stores is the specification's (2.7.13 "Supplying Buffers to The Device", 2.7.14
 * "Receiving Used Buffers From The Device"); x86 keeps loads among loads and stores among stores, so the one fence is
 * the one between our store of the used index and our load of the driver's flags.
 */
#include "vmx/devices/virtio/virtqueue.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"

/* 2.7.6 "The Virtqueue Available Ring", 2.7.8 "The Virtqueue Used Ring": flags, index, entries, an event index. */
#define RING_FLAGS 0
#define RING_INDEX 2
#define RING_ENTRIES 4
#define RING_EVENT_SIZE 2
#define AVAILABLE_ENTRY_SIZE 2
#define AVAILABLE_NO_INTERRUPT 1

#define DESCRIPTOR_ALIGNMENT 16
#define AVAILABLE_ALIGNMENT 2
#define USED_ALIGNMENT 4

struct used_entry {
    uint32_t id, length;
};
_Static_assert(sizeof(struct used_entry) == 8, "2.7.8");

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue){ .size = VIRTQUEUE_SIZE_MAX, .vector = VIRTIO_NO_VECTOR };
}

static bool lies_well(uint64_t address, uint64_t alignment, uint64_t bytes)
{
    return address % alignment == 0 && address <= UINT64_MAX - bytes;
}

bool virtqueue_size_valid(uint16_t size)
{
    return size > 0 && size <= VIRTQUEUE_SIZE_MAX && (size & (size - 1)) == 0;
}

bool virtqueue_valid(const struct virtqueue *queue)
{
    uint64_t size = queue->size;

    return virtqueue_size_valid(queue->size) &&
           lies_well(queue->descriptors, DESCRIPTOR_ALIGNMENT, size * sizeof(struct virtqueue_descriptor)) &&
           lies_well(queue->available, AVAILABLE_ALIGNMENT, RING_ENTRIES + size * AVAILABLE_ENTRY_SIZE + RING_EVENT_SIZE) &&
           lies_well(queue->used, USED_ALIGNMENT, RING_ENTRIES + size * sizeof(struct used_entry) + RING_EVENT_SIZE);
}

/* ---- the available ring and the chains ---- */

enum virtqueue_result virtqueue_waiting(const struct virtqueue *queue, const struct dma *dma, uint16_t *count)
{
    uint16_t index;

    if (!dma->load16(dma->context, queue->available + RING_INDEX, &index))
        return VIRTQUEUE_BROKEN;
    *count = (uint16_t)(index - queue->next_available);
    if (*count > queue->size)
        return VIRTQUEUE_BROKEN; /* more than the ring holds: the driver's index ran backwards, or away */
    return *count ? VIRTQUEUE_CHAIN : VIRTQUEUE_EMPTY;
}

/* Readable segments come first (2.7.4.2 "Driver Requirements: Message Framing"), and all of them are below 4 GiB long. */
static bool add_segment(struct virtqueue_chain *chain, const struct virtqueue_descriptor *descriptor)
{
    bool write = descriptor->flags & DESCRIPTOR_WRITE;
    uint32_t *bytes = write ? &chain->writable_bytes : &chain->readable_bytes;

    if (!write && chain->writable > 0)
        return false;
    if (descriptor->length == 0)
        return true;
    if (descriptor->length > UINT32_MAX - *bytes || descriptor->address > UINT64_MAX - descriptor->length)
        return false;
    *bytes += descriptor->length;
    chain->segments[chain->readable + chain->writable] =
        (struct virtqueue_segment){ descriptor->address, descriptor->length };
    if (write)
        chain->writable++;
    else
        chain->readable++;
    return true;
}

/* Where descriptors are: the queue's own table, or one that an indirect descriptor names. */
struct descriptor_table {
    uint64_t address;
    uint32_t count;
    bool indirect;
};

/* 2.7.5.3 "Indirect Descriptors": the last of a chain, of the queue's own table only, and a whole number of entries. */
static bool enter_indirect(struct descriptor_table *table, const struct virtqueue_descriptor *descriptor)
{
    if (table->indirect || (descriptor->flags & DESCRIPTOR_NEXT) || descriptor->length == 0 ||
        descriptor->length % sizeof(*descriptor) != 0 || descriptor->address > UINT64_MAX - descriptor->length)
        return false;
    table->address = descriptor->address;
    table->count = (uint32_t)(descriptor->length / sizeof(*descriptor));
    table->indirect = true;
    return true;
}

static bool walk(struct descriptor_table table, const struct dma *dma, uint16_t index, struct virtqueue_chain *chain)
{
    while (chain->descriptors < VIRTQUEUE_SIZE_MAX) { /* a loop in the chain ends here */
        struct virtqueue_descriptor descriptor;

        chain->descriptors++;
        if (index >= table.count ||
            !dma->read(dma->context, table.address + (uint64_t)index * sizeof(descriptor), &descriptor, sizeof(descriptor)))
            return false;
        index = descriptor.next;
        if (descriptor.flags & DESCRIPTOR_INDIRECT) {
            if (!enter_indirect(&table, &descriptor))
                return false;
            index = 0;
        } else if (!add_segment(chain, &descriptor)) {
            return false;
        } else if (!(descriptor.flags & DESCRIPTOR_NEXT)) {
            return true;
        }
    }
    return false;
}

enum virtqueue_result virtqueue_peek(const struct virtqueue *queue, const struct dma *dma, struct virtqueue_chain *chain)
{
    uint64_t slot = queue->next_available % queue->size;
    struct descriptor_table own = { queue->descriptors, queue->size, false };

    chain->descriptors = chain->readable = chain->writable = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    if (!dma->load16(dma->context, queue->available + RING_ENTRIES + slot * AVAILABLE_ENTRY_SIZE, &chain->head))
        return VIRTQUEUE_BROKEN;
    return walk(own, dma, chain->head, chain) ? VIRTQUEUE_CHAIN : VIRTQUEUE_BROKEN;
}

/* ---- the used ring ---- */

bool virtqueue_complete(struct virtqueue *queue, const struct dma *dma, const struct virtqueue_chain *chain, uint32_t written)
{
    struct used_entry entry = { chain->head, written };
    uint64_t slot = queue->next_used % queue->size;

    if (!dma->write(dma->context, queue->used + RING_ENTRIES + slot * sizeof(entry), &entry, sizeof(entry)) ||
        !dma->store16(dma->context, queue->used + RING_INDEX, (uint16_t)(queue->next_used + 1)))
        return false;
    queue->next_used++;
    queue->next_available++;
    queue->progress = 0;
    return true;
}

bool virtqueue_wants_interrupt(const struct virtqueue *queue, const struct dma *dma)
{
    uint16_t flags;

    atomic_thread_fence(memory_order_seq_cst);
    return dma->load16(dma->context, queue->available + RING_FLAGS, &flags) && !(flags & AVAILABLE_NO_INTERRUPT);
}

/* ---- the buffers ---- */

bool virtqueue_copy_from(const struct virtqueue_chain *chain, const struct dma *dma, uint32_t offset, void *to, uint32_t size)
{
    uint8_t *bytes = to;

    for (unsigned i = 0; i < chain->readable && size > 0; i++) {
        const struct virtqueue_segment *segment = &chain->segments[i];
        uint32_t skip = MIN(offset, segment->length), count = MIN(size, segment->length - skip);

        offset -= skip;
        if (count > 0 && !dma->read(dma->context, segment->address + skip, bytes, count))
            return false;
        bytes += count;
        size -= count;
    }
    return size == 0;
}

bool virtqueue_copy_to(const struct virtqueue_chain *chain, const struct dma *dma, uint32_t offset, const void *from,
                       uint32_t size)
{
    const uint8_t *bytes = from;

    for (unsigned i = 0; i < chain->writable && size > 0; i++) {
        const struct virtqueue_segment *segment = &chain->segments[chain->readable + i];
        uint32_t skip = MIN(offset, segment->length), count = MIN(size, segment->length - skip);

        offset -= skip;
        if (count > 0 && !dma->write(dma->context, segment->address + skip, bytes, count))
            return false;
        bytes += count;
        size -= count;
    }
    return size == 0;
}

/* ---- state ---- */

/* Any other value is checked where it is used: a ring that is nowhere breaks its device, as it would have before. */
static enum err virtqueue_check(const void *decoded, char *why, size_t why_size)
{
    const struct virtqueue *queue = decoded;

    if (!virtqueue_size_valid(queue->size)) {
        snprintf(why, why_size, "section virtqueue, field size: %u is no size that a queue can have", queue->size);
        return ERR_INVALID;
    }
    if (queue->enabled && !virtqueue_valid(queue)) {
        snprintf(why, why_size, "section virtqueue: enabled, but its rings are not aligned");
        return ERR_INVALID;
    }
    return OK;
}

static const struct field virtqueue_fields[] = {
    FIELD(struct virtqueue, descriptors, 0),
    FIELD(struct virtqueue, available, 0),
    FIELD(struct virtqueue, used, 0),
    FIELD(struct virtqueue, size, VIRTQUEUE_SIZE_MAX),
    FIELD(struct virtqueue, enabled, 1),
    FIELD(struct virtqueue, vector, 0),
    FIELD(struct virtqueue, next_available, 0),
    FIELD(struct virtqueue, next_used, 0),
    FIELD(struct virtqueue, progress, 0),
};

const struct section virtqueue_section = {
    .name = "virtqueue",
    .version = 1,
    .fields = virtqueue_fields,
    .field_count = ARRAY_SIZE(virtqueue_fields),
    .struct_size = sizeof(struct virtqueue),
    .check = virtqueue_check,
};
