/*
 * A virtio device on the bench: power-on, a driver's hand on its registers and queues, in the world of virtio_world.h. For
 * cmocka programs.
 */
#ifndef TELEPOD_TESTS_VIRTIO_BENCH_H
#define TELEPOD_TESTS_VIRTIO_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "tests/fakes/virtio_world.h"

/* Registers of the common configuration (virtio 1.2, 4.1.4.3), by hand. */
enum {
    DEVICE_FEATURE_SELECT = 0, DEVICE_FEATURE = 4, DRIVER_FEATURE_SELECT = 8, DRIVER_FEATURE = 12, CONFIG_VECTOR = 16,
    NUM_QUEUES = 18, STATUS = 20, GENERATION = 21, QUEUE_SELECT = 22, QUEUE_SIZE = 24, QUEUE_VECTOR = 26,
    QUEUE_ENABLE = 28, QUEUE_NOTIFY_OFF = 30, QUEUE_DESC = 32, QUEUE_DRIVER = 40, QUEUE_DEVICE = 48,
};
#define RING(queue) (0x1000u + 0x4000u * (queue))
#define BUFFER 0x10000
#define INDIRECT 0x9000
#define QUEUE_ENTRIES 16
#define ALIVE 0x0f
#define NEEDS_RESET 0x40

static struct virtio_device device;
static struct virtio_world world;

static inline void wr(unsigned offset, unsigned size, uint64_t value)
{
    assert_int_equal(virtio_pci_write(&device, &world, offset, size, value), 0);
}

static inline uint64_t rd(unsigned offset, unsigned size) { return virtio_pci_read(&device, &world, offset, size); }

static inline void power_on(enum virtio_kind kind)
{
    static const uint8_t mac[VIRTIO_MAC_SIZE] = { 2, 1, 2, 3, 4, 5 };

    memset(guest_dma_ram, 0, sizeof(guest_dma_ram));
    memset(&world_seen, 0, sizeof(world_seen));
    memset(world_disk, 0, sizeof(world_disk));
    world = fake_world;
    memset(&device, 0, sizeof(device));
    memcpy(device.mac, mac, sizeof(mac));
    device.capacity = WORLD_SECTORS;
    virtio_init(&device, kind);
}

static inline void negotiate(uint64_t features)
{
    wr(STATUS, 1, 1);
    wr(STATUS, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        wr(DRIVER_FEATURE_SELECT, 4, half);
        wr(DRIVER_FEATURE, 4, (uint32_t)(features >> 32 * half));
    }
    wr(STATUS, 1, 11);
}

static inline void enable_queue(unsigned queue)
{
    wr(QUEUE_SELECT, 2, queue);
    wr(QUEUE_SIZE, 2, QUEUE_ENTRIES);
    wr(QUEUE_VECTOR, 2, queue + 1);
    wr(QUEUE_DESC, 8, RING(queue));
    wr(QUEUE_DRIVER, 4, RING(queue) + 0x1000);
    wr(QUEUE_DRIVER + 4, 4, 0);
    wr(QUEUE_DEVICE, 8, RING(queue) + 0x2000);
    wr(QUEUE_ENABLE, 2, 1);
}

static inline void bring_up(enum virtio_kind kind)
{
    power_on(kind);
    negotiate(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC);
    for (unsigned queue = 0; queue < rd(NUM_QUEUES, 2); queue++)
        enable_queue(queue);
    wr(STATUS, 1, ALIVE);
    assert_int_equal(rd(STATUS, 1), ALIVE);
}

static inline void describe(unsigned queue, unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    guest_dma_describe(RING(queue), index, address, length, flags, next);
}

static inline void offer(unsigned queue, uint16_t head) { guest_dma_offer(&device.queues[queue], head); }
static inline uint32_t kick(unsigned queue)
{
    return virtio_pci_write(&device, &world, VIRTIO_PCI_NOTIFY + 4 * queue, 2, 0xdead);
}
static inline uint16_t used_index(unsigned queue) { return guest_dma_word(RING(queue) + 0x2002); }
static inline uint32_t used_length(unsigned queue, unsigned entry)
{
    return guest_dma_long(RING(queue) + 0x2004 + 8 * entry + 4);
}

#endif
