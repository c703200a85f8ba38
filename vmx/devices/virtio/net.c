/*
 * The network device (virtio 1.2, section 5.1): one receive and one transmit queue, a MAC address, a link that is always
 * up. No offloads: every frame is a plain Ethernet frame, and the header before it holds nothing.
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

#define VIRTIO_NET_F_MAC (1ull << 5)
#define VIRTIO_NET_F_STATUS (1ull << 16)
#define LINK_UP 1                   /* VIRTIO_NET_S_LINK_UP */

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

#define FRAME_MIN 14                /* an Ethernet header */
#define FRAME_MAX 1514

/* 5.1.6 "Device Operation": struct virtio_net_hdr, as it is with VIRTIO_F_VERSION_1 */
struct net_header {
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, checksum_start, checksum_offset, buffer_count;
};
_Static_assert(sizeof(struct net_header) == 12, "5.1.6");

/* 5.1.4 "Device configuration layout" */
struct net_config {
    uint8_t mac[VIRTIO_MAC_SIZE];
    uint16_t status;
};
_Static_assert(sizeof(struct net_config) == 8, "5.1.4");

static void net_config(const struct virtio_device *device, uint8_t out[VIRTIO_CONFIG_MAX])
{
    struct net_config config = { .status = LINK_UP };

    memcpy(config.mac, device->mac, sizeof(config.mac));
    memcpy(out, &config, sizeof(config));
}

static enum virtio_step transmit(struct virtio_device *device, const struct virtqueue_chain *chain,
                                 const struct virtio_world *world, struct virtio_work *work)
{
    uint32_t size = chain->readable_bytes - (uint32_t)sizeof(struct net_header);
    uint8_t frame[FRAME_MAX];

    if (chain->readable_bytes < sizeof(struct net_header) + FRAME_MIN || size > FRAME_MAX) {
        device->dropped++;
        return VIRTIO_STEP_DONE;
    }
    if (!virtqueue_copy_from(chain, &world->dma, sizeof(struct net_header), frame, size))
        return VIRTIO_STEP_BROKEN;
    work->bytes = size;
    if (!world->transmit(world->context, frame, size))
        device->dropped++;
    return VIRTIO_STEP_DONE;
}

/* A buffer that cannot hold the frame stays for a smaller one: without offloads, drivers offer 1526 bytes. */
bool virtio_net_receive(struct virtio_device *device, const struct virtio_world *world, const void *frame, uint32_t size)
{
    static const struct net_header header = { .buffer_count = 1 };
    struct virtqueue_chain chain;

    if (size < FRAME_MIN || size > FRAME_MAX || !virtio_next_buffer(device, RECEIVE_QUEUE, world, &chain) ||
        chain.writable_bytes < sizeof(header) + size) {
        device->dropped++;
        return false;
    }
    if (!virtqueue_copy_to(&chain, &world->dma, 0, &header, sizeof(header)) ||
        !virtqueue_copy_to(&chain, &world->dma, sizeof(header), frame, size)) {
        device->dropped++;
        virtio_break(device, world);
        return false;
    }
    virtio_give_back(device, RECEIVE_QUEUE, world, &chain, (uint32_t)sizeof(header) + size);
    return true;
}

const struct virtio_kind_table virtio_net_kind = {
    .name = "net",
    .features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS,
    .queue_count = 2,
    .config_size = sizeof(struct net_config),
    .config = net_config,
    .serve = { [TRANSMIT_QUEUE] = transmit },
};

static const struct field net_addresses_fields[] = {
    FIELD(struct net_addresses, count, NET_ADDRESSES),
    FIELD_ARRAY(struct net_addresses, ipv4, 0),
};
const struct section net_addresses_section = {
    .name = "net_addresses",
    .version = 1,
    .fields = net_addresses_fields,
    .field_count = ARRAY_SIZE(net_addresses_fields),
    .struct_size = sizeof(struct net_addresses),
};
