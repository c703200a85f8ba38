/* The machine around a virtio device, played: RAM (guest_dma.h), a small disk, and what came out of the device. */
#ifndef TELEPOD_TESTS_VIRTIO_WORLD_H
#define TELEPOD_TESTS_VIRTIO_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "tests/fakes/guest_dma.h"
#include "vmx/devices/virtio/virtio.h"
#include "vmx/devices/virtio/virtio_pci.h"

#define WORLD_SECTORS 256
#define WORLD_DISK_SIZE (WORLD_SECTORS * VIRTIO_SECTOR_SIZE)
#define WORLD_SENT_MAX 4096

static struct world_seen {
    bool messages_on;                   /* MSI-X */
    bool no_master;                     /* Command.BusMaster is clear */
    unsigned messages, lines;
    uint16_t last_vector;
    bool level, refuse_random, refuse_frames;
    unsigned frames;
    uint8_t frame[2048];
    uint32_t frame_size;
    char output[WORLD_SENT_MAX];
    uint32_t output_size;               /* all that was written; output holds the first bytes */
    uint64_t random_bytes, disk_bytes;
} world_seen;

static uint8_t world_disk[WORLD_DISK_SIZE];

static inline bool world_may_dma(void *context, unsigned kind)
{
    (void)context, (void)kind;
    return !world_seen.no_master;
}

static inline bool world_uses_messages(void *context, unsigned kind)
{
    (void)context, (void)kind;
    return world_seen.messages_on;
}

static inline void world_message(void *context, unsigned kind, uint16_t vector)
{
    (void)context, (void)kind;
    world_seen.messages++;
    world_seen.last_vector = vector;
}

static inline void world_line(void *context, unsigned kind, bool level)
{
    (void)context, (void)kind;
    world_seen.lines++;
    world_seen.level = level;
}

static inline bool world_transmit(void *context, const void *frame, uint32_t size)
{
    (void)context;
    if (world_seen.refuse_frames)
        return false;
    memcpy(world_seen.frame, frame, size);
    world_seen.frame_size = size;
    world_seen.frames++;
    return true;
}

static inline bool world_random(void *context, void *to, uint32_t size)
{
    (void)context;
    memset(to, 0xe7, size);
    world_seen.random_bytes += size;
    return !world_seen.refuse_random;
}

static inline bool world_on_disk(uint64_t offset, uint32_t size)
{
    return size <= WORLD_DISK_SIZE && offset <= WORLD_DISK_SIZE - size;
}

static inline bool world_disk_read(void *context, uint64_t offset, void *to, uint32_t size)
{
    (void)context;
    if (!world_on_disk(offset, size))
        return false;
    memcpy(to, world_disk + offset, size);
    world_seen.disk_bytes += size;
    return true;
}

static inline bool world_disk_write(void *context, uint64_t offset, const void *from, uint32_t size)
{
    (void)context;
    if (!world_on_disk(offset, size))
        return false;
    memcpy(world_disk + offset, from, size);
    world_seen.disk_bytes += size;
    return true;
}

static inline void world_console_output(void *context, const char *bytes, uint32_t size)
{
    (void)context;
    for (uint32_t i = 0; i < size && world_seen.output_size + i < sizeof(world_seen.output); i++)
        world_seen.output[world_seen.output_size + i] = bytes[i];
    world_seen.output_size += size;
}

static const struct virtio_world fake_world = {
    .dma = { guest_dma_read, guest_dma_write, guest_dma_load16, guest_dma_store16, NULL },
    .may_dma = world_may_dma,
    .uses_messages = world_uses_messages,
    .message = world_message,
    .line = world_line,
    .transmit = world_transmit,
    .random = world_random,
    .disk_read = world_disk_read,
    .disk_write = world_disk_write,
    .console_output = world_console_output,
};

#endif
