/*
 * The console device (virtio 1.2, section 5.3): one port. What the guest writes goes into the same stream as what it sends
 * on COM1; input goes to whichever of the two it spoke on last (struct virtio_device's `spoken`).
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

/*
 * Each byte goes to a ring, which is cheap, and each line to the pod's log and its screen, which is not: a line is half a turn.
 * The log breaks a line of about PIECE bytes, so that many bytes cost as much without any line's end among them.
 */
#define PIECE 128                   /* bytes of output a step */
#define COST_OF_LINE (VIRTIO_TURN_COST / 2 << VIRTIO_COST_BYTES_SHIFT)
#define COST_OF_OUTPUT (COST_OF_LINE / PIECE)

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

/* One step: up to the end of the first line. */
static enum virtio_step transmit(struct virtio_device *device, const struct virtqueue_chain *chain,
                                 const struct virtio_world *world, struct virtio_work *work)
{
    struct virtqueue *queue = &device->queues[TRANSMIT_QUEUE];
    uint32_t done = MIN(queue->progress, chain->readable_bytes), size = MIN(chain->readable_bytes - done, PIECE);
    char piece[PIECE];

    if (!virtqueue_copy_from(chain, &world->dma, done, piece, size))
        return VIRTIO_STEP_BROKEN;
    const char *newline = memchr(piece, '\n', size);
    if (newline)
        size = (uint32_t)(newline - piece) + 1;
    if (size > 0) {
        device->spoken = 1;
        world->console_output(world->context, piece, size);
    }
    work->bytes = newline ? COST_OF_LINE : size * COST_OF_OUTPUT;
    queue->progress = done + size;
    return queue->progress == chain->readable_bytes ? VIRTIO_STEP_DONE : VIRTIO_STEP_AGAIN;
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
