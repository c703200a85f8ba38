/* See virtio.h. The transport's registers are in virtio_pci.c; what a request means, in the four devices' files. */
#include "vmx/devices/virtio/virtio.h"

#include <stdio.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

/* Prices of a turn, in instructions, roughly; measured with memory that is reached as vmx/vm_virtio.c does it. */
#define COST_CHAIN 600u
#define COST_DESCRIPTOR 150u

/* 4.1.4.5 "ISR status capability" */
#define ISR_QUEUE 1
#define ISR_CONFIG 2

#define STATUS_KNOWN (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
                      VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)

static const struct virtio_kind_table *const kinds[VIRTIO_KINDS] = {
    [VIRTIO_NET] = &virtio_net_kind,
    [VIRTIO_BLOCK] = &virtio_block_kind,
    [VIRTIO_CONSOLE] = &virtio_console_kind,
    [VIRTIO_ENTROPY] = &virtio_entropy_kind,
};

const struct virtio_kind_table *virtio_kind_of(const struct virtio_device *device)
{
    return kinds[device->kind % VIRTIO_KINDS];
}

unsigned virtio_queue_count(enum virtio_kind kind)
{
    return kinds[kind % VIRTIO_KINDS]->queue_count;
}

uint64_t virtio_features(const struct virtio_device *device)
{
    return virtio_kind_of(device)->features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC;
}

void virtio_init(struct virtio_device *device, enum virtio_kind kind)
{
    device->kind = kind;
    device->driver_features = 0;
    device->device_feature_select = device->driver_feature_select = 0;
    device->config_vector = VIRTIO_NO_VECTOR;
    device->queue_select = 0;
    device->status = device->isr = device->spoken = 0;
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
        virtqueue_reset(&device->queues[i]);
}

void virtio_init_all(struct virtio_device devices[VIRTIO_KINDS])
{
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++)
        virtio_init(&devices[kind], kind);
}

void virtio_reset(struct virtio_device *device, const struct virtio_world *world)
{
    virtio_init(device, device->kind);
    world->line(world->context, device->kind, false);
}

bool virtio_alive(const struct virtio_device *device)
{
    const uint8_t needed = VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;

    return (device->status & (needed | VIRTIO_STATUS_NEEDS_RESET)) == needed;
}

/* 4.1.5.3 "Used Buffer Notifications", 4.1.5.4 "Notification of Device Configuration Changes" */
static void interrupt(struct virtio_device *device, const struct virtio_world *world, uint8_t cause, uint16_t vector)
{
    if (world->uses_messages(world->context, device->kind)) {
        if (vector != VIRTIO_NO_VECTOR)
            world->message(world->context, device->kind, vector);
        return;
    }
    device->isr |= cause;
    world->line(world->context, device->kind, true);
}

void virtio_break(struct virtio_device *device, const struct virtio_world *world)
{
    bool tell = virtio_alive(device);

    device->status |= VIRTIO_STATUS_NEEDS_RESET;
    if (tell)
        interrupt(device, world, ISR_CONFIG, device->config_vector);
}

static bool queue_usable(const struct virtio_device *device, unsigned index, const struct virtio_world *world)
{
    return virtio_alive(device) && index < virtio_kind_of(device)->queue_count && device->queues[index].enabled &&
           world->may_dma(world->context, device->kind);
}

static void tell_driver(struct virtio_device *device, unsigned index, const struct virtio_world *world)
{
    const struct virtqueue *queue = &device->queues[index];

    if (virtqueue_wants_interrupt(queue, &world->dma))
        interrupt(device, world, ISR_QUEUE, queue->vector);
}

/* ---- queues that the driver fills with work ---- */

/* One step. *waits false: this queue has nothing more to do now. */
static bool serve_one(struct virtio_device *device, unsigned index, const struct virtio_world *world, uint32_t *cost,
                      bool *completed)
{
    struct virtqueue *queue = &device->queues[index];
    struct virtqueue_chain chain;
    struct virtio_work work = { 0, 0 };
    enum virtio_step step = VIRTIO_STEP_BROKEN;
    uint16_t count;
    enum virtqueue_result result = virtqueue_waiting(queue, &world->dma, &count);

    if (result == VIRTQUEUE_EMPTY)
        return false;
    if (result == VIRTQUEUE_CHAIN && virtqueue_peek(queue, &world->dma, &chain) == VIRTQUEUE_CHAIN) {
        step = virtio_kind_of(device)->serve[index](device, &chain, world, &work);
        *cost += COST_CHAIN + chain.descriptors * COST_DESCRIPTOR + (work.bytes >> VIRTIO_COST_BYTES_SHIFT);
    }
    if (step == VIRTIO_STEP_DONE) {
        *completed = virtqueue_complete(queue, &world->dma, &chain, work.written);
        if (*completed)
            return true;
        step = VIRTIO_STEP_BROKEN;
    }
    if (step == VIRTIO_STEP_BROKEN)
        virtio_break(device, world);
    return step == VIRTIO_STEP_AGAIN;
}

bool virtio_run(struct virtio_device *device, unsigned index, const struct virtio_world *world)
{
    bool more = true, any = false;
    uint32_t cost = 0;

    if (!queue_usable(device, index, world) || !virtio_kind_of(device)->serve[index])
        return false;
    while (more && cost < VIRTIO_TURN_COST) {
        bool completed = false;

        more = serve_one(device, index, world, &cost, &completed);
        any |= completed;
    }
    if (any)
        tell_driver(device, index, world);
    return more;
}

/* ---- queues whose buffers wait for the world ---- */

bool virtio_next_buffer(struct virtio_device *device, unsigned index, const struct virtio_world *world,
                        struct virtqueue_chain *chain)
{
    const struct virtqueue *queue = &device->queues[index % VIRTIO_QUEUES_MAX];
    enum virtqueue_result result;
    uint16_t count;

    if (!queue_usable(device, index, world))
        return false;
    result = virtqueue_waiting(queue, &world->dma, &count);
    if (result == VIRTQUEUE_CHAIN)
        result = virtqueue_peek(queue, &world->dma, chain);
    if (result == VIRTQUEUE_BROKEN)
        virtio_break(device, world);
    return result == VIRTQUEUE_CHAIN;
}

void virtio_give_back(struct virtio_device *device, unsigned index, const struct virtio_world *world,
                      const struct virtqueue_chain *chain, uint32_t written)
{
    if (virtqueue_complete(&device->queues[index], &world->dma, chain, written))
        tell_driver(device, index, world);
    else
        virtio_break(device, world);
}

/* ---- state ---- */

static enum err bad(char *why, size_t why_size, const struct virtio_device *device, const char *field, uint64_t value)
{
    snprintf(why, why_size, "section virtio (%s), field %s: 0x%llx is nothing that it can be", virtio_kind_of(device)->name,
             field, (unsigned long long)value);
    return ERR_INVALID;
}

/* `kind` is no field of the wire: it is what the machine that loads this has in that place. */
static enum err virtio_check(const void *decoded, char *why, size_t why_size)
{
    const struct virtio_device *device = decoded;

    if (device->status & ~STATUS_KNOWN)
        return bad(why, why_size, device, "status", device->status);
    /* Before FEATURES_OK a driver may have written any wish. */
    if ((device->status & VIRTIO_STATUS_FEATURES_OK) && (device->driver_features & ~virtio_features(device)))
        return bad(why, why_size, device, "driver_features", device->driver_features);
    return OK;
}

static const struct field virtio_fields[] = {
    FIELD(struct virtio_device, driver_features, 0),
    FIELD(struct virtio_device, device_feature_select, 0),
    FIELD(struct virtio_device, driver_feature_select, 0),
    FIELD(struct virtio_device, config_vector, 0),
    FIELD(struct virtio_device, queue_select, 0),
    FIELD(struct virtio_device, status, 0),
    FIELD(struct virtio_device, isr, ISR_QUEUE | ISR_CONFIG),
    FIELD(struct virtio_device, spoken, 1),
};

const struct section virtio_section = {
    .name = "virtio",
    .version = 1,
    .fields = virtio_fields,
    .field_count = ARRAY_SIZE(virtio_fields),
    .struct_size = sizeof(struct virtio_device),
    .check = virtio_check,
};
