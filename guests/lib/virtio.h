/*
 * Virtio 1.x devices over PCI, polled (Virtual I/O Device Specification 1.2, chapters 2, 3.1 and 4.1). There is no
 * firmware below a guest of this folder, so the driver gives the BARs their addresses itself.
 */
#ifndef TELEPOD_GUESTS_VIRTIO_H
#define TELEPOD_GUESTS_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_ENTROPY 4

#define VIRTIO_F_VERSION_1 (1ull << 32)

/* 4.1.4.3 "Common configuration structure layout" */
struct virtio_common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_msix_vector, num_queues;
    uint8_t device_status, config_generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    uint64_t queue_desc, queue_driver, queue_device;
};
_Static_assert(sizeof(struct virtio_common) == 56, "4.1.4.3");

struct virtio {
    uint32_t slot;                          /* of PCI bus 0 */
    volatile struct virtio_common *common;
    volatile uint8_t *device;               /* its own configuration; NULL: none */
    volatile uint8_t *isr;
    uint8_t *notify;
    uint32_t notify_multiplier;
};

/* 2.7 "Split Virtqueues" */
#define VIRTQUEUE_SIZE 64
#define VIRTQ_DESC_F_NEXT 1
#define VIRTQ_DESC_F_WRITE 2
#define VIRTQ_DESC_F_INDIRECT 4

struct virtq_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
struct virtq_avail {
    uint16_t flags, index, ring[VIRTQUEUE_SIZE], used_event;
};
struct virtq_used_element {
    uint32_t id, length;
};
struct virtq_used {
    uint16_t flags, index;
    struct virtq_used_element ring[VIRTQUEUE_SIZE];
    uint16_t avail_event;
};

/* What the device sees of a queue; then what the driver keeps of it. Zeroed by its owner. */
struct virtqueue {
    struct virtq_desc desc[VIRTQUEUE_SIZE] __attribute__((aligned(16)));
    struct virtq_avail avail __attribute__((aligned(2)));
    struct virtq_used used __attribute__((aligned(4)));
    uint16_t used_seen;
    volatile uint16_t *doorbell;
    uint16_t index;
};

/*
 * The first device of that kind (VIRTIO_ID_...): BARs placed, reset, ACKNOWLEDGE and DRIVER set, those of `features`
 * accepted that the device offers, FEATURES_OK. false: there is none, or it refuses. *features: what was agreed.
 */
bool virtio_open(struct virtio *virtio, uint16_t id, uint64_t *features);
/* Gives queue `index` to the device. false: it has no such queue. */
bool virtio_queue_open(struct virtio *virtio, struct virtqueue *queue, uint16_t index);
/* DRIVER_OK: from here on the device works. */
void virtio_start(struct virtio *virtio);
uint8_t virtio_status(const struct virtio *virtio);
void virtio_reset(struct virtio *virtio);

/* Offers one buffer through descriptor `id`, which must be free; the device hears of it with the next kick. */
void virtqueue_offer(struct virtqueue *queue, uint16_t id, const void *buffer, uint32_t length, bool device_writes);
void virtqueue_kick(struct virtqueue *queue);
/* A descriptor that the device is done with, and how much it wrote; -1: none. */
int virtqueue_take(struct virtqueue *queue, uint32_t *length);

/* Configuration space, mechanism #1. */
uint32_t pci_read(uint32_t slot, uint32_t offset);
void pci_write(uint32_t slot, uint32_t offset, uint32_t value);

#endif
