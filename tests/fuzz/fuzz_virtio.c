/*
 * Any sequence of register accesses, ring memory, frames and input, against any of the four devices, and any state loaded
 * between. No crash, no access outside RAM and disk, turns that end, sizes that stay sizes; a device that saves its
 * state loads it again.
 */
#include <stdlib.h>
#include "kernel/lib/util.h"
#include "tests/fakes/virtio_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WIRE_MAX 256
#define DMA_LIMIT 6000              /* accesses of a turn: VIRTIO_TURN_COST / COST_DESCRIPTOR, and what one chain may add */

static void require(int promise)
{
    if (!promise)
        abort();
}

static unsigned dma_accesses;

static bool counted_read(void *context, uint64_t gpa, void *to, uint32_t size)
{
    dma_accesses++;
    return guest_dma_read(context, gpa, to, size);
}

static struct virtio_device device;
static struct virtio_world world;

static void check(void)
{
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
        const struct virtqueue *queue = &device.queues[i];

        require(virtqueue_size_valid(queue->size) && queue->enabled <= 1);
        require(!queue->enabled || virtqueue_valid(queue));
        require(queue->vector < VIRTIO_PCI_VECTORS || queue->vector == VIRTIO_NO_VECTOR);
    }
    require(dma_accesses <= DMA_LIMIT);
    require(world_seen.frame_size <= 1514);
}

static void reload(const struct section *section, void *object)
{
    uint8_t wire[WIRE_MAX], again[WIRE_MAX];
    char why[160] = "";

    require(section_wire_size(section) <= sizeof(wire));
    section_save(section, object, wire);
    require(section_load(section, object, wire, section_wire_size(section), why, sizeof(why)) == OK);
    section_save(section, object, again);
    require(memcmp(wire, again, section_wire_size(section)) == 0);
}

/* A queue as a well-behaved driver would set it up, so that what comes next reaches deep. */
static void set_up(unsigned index, uint16_t size)
{
    struct virtqueue *queue = &device.queues[index % VIRTIO_QUEUES_MAX];

    device.driver_features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC;
    device.status |= VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
    *queue = (struct virtqueue){ .descriptors = 0x1000u * (index + 1), .available = 0x1000u * (index + 1) + 0x600,
                                 .used = 0x1000u * (index + 1) + 0x800, .size = (uint16_t)(1 << size % 7), .enabled = 1,
                                 .vector = VIRTIO_NO_VECTOR };
}

/*
 * One request as a driver would make it: `readable` units of 16 bytes, of which the fuzzer chooses the first, then room for
 * a reply. A request to the block device, a frame, a line of console output, a buffer.
 */
static void request(const struct virtqueue *queue, uint64_t value, uint8_t readable, uint8_t room)
{
    enum { UNIT = 16, AT = 0x30000, ROOM_AT = AT + 0x1000, SECTOR_SHIFT = 4, STATUS = 1 };
    const struct { uint64_t type, sector; } header = { value % (1 << SECTOR_SHIFT), value >> SECTOR_SHIFT };
    uint64_t table = queue->descriptors % 0x10000;

    if (queue->available >= GUEST_DMA_SIZE - 0x1000 || queue->size < 2)
        return;
    guest_dma_write(NULL, AT, &header, sizeof(header));
    guest_dma_describe(table, 0, AT, readable * UNIT, room ? DESCRIPTOR_NEXT : 0, 1);
    guest_dma_describe(table, 1, ROOM_AT, room / 2 * VIRTIO_SECTOR_SIZE + room % 2 * STATUS, DESCRIPTOR_WRITE, 0);
    guest_dma_offer(queue, readable ? 0 : 1);
}

static void load_any(const uint8_t *data, size_t size)
{
    char why[160];
    struct virtqueue *queue = &device.queues[data[0] % VIRTIO_QUEUES_MAX];

    if (data[1] & 1)
        section_load(&virtio_section, &device, data + 2, MIN(size - 2, section_wire_size(&virtio_section)), why, sizeof(why));
    else if (section_load(&virtqueue_section, queue, data + 2, MIN(size - 2, section_wire_size(&virtqueue_section)), why,
                          sizeof(why)) == OK && queue->vector >= VIRTIO_PCI_VECTORS)
        queue->vector = VIRTIO_NO_VECTOR; /* any vector may arrive: the bus knows none of that number */
}

enum { OP_WRITE, OP_READ, OP_RAM, OP_OFFER, OP_SET_UP, OP_FRAME, OP_INPUT, OP_RUN, OP_LOAD, OP_MESSAGES, OP_REQUEST, OP_COUNT };

struct op {
    uint8_t code, a;
    uint16_t b;
    uint64_t value;
};

static void step(const struct op *op, const uint8_t *rest, size_t rest_size)
{
    const unsigned size = 1u << (op->a & 3);

    switch (op->code % OP_COUNT) {
    case OP_WRITE: virtio_pci_write(&device, &world, op->b % VIRTIO_PCI_BAR_SIZE, size, op->value); break;
    case OP_READ: virtio_pci_read(&device, &world, op->b % VIRTIO_PCI_BAR_SIZE, size); break;
    case OP_RAM: guest_dma_write(NULL, op->b, &op->value, size); break;
    case OP_OFFER: {
        const struct virtqueue *queue = &device.queues[op->a % VIRTIO_QUEUES_MAX];

        if (queue->available < GUEST_DMA_SIZE - 0x1000) {
            guest_dma_describe(queue->descriptors % 0x10000, op->b % queue->size, op->value & 0x3ffff,
                               (uint32_t)(op->value >> 18), (uint16_t)(op->value >> 50), (uint16_t)(op->value >> 56));
            guest_dma_offer(queue, op->b % queue->size);
        }
        break;
    }
    case OP_SET_UP: set_up(op->a % VIRTIO_QUEUES_MAX, op->b); break;
    case OP_FRAME: virtio_net_receive(&device, &world, rest, (uint32_t)MIN(rest_size, (size_t)op->b)); break;
    case OP_INPUT: require(virtio_console_receive(&device, &world, (const char *)rest, (uint32_t)rest_size) <= rest_size); break;
    case OP_RUN: virtio_run(&device, op->a, &world); break;
    case OP_LOAD:
        if (rest_size > 2)
            load_any(rest, rest_size);
        break;
    case OP_REQUEST: request(&device.queues[op->a % VIRTIO_QUEUES_MAX], op->value, (uint8_t)op->b, op->b >> 8); break;
    case OP_MESSAGES: world_seen.messages_on = op->a & 1; break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct op op;

    if (size < 1)
        return 0;
    memset(&world_seen, 0, sizeof(world_seen));
    memset(guest_dma_ram, 0, sizeof(guest_dma_ram));
    world = fake_world;
    world.dma.read = counted_read;
    device = (struct virtio_device){ .capacity = WORLD_SECTORS };
    virtio_init(&device, data[0] % VIRTIO_KINDS);
    data++, size--;
    while (size >= sizeof(op)) {
        memcpy(&op, data, sizeof(op));
        data += sizeof(op);
        size -= sizeof(op);
        dma_accesses = 0;
        step(&op, data, size);
        check();
    }
    reload(&virtio_section, &device);
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
        reload(&virtqueue_section, &device.queues[i]);
    return 0;
}
