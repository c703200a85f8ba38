#include "guests/lib/virtio.h"

#include <stddef.h>

#include "guests/lib/insn.h"

#define PORT_PCI_ADDRESS 0xCF8
#define PORT_PCI_DATA 0xCFC
#define PCI_ENABLE 0x80000000u
#define PCI_SLOTS 32

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY_MASTER 0x6u
#define PCI_BAR0 0x10
#define PCI_BARS 6
#define PCI_BAR_MASK 0xFFFFFFF0u
#define PCI_CAPABILITIES 0x34
#define PCI_CAPABILITY_VENDOR 0x09

#define VIRTIO_VENDOR 0x1AF4u
#define VIRTIO_DEVICE_BASE 0x1040u          /* 4.1.2.1: device id of a modern device = this + its kind */

/* The machine's window for BARs (guests/ABI.md): a piece of it a slot, a part of the piece a BAR. */
#define WINDOW 0xC0000000u
#define WINDOW_OF_SLOT 0x100000u
#define WINDOW_OF_BAR 0x10000u

/* 4.1.4 "Virtio Structure PCI Capabilities" */
enum { CAP_NEXT = 1, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_MULTIPLIER = 16 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4 };

/* 2.1 "Device Status Field" */
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8 };

#define CAPABILITIES_MAX 32                 /* a list that loops ends here */

uint32_t pci_read(uint32_t slot, uint32_t offset)
{
    outl(PORT_PCI_ADDRESS, PCI_ENABLE | slot << 11 | (offset & ~3u));
    return inl(PORT_PCI_DATA);
}

void pci_write(uint32_t slot, uint32_t offset, uint32_t value)
{
    outl(PORT_PCI_ADDRESS, PCI_ENABLE | slot << 11 | (offset & ~3u));
    outl(PORT_PCI_DATA, value);
}

static uint8_t pci_read_byte(uint32_t slot, uint32_t offset)
{
    return (uint8_t)(pci_read(slot, offset) >> (offset & 3) * 8);
}

static void place_bars(uint32_t slot)
{
    for (uint32_t bar = 0; bar < PCI_BARS; bar++)
        pci_write(slot, PCI_BAR0 + 4 * bar, WINDOW + slot * WINDOW_OF_SLOT + bar * WINDOW_OF_BAR);
    pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY_MASTER);
}

static bool find_slot(uint16_t id, uint32_t *slot)
{
    for (*slot = 0; *slot < PCI_SLOTS; ++*slot)
        if (pci_read(*slot, 0) == ((VIRTIO_DEVICE_BASE + id) << 16 | VIRTIO_VENDOR))
            return true;
    return false;
}

static void find_structures(struct virtio *v)
{
    uint32_t at = pci_read_byte(v->slot, PCI_CAPABILITIES);

    for (unsigned i = 0; at && i < CAPABILITIES_MAX; i++, at = pci_read_byte(v->slot, at + CAP_NEXT)) {
        uint32_t bar = pci_read_byte(v->slot, at + CAP_BAR);
        uint8_t type = pci_read_byte(v->slot, at + CAP_TYPE), *base;

        if (pci_read_byte(v->slot, at) != PCI_CAPABILITY_VENDOR || bar >= PCI_BARS)
            continue;
        base = (uint8_t *)(uintptr_t)((pci_read(v->slot, PCI_BAR0 + 4 * bar) & PCI_BAR_MASK) +
                                      pci_read(v->slot, at + CAP_OFFSET));
        if (type == CFG_COMMON) {
            v->common = (void *)base;
        } else if (type == CFG_ISR) {
            v->isr = base;
        } else if (type == CFG_DEVICE) {
            v->device = base;
        } else if (type == CFG_NOTIFY) {
            v->notify = base;
            v->notify_multiplier = pci_read(v->slot, at + CAP_MULTIPLIER);
        }
    }
}

static void add_status(struct virtio *v, uint8_t bits)
{
    v->common->device_status = v->common->device_status | bits;
}

static uint64_t agree(struct virtio *v, uint64_t wanted)
{
    uint64_t agreed = 0;

    for (uint32_t half = 0; half < 2; half++) {
        v->common->device_feature_select = half;
        agreed |= (uint64_t)v->common->device_feature << 32 * half;
    }
    agreed &= wanted;
    for (uint32_t half = 0; half < 2; half++) {
        v->common->driver_feature_select = half;
        v->common->driver_feature = (uint32_t)(agreed >> 32 * half);
    }
    return agreed;
}

/* 3.1.1 "Driver Requirements: Device Initialization", steps 1 to 6. */
bool virtio_open(struct virtio *v, uint16_t id, uint64_t *features)
{
    *v = (struct virtio){ 0 };
    if (!find_slot(id, &v->slot))
        return false;
    place_bars(v->slot);
    find_structures(v);
    if (!v->common || !v->notify)
        return false;
    virtio_reset(v);
    add_status(v, STATUS_ACKNOWLEDGE);
    add_status(v, STATUS_DRIVER);
    *features = agree(v, *features | VIRTIO_F_VERSION_1);
    add_status(v, STATUS_FEATURES_OK);
    return virtio_status(v) & STATUS_FEATURES_OK;
}

/* 4.1.5.1.3 "Virtqueue Configuration" */
bool virtio_queue_open(struct virtio *v, struct virtqueue *queue, uint16_t index)
{
    v->common->queue_select = index;
    if (v->common->queue_size < VIRTQUEUE_SIZE)
        return false;
    v->common->queue_size = VIRTQUEUE_SIZE;
    v->common->queue_desc = (uintptr_t)queue->desc;
    v->common->queue_driver = (uintptr_t)&queue->avail;
    v->common->queue_device = (uintptr_t)&queue->used;
    v->common->queue_enable = 1;
    queue->doorbell = (void *)(v->notify + v->common->queue_notify_off * v->notify_multiplier);
    queue->index = index;
    return true;
}

void virtio_start(struct virtio *v)
{
    add_status(v, STATUS_DRIVER_OK);
}

uint8_t virtio_status(const struct virtio *v)
{
    return v->common->device_status;
}

void virtio_reset(struct virtio *v)
{
    v->common->device_status = 0;
}

/* Tells the compiler, too, that the device reads and writes the queue. */
static void barrier(void)
{
    __sync_synchronize();
}

void virtqueue_offer(struct virtqueue *queue, uint16_t id, const void *buffer, uint32_t length, bool device_writes)
{
    queue->desc[id] = (struct virtq_desc){ (uintptr_t)buffer, length, device_writes ? VIRTQ_DESC_F_WRITE : 0, 0 };
    queue->avail.ring[queue->avail.index % VIRTQUEUE_SIZE] = id;
    barrier();
    *(volatile uint16_t *)&queue->avail.index = (uint16_t)(queue->avail.index + 1);
}

void virtqueue_kick(struct virtqueue *queue)
{
    barrier();
    *queue->doorbell = queue->index;
}

int virtqueue_take(struct virtqueue *queue, uint32_t *length)
{
    const struct virtq_used_element *element = &queue->used.ring[queue->used_seen % VIRTQUEUE_SIZE];

    if (*(volatile uint16_t *)&queue->used.index == queue->used_seen)
        return -1;
    barrier();
    queue->used_seen++;
    *length = element->length;
    return element->id < VIRTQUEUE_SIZE ? (int)element->id : -1;
}
