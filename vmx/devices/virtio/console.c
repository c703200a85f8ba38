/*
 * The console device (virtio 1.2, section 5.3): one port. What the guest writes goes into the same stream as what it sends
 * on COM1; input goes to whichever of the two it spoke on last (struct virtio_device's `spoken`).
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1
#define CONSOLE_STEP 1024           /* bytes of output a step */
#define PIECE 256                   /* bytes on the stack */

/* Each character costs far more than its copying: it goes to a ring and to the log. */
#define COST_OF_OUTPUT 64

/* 5.3.4 "Device configuration layout" */
struct console_config {
    uint16_t columns, rows;
    uint32_t ports;
    uint32_t emergency_write;
};
_Static_assert(sizeof(struct console_config) == 12, "5.3.4");

static void console_config(const struct virtio_device *device, uint8_t out[VIRTIO_CONFIG_MAX])
{
    struct console_config config = { .ports = 1 };

    (void)device;
    memcpy(out, &config, sizeof(config));
}

static enum virtio_step transmit(struct virtio_device *device, const struct virtqueue_chain *chain,
                                 const struct virtio_world *world, struct virtio_work *work)
{
    struct virtqueue *queue = &device->queues[TRANSMIT_QUEUE];
    uint32_t done = MIN(queue->progress, chain->readable_bytes);
    uint32_t end = MIN(chain->readable_bytes - done, CONSOLE_STEP) + done;
    char piece[PIECE];

    while (done < end) {
        uint32_t size = MIN(end - done, PIECE);

        if (!virtqueue_copy_from(chain, &world->dma, done, piece, size))
            return VIRTIO_STEP_BROKEN;
        device->spoken = 1;
        world->console_output(world->context, piece, size);
        done += size;
        work->bytes += size * COST_OF_OUTPUT;
    }
    queue->progress = done;
    return done == chain->readable_bytes ? VIRTIO_STEP_DONE : VIRTIO_STEP_AGAIN;
}

/* As many descriptors as one queue has, and no more: a driver may offer long chains of nothing. */
uint32_t virtio_console_receive(struct virtio_device *device, const struct virtio_world *world, const char *bytes, uint32_t size)
{
    struct virtqueue_chain chain;
    uint32_t taken = 0;

    for (unsigned looked_at = 0; taken < size && looked_at < VIRTQUEUE_SIZE_MAX; looked_at += chain.descriptors) {
        if (!virtio_next_buffer(device, RECEIVE_QUEUE, world, &chain))
            break;
        uint32_t count = MIN(size - taken, chain.writable_bytes);

        if (!virtqueue_copy_to(&chain, &world->dma, 0, bytes + taken, count)) {
            virtio_break(device, world);
            break;
        }
        virtio_give_back(device, RECEIVE_QUEUE, world, &chain, count);
        taken += count;
    }
    return taken;
}

const struct virtio_kind_table virtio_console_kind = {
    .name = "console",
    .queue_count = 2,
    .config_size = sizeof(struct console_config),
    .config = console_config,
    .serve = { [TRANSMIT_QUEUE] = transmit },
};
