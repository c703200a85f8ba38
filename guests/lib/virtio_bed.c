#include "guests/lib/virtio_bed.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/timer.h"

#define FEATURE_INDIRECT (1ull << 28)
#define PATIENCE_SECONDS 30             /* a teleport may come between */

static struct virtqueue bed_queues[BED_QUEUES] __attribute__((section(".bss.cold"), aligned(16)));

static void clear(volatile void *at, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        ((volatile uint8_t *)at)[i] = 0;
}

bool bed_try_open(struct bed *bed, uint16_t id)
{
    uint64_t features = FEATURE_INDIRECT;

    *bed = (struct bed){ .queues = bed_queues };
    if (!virtio_open(&bed->virtio, id, &features))
        return false;
    clear(bed_queues, sizeof(bed_queues));
    bed->queue_count = bed->virtio.common->num_queues;
    if (bed->queue_count > BED_QUEUES)
        guest_fail("virtio device %u has %u queues", id, bed->queue_count);
    for (uint16_t i = 0; i < bed->queue_count; i++)
        if (!virtio_queue_open(&bed->virtio, &bed->queues[i], i))
            guest_fail("virtio device %u does not take its queue %u", id, i);
    virtio_start(&bed->virtio);
    if (bed_status(bed) != BED_STATUS_ALIVE)
        guest_fail("virtio device %u has status 0x%x after its start", id, bed_status(bed));
    return true;
}

void bed_open(struct bed *bed, uint16_t id)
{
    if (!bed_try_open(bed, id))
        guest_fail("there is no virtio device %u, or it refuses", id);
}

uint8_t bed_status(const struct bed *bed)
{
    return virtio_status(&bed->virtio);
}

void bed_describe(struct bed *bed, unsigned queue, unsigned index, uint64_t address, uint32_t length, uint16_t flags,
                  uint16_t next)
{
    volatile struct virtq_desc *d = &bed->queues[queue].desc[index];

    d->address = address;
    d->length = length;
    d->flags = flags;
    d->next = next;
}

void bed_offer(struct bed *bed, unsigned queue, uint16_t head)
{
    volatile struct virtq_avail *available = &bed->queues[queue].avail;

    available->ring[available->index % VIRTQUEUE_SIZE] = head;
    available->index = (uint16_t)(available->index + 1);
}

void bed_kick(struct bed *bed, unsigned queue)
{
    virtqueue_kick(&bed->queues[queue]);
}

int64_t bed_poll(struct bed *bed, unsigned queue, uint16_t *head)
{
    uint32_t length = 0;
    int taken = virtqueue_take(&bed->queues[queue], &length);

    if (taken < 0)
        return -1;
    if (head)
        *head = (uint16_t)taken;
    return length;
}

uint32_t bed_request(struct bed *bed, unsigned queue, const struct bed_buffer *buffers, unsigned count)
{
    uint64_t limit = rdtsc() + PATIENCE_SECONDS * timer_tsc_hz();
    int64_t length;

    for (unsigned i = 0; i < count; i++)
        bed_describe(bed, queue, i, (uintptr_t)buffers[i].address, buffers[i].length,
                     (uint16_t)((buffers[i].write ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0)),
                     (uint16_t)(i + 1));
    bed_offer(bed, queue, 0);
    bed_kick(bed, queue);
    while ((length = bed_poll(bed, queue, 0)) < 0)
        if (rdtsc() > limit)
            guest_fail("queue %u of slot %u does not answer; status 0x%x", queue, bed->virtio.slot, bed_status(bed));
    return (uint32_t)length;
}
