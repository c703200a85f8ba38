/*
 * A split virtqueue from the device's side (virtio 1.2, section 2.7 "Split Virtqueues"). Pure: the rings are in the
 * guest's memory and are reached through struct dma only.
 *
 * **Nothing that a guest puts into its rings does harm**: every index, length, flag and address is checked when it is
 * used, every loop ends after VIRTQUEUE_SIZE_MAX descriptors, and what breaks the specification is answered by
 * VIRTQUEUE_BROKEN, upon which the device asks for its reset. A chain is looked at (peek) and stays where it is until it
 * is completed: a request that is half done when the machine moves is looked at again on the other side.
 */
#ifndef TELEPOD_VIRTQUEUE_H
#define TELEPOD_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/virtio/dma.h"
#include "vmx/fields.h"

#define VIRTQUEUE_SIZE_MAX 256      /* entries of a ring, and descriptors of a chain */
#define VIRTIO_NO_VECTOR 0xffff     /* VIRTIO_MSI_NO_VECTOR */

/* 2.7.5 "The Virtqueue Descriptor Table" */
struct virtqueue_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
_Static_assert(sizeof(struct virtqueue_descriptor) == 16, "2.7.5");
#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2          /* for the device to write; without it, to read */
#define DESCRIPTOR_INDIRECT 4

/* State: values only. Zero but for what virtqueue_reset() sets. */
struct virtqueue {
    uint64_t descriptors, available, used;  /* guest-physical, as the driver set them */
    uint16_t size;                          /* entries; a power of two up to VIRTQUEUE_SIZE_MAX */
    uint16_t enabled;                       /* 0 or 1 */
    uint16_t vector;                        /* MSI-X vector, or VIRTIO_NO_VECTOR */
    uint16_t next_available, next_used;     /* free-running, as the rings' own indices */
    uint32_t progress;                      /* bytes of the chain at next_available that are done already */
};
extern const struct section virtqueue_section;

struct virtqueue_segment {
    uint64_t address;
    uint32_t length;                        /* never 0 */
};

/* A chain of buffers: first what the device reads, then what it writes. */
struct virtqueue_chain {
    uint16_t head;
    uint16_t descriptors;                   /* looked at, indirect ones and empty ones included */
    uint16_t readable, writable;            /* segments */
    uint32_t readable_bytes, writable_bytes;
    struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
};

enum virtqueue_result { VIRTQUEUE_EMPTY, VIRTQUEUE_CHAIN, VIRTQUEUE_BROKEN };

void virtqueue_reset(struct virtqueue *queue);
bool virtqueue_size_valid(uint16_t size);
/* May it be enabled as it is set up now? Sizes and alignments (2.7 "Split Virtqueues"); not whether it lies in RAM. */
bool virtqueue_valid(const struct virtqueue *queue);

/* How many chains wait; VIRTQUEUE_CHAIN: at least one. `queue` must be enabled, here and below. */
enum virtqueue_result virtqueue_waiting(const struct virtqueue *queue, const struct dma *dma, uint16_t *count);
/* The chain at next_available, which must wait. VIRTQUEUE_CHAIN or VIRTQUEUE_BROKEN. */
enum virtqueue_result virtqueue_peek(const struct virtqueue *queue, const struct dma *dma, struct virtqueue_chain *chain);
/* Gives it back to the driver with the number of bytes written. false: broken. */
bool virtqueue_complete(struct virtqueue *queue, const struct dma *dma, const struct virtqueue_chain *chain, uint32_t written);
/* After completions: does the driver want to be told? */
bool virtqueue_wants_interrupt(const struct virtqueue *queue, const struct dma *dma);

/*
 * Bytes from the chain's readable part, or to its writable part, at an offset. false: it is shorter than that, or is no
 * RAM; then some of it may have been copied.
 */
bool virtqueue_copy_from(const struct virtqueue_chain *chain, const struct dma *dma, uint32_t offset, void *to, uint32_t size);
bool virtqueue_copy_to(const struct virtqueue_chain *chain, const struct dma *dma, uint32_t offset, const void *from,
                       uint32_t size);

#endif
