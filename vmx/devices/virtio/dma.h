/*
 * A device's way to its guest's memory: by guest-physical address, checked by whoever provides it. false: some of the
 * range is no RAM of this guest, and nothing was copied.
 */
#ifndef TELEPOD_VIRTIO_DMA_H
#define TELEPOD_VIRTIO_DMA_H

#include <stdbool.h>
#include <stdint.h>

struct dma {
    bool (*read)(void *context, uint64_t gpa, void *to, uint32_t size);
    bool (*write)(void *context, uint64_t gpa, const void *from, uint32_t size);
    /*
     * A 16-bit word whose bytes belong together although another vCPU may look at it or change it meanwhile: a ring's
     * index. gpa is even.
     */
    bool (*load16)(void *context, uint64_t gpa, uint16_t *value);
    bool (*store16)(void *context, uint64_t gpa, uint16_t value);
    void *context;
};

#endif
