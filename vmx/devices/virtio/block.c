/*
 * The block device (virtio 1.2, section 5.2): one queue, a disk in the machine's memory. A request is served in steps of
 * BLOCK_STEP bytes, each of which looks at the whole request anew: what a driver changes meanwhile can only spoil its own
 * data, and a machine that moves between two steps goes on with the third.
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

#define VIRTIO_BLK_F_SEG_MAX (1ull << 2)
#define VIRTIO_BLK_F_BLK_SIZE (1ull << 6)
#define VIRTIO_BLK_F_FLUSH (1ull << 9)

#define REQUEST_QUEUE 0
#define BLOCK_STEP (32 * 1024)      /* bytes */
#define BOUNCE 4096                 /* bytes on the stack */
/* Segments of a request beside its header and its status. */
#define SEGMENTS_MAX (VIRTQUEUE_SIZE_MAX - 2)

/* 5.2.6 "Device Operation" */
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPPORTED = 2 };
#define ID_SIZE 20

struct block_header {
    uint32_t type, reserved;
    uint64_t sector;
};
_Static_assert(sizeof(struct block_header) == 16, "5.2.6");

/* 5.2.4 "Device configuration layout", up to blk_size */
struct block_config {
    uint64_t capacity;
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
};
_Static_assert(sizeof(struct block_config) == 24, "5.2.4");

static const char disk_id[ID_SIZE] = "telepod-disk";

static void block_config(const struct virtio_device *device, uint8_t out[VIRTIO_CONFIG_MAX])
{
    struct block_config config = { .capacity = device->capacity, .seg_max = SEGMENTS_MAX, .blk_size = VIRTIO_SECTOR_SIZE };

    memcpy(out, &config, sizeof(config));
}

/* A request while it is served. Data: what is read from the chain behind the header, or written before the status. */
struct block_request {
    struct block_header header;
    bool to_guest;
    uint32_t data_bytes;
};

static enum virtio_step finish(const struct virtqueue_chain *chain, const struct virtio_world *world, uint8_t status,
                               struct virtio_work *work)
{
    uint32_t before = chain->writable_bytes - 1;

    if (!virtqueue_copy_to(chain, &world->dma, before, &status, sizeof(status)))
        return VIRTIO_STEP_BROKEN;
    /* "Written" counts from the start: with an error, what lies before the status byte was not. */
    work->written = status == STATUS_OK || before == 0 ? chain->writable_bytes : 0;
    return VIRTIO_STEP_DONE;
}

static bool on_disk(const struct virtio_device *device, const struct block_request *request)
{
    uint64_t sectors = request->data_bytes / VIRTIO_SECTOR_SIZE;

    return request->data_bytes % VIRTIO_SECTOR_SIZE == 0 && sectors <= device->capacity &&
           request->header.sector <= device->capacity - sectors;
}

/* false: the guest's buffer is no RAM. *status: what the disk said. */
static bool move_piece(const struct block_request *request, const struct virtqueue_chain *chain,
                       const struct virtio_world *world, uint32_t done, uint32_t size, uint8_t *status)
{
    uint64_t offset = request->header.sector * VIRTIO_SECTOR_SIZE + done;
    uint8_t bounce[BOUNCE];

    *status = STATUS_OK;
    if (request->to_guest) {
        if (!world->disk_read(world->context, offset, bounce, size)) {
            *status = STATUS_IOERR;
            return true;
        }
        return virtqueue_copy_to(chain, &world->dma, done, bounce, size);
    }
    if (!virtqueue_copy_from(chain, &world->dma, (uint32_t)sizeof(request->header) + done, bounce, size))
        return false;
    if (!world->disk_write(world->context, offset, bounce, size))
        *status = STATUS_IOERR;
    return true;
}

static enum virtio_step move_data(struct virtio_device *device, const struct block_request *request,
                                  const struct virtqueue_chain *chain, const struct virtio_world *world,
                                  struct virtio_work *work)
{
    uint32_t done = MIN(device->queues[REQUEST_QUEUE].progress, request->data_bytes);
    uint32_t end = MIN(request->data_bytes - done, BLOCK_STEP) + done;
    uint8_t status;

    if (!on_disk(device, request))
        return finish(chain, world, STATUS_IOERR, work);
    while (done < end) {
        uint32_t size = MIN(end - done, BOUNCE);

        if (!move_piece(request, chain, world, done, size, &status))
            return VIRTIO_STEP_BROKEN;
        if (status != STATUS_OK)
            return finish(chain, world, status, work);
        done += size;
        work->bytes += size;
    }
    if (done == request->data_bytes)
        return finish(chain, world, STATUS_OK, work);
    device->queues[REQUEST_QUEUE].progress = done;
    return VIRTIO_STEP_AGAIN;
}

static enum virtio_step send_id(const struct virtqueue_chain *chain, const struct virtio_world *world, uint32_t room,
                                struct virtio_work *work)
{
    if (!virtqueue_copy_to(chain, &world->dma, 0, disk_id, MIN(room, (uint32_t)ID_SIZE)))
        return VIRTIO_STEP_BROKEN;
    return finish(chain, world, STATUS_OK, work);
}

static enum virtio_step serve(struct virtio_device *device, const struct virtqueue_chain *chain,
                              const struct virtio_world *world, struct virtio_work *work)
{
    struct block_request request;

    if (chain->readable_bytes < sizeof(request.header) || chain->writable_bytes < 1 ||
        !virtqueue_copy_from(chain, &world->dma, 0, &request.header, sizeof(request.header)))
        return VIRTIO_STEP_BROKEN;
    request.to_guest = request.header.type == TYPE_IN;
    request.data_bytes = request.to_guest ? chain->writable_bytes - 1
                                          : chain->readable_bytes - (uint32_t)sizeof(request.header);
    switch (request.header.type) {
    case TYPE_IN:
    case TYPE_OUT: return move_data(device, &request, chain, world, work);
    case TYPE_FLUSH: return finish(chain, world, STATUS_OK, work); /* what was written is in the image already */
    case TYPE_GET_ID: return send_id(chain, world, chain->writable_bytes - 1, work);
    default: return finish(chain, world, STATUS_UNSUPPORTED, work);
    }
}

const struct virtio_kind_table virtio_block_kind = {
    .name = "block",
    .features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH,
    .queue_count = 1,
    .config_size = sizeof(struct block_config),
    .config = block_config,
    .serve = { [REQUEST_QUEUE] = serve },
};
