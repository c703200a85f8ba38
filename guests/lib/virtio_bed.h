/*
 * A test bed for virtio devices: a device with all its queues over the driver of guests/lib/virtio.h, chains of several
 * buffers, and requests that are waited for. What a test wants to do wrong it does by itself, in the rings and registers
 * that are public here.
 */
#ifndef TELEPOD_GUESTS_VIRTIO_BED_H
#define TELEPOD_GUESTS_VIRTIO_BED_H

#include <stdbool.h>
#include <stdint.h>
#include "guests/lib/virtio.h"

#define BED_QUEUES 2
#define BED_STATUS_ALIVE 0x0F
#define BED_BUFFERS 0x140000            /* guest-physical: from here to the end of RAM a test may use all */

struct bed {
    struct virtio virtio;
    unsigned queue_count;
    struct virtqueue *queues;           /* BED_QUEUES of them; one device at a time has them */
};

/* A piece of memory in a chain. */
struct bed_buffer {
    void *address;
    uint32_t length;
    bool write;                         /* by the device */
};

/* Resets the device of that kind and starts it with all its queues, empty. false: the machine has none. */
bool bed_try_open(struct bed *bed, uint16_t id);
/* The same; a machine without one fails the guest. */
void bed_open(struct bed *bed, uint16_t id);
uint8_t bed_status(const struct bed *bed);

void bed_describe(struct bed *bed, unsigned queue, unsigned index, uint64_t address, uint32_t length, uint16_t flags,
                  uint16_t next);
void bed_offer(struct bed *bed, unsigned queue, uint16_t head);
void bed_kick(struct bed *bed, unsigned queue);
/* The next used entry: its length, and its chain's head in *head (may be NULL); -1: none yet. */
int64_t bed_poll(struct bed *bed, unsigned queue, uint16_t *head);
/* A chain from descriptor 0 on: offered, kicked and waited for. What the device wrote, in bytes. */
uint32_t bed_request(struct bed *bed, unsigned queue, const struct bed_buffer *buffers, unsigned count);

#endif
