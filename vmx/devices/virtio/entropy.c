/* The entropy device (virtio 1.2, section 5.4): random bytes of the host into whatever buffers the driver offers. */
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

#define REQUEST_QUEUE 0
#define ENTROPY_STEP 256            /* bytes that a buffer gets; it may be longer, "written" says how much it got */
#define COST_OF_RANDOM 32

static void entropy_config(const struct virtio_device *device, uint8_t out[VIRTIO_CONFIG_MAX])
{
    (void)device, (void)out;
}

static enum virtio_step serve(struct virtio_device *device, const struct virtqueue_chain *chain,
                              const struct virtio_world *world, struct virtio_work *work)
{
    uint32_t size = MIN(chain->writable_bytes, (uint32_t)ENTROPY_STEP);
    uint8_t random[ENTROPY_STEP];

    (void)device;
    if (size > 0 && !world->random(world->context, random, size))
        return VIRTIO_STEP_DONE;    /* nothing written */
    if (!virtqueue_copy_to(chain, &world->dma, 0, random, size))
        return VIRTIO_STEP_BROKEN;
    work->written = size;
    work->bytes = size * COST_OF_RANDOM;
    return VIRTIO_STEP_DONE;
}

const struct virtio_kind_table virtio_entropy_kind = {
    .name = "entropy",
    .queue_count = 1,
    .config = entropy_config,
    .serve = { [REQUEST_QUEUE] = serve },
};
