/* A guest's RAM for tests of what reaches it by struct dma: an array, every access checked; and a driver's hand in it. */
#ifndef TELEPOD_TESTS_GUEST_DMA_H
#define TELEPOD_TESTS_GUEST_DMA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "vmx/devices/virtio/virtqueue.h"

#define GUEST_DMA_SIZE 0x40000

static uint8_t guest_dma_ram[GUEST_DMA_SIZE];

static inline bool guest_dma_inside(uint64_t gpa, uint64_t size)
{
    return size <= GUEST_DMA_SIZE && gpa <= GUEST_DMA_SIZE - size;
}

static inline bool guest_dma_read(void *context, uint64_t gpa, void *to, uint32_t size)
{
    (void)context;
    if (!guest_dma_inside(gpa, size))
        return false;
    memcpy(to, guest_dma_ram + gpa, size);
    return true;
}

static inline bool guest_dma_write(void *context, uint64_t gpa, const void *from, uint32_t size)
{
    (void)context;
    if (!guest_dma_inside(gpa, size))
        return false;
    memcpy(guest_dma_ram + gpa, from, size);
    return true;
}

static inline bool guest_dma_load16(void *context, uint64_t gpa, uint16_t *value)
{
    return guest_dma_read(context, gpa, value, sizeof(*value));
}

static inline bool guest_dma_store16(void *context, uint64_t gpa, uint16_t value)
{
    return guest_dma_write(context, gpa, &value, sizeof(value));
}

static const struct dma guest_dma = { guest_dma_read, guest_dma_write, guest_dma_load16, guest_dma_store16, NULL };

static inline uint16_t guest_dma_word(uint64_t gpa)
{
    uint16_t value;

    memcpy(&value, guest_dma_ram + gpa, sizeof(value));
    return value;
}

static inline uint32_t guest_dma_long(uint64_t gpa)
{
    uint32_t value;

    memcpy(&value, guest_dma_ram + gpa, sizeof(value));
    return value;
}

static inline void guest_dma_set_word(uint64_t gpa, uint16_t value) { memcpy(guest_dma_ram + gpa, &value, sizeof(value)); }

/* Entry `index` of the table of descriptors at `table`. */
static inline void guest_dma_describe(uint64_t table, unsigned index, uint64_t address, uint32_t length, uint16_t flags,
                                      uint16_t next)
{
    struct virtqueue_descriptor descriptor = { address, length, flags, next };

    memcpy(guest_dma_ram + table + index * sizeof(descriptor), &descriptor, sizeof(descriptor));
}

/* The driver makes chain `head` available. */
static inline void guest_dma_offer(const struct virtqueue *queue, uint16_t head)
{
    uint16_t index = guest_dma_word(queue->available + 2);

    guest_dma_set_word(queue->available + 4 + 2 * (index % queue->size), head);
    guest_dma_set_word(queue->available + 2, (uint16_t)(index + 1));
}

#endif
