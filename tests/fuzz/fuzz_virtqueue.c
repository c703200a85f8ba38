/*
 * Any bytes as a guest's memory with a virtqueue in it. The first bytes place the rings, the rest is RAM. No crash, no
 * access outside RAM (struct dma would say so, and the sanitizers), a bounded number of accesses, sums that are right,
 * and a queue that goes wrong changes nothing.
 */
#include <stdlib.h>
#include "kernel/lib/util.h"
#include "tests/fakes/guest_dma.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct placement {
    uint16_t descriptors, available, used, next_available, next_used;
    uint8_t size_shift, outside;
};

#define TURNS 8
#define ACCESSES_MAX (2 * VIRTQUEUE_SIZE_MAX + 8)

static void require(int promise)
{
    if (!promise)
        abort();
}

static unsigned accesses;

static bool count_read(void *context, uint64_t gpa, void *to, uint32_t size)
{
    accesses++;
    return guest_dma_read(context, gpa, to, size);
}

static void check_chain(const struct virtqueue *queue, const struct dma *dma, const struct virtqueue_chain *chain)
{
    uint64_t readable = 0, writable = 0;
    uint8_t buffer[64];

    require(chain->head < queue->size && chain->descriptors <= VIRTQUEUE_SIZE_MAX);
    require(chain->readable + chain->writable <= VIRTQUEUE_SIZE_MAX);
    for (unsigned i = 0; i < chain->readable; i++)
        readable += chain->segments[i].length;
    for (unsigned i = 0; i < chain->writable; i++)
        writable += chain->segments[chain->readable + i].length;
    require(readable == chain->readable_bytes && writable == chain->writable_bytes);
    memset(buffer, 0x77, sizeof(buffer));
    for (uint32_t offset = 0; offset < 256; offset += 51) {
        if (virtqueue_copy_from(chain, dma, offset, buffer, sizeof(buffer)))
            require(offset + sizeof(buffer) <= readable);
        if (virtqueue_copy_to(chain, dma, offset, buffer, sizeof(buffer)))
            require(offset + sizeof(buffer) <= writable);
    }
}

static void drive(struct virtqueue *queue, const struct dma *dma)
{
    static struct virtqueue_chain chain;
    uint16_t count;

    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct virtqueue before = *queue;
        enum virtqueue_result result = virtqueue_waiting(queue, dma, &count);

        if (result != VIRTQUEUE_CHAIN)
            return;
        require(count > 0 && count <= queue->size);
        accesses = 0;
        result = virtqueue_peek(queue, dma, &chain);
        require(accesses <= ACCESSES_MAX && memcmp(&before, queue, sizeof(before)) == 0);
        if (result == VIRTQUEUE_BROKEN)
            return;
        require(result == VIRTQUEUE_CHAIN);
        check_chain(queue, dma, &chain);
        if (!virtqueue_complete(queue, dma, &chain, turn)) {
            require(memcmp(&before, queue, sizeof(before)) == 0);
            return;
        }
        require(queue->next_available == (uint16_t)(before.next_available + 1));
        virtqueue_wants_interrupt(queue, dma);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dma dma = guest_dma;
    struct placement at;
    struct virtqueue queue;

    if (size < sizeof(at))
        return 0;
    memcpy(&at, data, sizeof(at));
    data += sizeof(at);
    size -= sizeof(at);
    memset(guest_dma_ram, 0, sizeof(guest_dma_ram));
    memcpy(guest_dma_ram, data, MIN(size, sizeof(guest_dma_ram)));
    virtqueue_reset(&queue);
    queue.descriptors = ALIGN_DOWN(at.descriptors, 16) + ((at.outside & 1) ? GUEST_DMA_SIZE - 0x8000 : 0);
    queue.available = ALIGN_DOWN(at.available, 2) + ((at.outside & 2) ? GUEST_DMA_SIZE - 0x8000 : 0);
    queue.used = ALIGN_DOWN(at.used, 4) + ((at.outside & 4) ? GUEST_DMA_SIZE - 0x8000 : 0);
    queue.size = (uint16_t)(1 << at.size_shift % 9);
    queue.next_available = at.next_available;
    queue.next_used = at.next_used;
    queue.enabled = 1;
    require(virtqueue_valid(&queue));
    dma.read = count_read;
    drive(&queue, &dma);
    return 0;
}
