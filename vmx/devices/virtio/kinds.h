/* Between virtio.c, which runs the queues, and the four devices: what each of them must be able to do. */
#ifndef TELEPOD_VIRTIO_KINDS_H
#define TELEPOD_VIRTIO_KINDS_H

#include "vmx/devices/virtio/virtio.h"

enum virtio_step {
    VIRTIO_STEP_DONE,      /* the chain is served; written says what is in it */
    VIRTIO_STEP_AGAIN,     /* part of it is: the queue's progress says how much */
    VIRTIO_STEP_BROKEN,    /* no device can serve such a chain */
};

struct virtio_work {
    uint32_t written;      /* bytes written to the chain, counted from its start */
    uint32_t bytes;        /* moved in this step, for the turn's cost; what costs more than its copying says more */
};
#define VIRTIO_COST_BYTES_SHIFT 2   /* a quarter of an instruction a byte: two copies, checksums of others not counted */

struct virtio_kind_table {
    const char *name;
    uint64_t features;     /* beyond those of all devices */
    uint16_t queue_count;
    uint16_t config_size;
    void (*config)(const struct virtio_device *device, uint8_t out[VIRTIO_CONFIG_MAX]);   /* `out` is all zero */
    /* One step with a chain that the driver has made available, per queue; NULL: buffers that wait for the world. */
    enum virtio_step (*serve[VIRTIO_QUEUES_MAX])(struct virtio_device *device, const struct virtqueue_chain *chain,
                                                 const struct virtio_world *world, struct virtio_work *work);
};
extern const struct virtio_kind_table virtio_net_kind, virtio_block_kind, virtio_console_kind, virtio_entropy_kind;
const struct virtio_kind_table *virtio_kind_of(const struct virtio_device *device);

uint64_t virtio_features(const struct virtio_device *device);   /* all that are offered */
/* Something against which only a reset helps. */
void virtio_break(struct virtio_device *device, const struct virtio_world *world);
/* The next chain of a queue that waits for the world. false: none, or the device is not ready or just broke. */
bool virtio_next_buffer(struct virtio_device *device, unsigned index, const struct virtio_world *world,
                        struct virtqueue_chain *chain);
/* Back to the driver, which is told if it wants to be. */
void virtio_give_back(struct virtio_device *device, unsigned index, const struct virtio_world *world,
                      const struct virtqueue_chain *chain, uint32_t written);

#endif
