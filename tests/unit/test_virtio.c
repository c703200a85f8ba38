/* Virtio devices behind their PCI registers: negotiation, queues, reset, interrupts, the four devices, misdeeds in all queues. */
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

static void wr(unsigned offset, unsigned size, uint64_t value)
{
    assert_int_equal(virtio_pci_write(&device, &world, offset, size, value), 0);
}

static uint64_t rd(unsigned offset, unsigned size) { return virtio_pci_read(&device, &world, offset, size); }

static void power_on(enum virtio_kind kind)
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

static void negotiate(uint64_t features)
{
    wr(STATUS, 1, 1);
    wr(STATUS, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        wr(DRIVER_FEATURE_SELECT, 4, half);
        wr(DRIVER_FEATURE, 4, (uint32_t)(features >> 32 * half));
    }
    wr(STATUS, 1, 11);
}

static void enable_queue(unsigned queue)
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

static void bring_up(enum virtio_kind kind)
{
    power_on(kind);
    negotiate(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC);
    for (unsigned queue = 0; queue < rd(NUM_QUEUES, 2); queue++)
        enable_queue(queue);
    wr(STATUS, 1, ALIVE);
    assert_int_equal(rd(STATUS, 1), ALIVE);
}

static void describe(unsigned queue, unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    guest_dma_describe(RING(queue), index, address, length, flags, next);
}

static void offer(unsigned queue, uint16_t head) { guest_dma_offer(&device.queues[queue], head); }
static uint32_t kick(unsigned queue) { return virtio_pci_write(&device, &world, VIRTIO_PCI_NOTIFY + 4 * queue, 2, 0xdead); }
static uint16_t used_index(unsigned queue) { return guest_dma_word(RING(queue) + 0x2002); }
static uint32_t used_length(unsigned queue, unsigned entry) { return guest_dma_long(RING(queue) + 0x2004 + 8 * entry + 4); }

/* ---- transport ---- */

static void test_identity(void **state)
{
    static const struct { uint16_t id, queues; uint32_t class; } expected[VIRTIO_KINDS] = {
        { 0x1041, 2, 0x020000 }, { 0x1042, 1, 0x018000 }, { 0x1043, 2, 0x078000 }, { 0x1044, 1, 0xff0000 },
    };

    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        const struct pci_model *model = &virtio_pci_models[kind];
        struct pci_function function;
        unsigned at, seen = 0;

        pci_function_reset(&function);
        assert_int_equal(pci_config_read(model, &function, 0, 4), 0x1af4u | (uint32_t)expected[kind].id << 16);
        assert_int_equal(pci_config_read(model, &function, 8, 4), expected[kind].class << 8 | 1);
        at = pci_config_read(model, &function, 0x34, 1);
        for (unsigned steps = 0; at && steps < 8; steps++) {
            if (pci_config_read(model, &function, at, 1) == PCI_CAPABILITY_VENDOR) {
                unsigned type = pci_config_read(model, &function, at + 3, 1);
                uint32_t end = pci_config_read(model, &function, at + 8, 4) + pci_config_read(model, &function, at + 12, 4);

                seen |= 1u << type;
                assert_true(pci_config_read(model, &function, at + 2, 1) >= 16);
                assert_int_equal(pci_config_read(model, &function, at + 4, 1), VIRTIO_PCI_BAR);
                assert_true(end <= VIRTIO_PCI_BAR_SIZE);
                if (type == 2)
                    assert_int_equal(pci_config_read(model, &function, at + 16, 4), VIRTIO_PCI_NOTIFY_MULTIPLIER);
            } else {
                assert_int_equal(pci_config_read(model, &function, at, 1), PCI_CAPABILITY_MSIX);
                assert_int_equal(pci_config_read(model, &function, at + 2, 2), VIRTIO_PCI_VECTORS - 1);
                seen |= 1;
            }
            at = pci_config_read(model, &function, at + 1, 1);
        }
        assert_int_equal(seen, 0x3f);
        power_on(kind);
        assert_int_equal(rd(NUM_QUEUES, 2), expected[kind].queues);
    }
}

static void test_features(void **state)
{
    (void)state;
    power_on(VIRTIO_NET);
    assert_int_equal(rd(DEVICE_FEATURE, 4), 1u << 5 | 1u << 16 | 1u << 28);
    wr(DEVICE_FEATURE_SELECT, 4, 1);
    assert_int_equal(rd(DEVICE_FEATURE, 4), 1);
    wr(DEVICE_FEATURE_SELECT, 4, 2);
    assert_int_equal(rd(DEVICE_FEATURE, 4), 0);
    negotiate(1u << 5);                          /* legacy: not told FEATURES_OK */
    assert_int_equal(rd(STATUS, 1), 3);
    negotiate(VIRTIO_F_VERSION_1 | 1u << 15);    /* not offered */
    assert_int_equal(rd(STATUS, 1), 3);
    negotiate(VIRTIO_F_VERSION_1 | 1u << 5);
    assert_int_equal(rd(STATUS, 1), 11);
    wr(DRIVER_FEATURE, 4, 0);                    /* too late */
    assert_int_equal(rd(DRIVER_FEATURE, 4), 1);
    wr(DRIVER_FEATURE_SELECT, 4, 77);
    wr(DRIVER_FEATURE, 4, 1);
    assert_int_equal(rd(DRIVER_FEATURE, 4), 0);
}

static void test_queue_registers(void **state)
{
    (void)state;
    power_on(VIRTIO_CONSOLE);
    wr(QUEUE_SELECT, 2, 2);
    assert_int_equal(rd(QUEUE_SIZE, 2), 0);      /* no such queue */
    wr(QUEUE_SIZE, 2, 4);
    wr(QUEUE_ENABLE, 2, 1);
    assert_int_equal(rd(QUEUE_ENABLE, 2), 0);
    wr(QUEUE_SELECT, 2, 1);
    assert_int_equal(rd(QUEUE_SIZE, 2), VIRTQUEUE_SIZE_MAX);
    assert_int_equal(rd(QUEUE_NOTIFY_OFF, 2), 1);
    wr(QUEUE_SIZE, 2, 0);
    wr(QUEUE_SIZE, 2, 3);
    wr(QUEUE_SIZE, 2, 512);
    assert_int_equal(rd(QUEUE_SIZE, 2), VIRTQUEUE_SIZE_MAX);
    wr(QUEUE_SIZE, 2, 64);
    wr(QUEUE_SIZE, 4, 32);                       /* of another width: dropped */
    wr(QUEUE_SIZE + 1, 1, 0);
    assert_int_equal(rd(QUEUE_SIZE, 2), 64);
    wr(QUEUE_DESC, 4, 0x89abcde0);
    wr(QUEUE_DESC + 4, 4, 0x1234);
    assert_int_equal(rd(QUEUE_DESC, 8), 0x123489abcde0);
    assert_int_equal(rd(QUEUE_DESC + 4, 4), 0x1234);
    wr(QUEUE_VECTOR, 2, VIRTIO_PCI_VECTORS);
    assert_int_equal(rd(QUEUE_VECTOR, 2), VIRTIO_NO_VECTOR);
    wr(CONFIG_VECTOR, 2, 0);
    assert_int_equal(rd(CONFIG_VECTOR, 2), 0);
    wr(QUEUE_ENABLE, 2, 1);
    wr(QUEUE_DESC, 4, 0);                        /* enabled: stands */
    wr(QUEUE_SIZE, 2, 8);
    wr(QUEUE_ENABLE, 2, 0);
    assert_int_equal(rd(QUEUE_DESC, 8), 0x123489abcde0);
    assert_int_equal(rd(QUEUE_SIZE, 2), 64);
    assert_int_equal(rd(QUEUE_ENABLE, 2), 1);
    wr(STATUS, 1, 0);
    assert_int_equal(rd(QUEUE_SELECT, 2), 0);
    wr(QUEUE_SELECT, 2, 1);
    assert_int_equal(rd(QUEUE_ENABLE, 2), 0);
    assert_int_equal(rd(QUEUE_DESC, 8), 0);
    assert_int_equal(rd(QUEUE_VECTOR, 2), VIRTIO_NO_VECTOR);
}

static void test_unaligned_queue_breaks(void **state)
{
    (void)state;
    power_on(VIRTIO_BLOCK);
    negotiate(VIRTIO_F_VERSION_1);
    wr(QUEUE_DESC, 8, 0x1008);
    wr(QUEUE_ENABLE, 2, 1);
    assert_int_equal(rd(QUEUE_ENABLE, 2), 0);
    assert_int_equal(rd(STATUS, 1), 11 | NEEDS_RESET);
    assert_int_equal(world_seen.lines, 0);       /* before DRIVER_OK nobody is told */
    wr(STATUS, 1, 0x4f);                         /* a driver cannot take it back */
    assert_int_equal(rd(STATUS, 1), ALIVE | NEEDS_RESET);
    wr(STATUS, 1, 0);
    assert_int_equal(rd(STATUS, 1), 0);
}

/* Reads and writes of every width at every offset: nothing breaks (the sanitizers watch), nothing is kicked by a read. */
static void test_every_register(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        bring_up(kind);
        for (unsigned offset = 0; offset < VIRTIO_PCI_BAR_SIZE; offset++)
            for (unsigned size = 1; size <= 8; size *= 2) {
                rd(offset, size);
                virtio_pci_write(&device, &world, offset, size, ~0ull);
            }
        assert_int_equal(world_seen.frames + world_seen.output_size, 0);
    }
}

static void test_interrupts(void **state)
{
    (void)state;
    bring_up(VIRTIO_ENTROPY);
    describe(0, 0, BUFFER, 8, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    assert_int_equal(kick(0), 0);
    assert_true(world_seen.level);
    assert_int_equal(rd(VIRTIO_PCI_ISR, 1), 1);
    assert_false(world_seen.level);
    assert_int_equal(rd(VIRTIO_PCI_ISR, 1), 0);

    guest_dma_set_word(RING(0) + 0x1000, 1);     /* VIRTQ_AVAIL_F_NO_INTERRUPT */
    offer(0, 0);
    kick(0);
    assert_false(world_seen.level);
    guest_dma_set_word(RING(0) + 0x1000, 0);

    world_seen.messages_on = true;
    offer(0, 0);
    offer(0, 0);
    kick(0);
    assert_int_equal(world_seen.messages, 1);    /* one for both */
    assert_int_equal(world_seen.last_vector, 1);
    assert_int_equal(rd(VIRTIO_PCI_ISR, 1), 0);
    wr(QUEUE_VECTOR, 2, VIRTIO_NO_VECTOR);
    offer(0, 0);
    kick(0);
    assert_int_equal(world_seen.messages, 1);
    assert_int_equal(used_index(0), 5);
    kick(0);                                     /* nothing new */
    assert_int_equal(used_index(0), 5);
}

/* Buffers that were offered before DRIVER_OK are seen when it is set; not before. */
static void test_driver_ok(void **state)
{
    (void)state;
    power_on(VIRTIO_ENTROPY);
    negotiate(VIRTIO_F_VERSION_1);
    enable_queue(0);
    describe(0, 0, BUFFER, 8, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    kick(0);
    assert_int_equal(used_index(0), 0);
    wr(STATUS, 1, ALIVE);
    assert_int_equal(used_index(0), 1);
    power_on(VIRTIO_ENTROPY);                    /* DRIVER_OK without FEATURES_OK is nothing */
    wr(STATUS, 1, 7);
    assert_false(virtio_alive(&device));
}

/* ---- devices ---- */

static void test_net_transmit(void **state)
{
    (void)state;
    bring_up(VIRTIO_NET);
    assert_int_equal(rd(VIRTIO_PCI_DEVICE + 2, 4), 0x05040302);
    assert_int_equal(rd(VIRTIO_PCI_DEVICE + 6, 2), 1);
    memset(guest_dma_ram + BUFFER + 12, 0xab, 60);
    describe(1, 0, BUFFER, 12, DESCRIPTOR_NEXT, 1);
    describe(1, 1, BUFFER + 12, 60, 0, 0);
    offer(1, 0);
    kick(1);
    assert_int_equal(world_seen.frames, 1);
    assert_int_equal(world_seen.frame_size, 60);
    assert_int_equal(world_seen.frame[59], 0xab);
    static const uint32_t sizes[] = { 0, 1, 11, 12, 25, 12 + 1515, 100000 };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) { /* no frames: given back, counted, not sent */
        describe(1, 0, BUFFER, sizes[i], 0, 0);
        offer(1, 0);
        kick(1);
        assert_int_equal(used_index(1), i + 2);
        assert_int_equal(device.dropped, i + 1);
    }
    describe(1, 0, BUFFER, 12 + 1514, 0, 0);
    offer(1, 0);
    world_seen.refuse_frames = true;
    kick(1);
    assert_int_equal(device.dropped, ARRAY_SIZE(sizes) + 1);
    assert_int_equal(world_seen.frames, 1);
    assert_true(virtio_alive(&device));
}

static void test_net_receive(void **state)
{
    uint8_t frame[1514];

    (void)state;
    memset(frame, 0xcd, sizeof(frame));
    bring_up(VIRTIO_NET);
    assert_false(virtio_net_receive(&device, &world, frame, 60)); /* no buffer */
    describe(0, 0, BUFFER, 12, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 1);
    describe(0, 1, BUFFER + 0x100, 1514, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    kick(0);                                     /* does nothing: it waits for the world */
    assert_int_equal(used_index(0), 0);
    assert_false(virtio_net_receive(&device, &world, frame, 13));
    assert_true(virtio_net_receive(&device, &world, frame, 1514));
    assert_int_equal(used_index(0), 1);
    assert_int_equal(used_length(0, 0), 12 + 1514);
    assert_int_equal(guest_dma_word(BUFFER + 10), 1); /* num_buffers */
    assert_memory_equal(guest_dma_ram + BUFFER + 0x100, frame, 1514);
    assert_int_equal(guest_dma_ram[BUFFER + 0x100 + 1514], 0);
    describe(0, 2, BUFFER, 12 + 59, DESCRIPTOR_WRITE, 0);
    offer(0, 2);
    assert_false(virtio_net_receive(&device, &world, frame, 60)); /* too small: it stays */
    assert_int_equal(used_index(0), 1);
    assert_true(virtio_net_receive(&device, &world, frame, 59));
    assert_int_equal(device.dropped, 3);
}

static struct { uint32_t type, reserved; uint64_t sector; } block_header;

static void block_request(uint32_t type, uint64_t sector, uint32_t size)
{
    block_header.type = type;
    block_header.sector = sector;
    memcpy(guest_dma_ram + BUFFER, &block_header, 16);
    guest_dma_ram[BUFFER + 16] = 0xee;           /* status */
    describe(0, 0, BUFFER, 16, DESCRIPTOR_NEXT, 1);
    describe(0, 1, BUFFER + 0x1000, size, DESCRIPTOR_NEXT | (type == 1 ? 0 : DESCRIPTOR_WRITE), 2);
    describe(0, 2, BUFFER + 16, 1, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
}

static uint8_t block_status(void) { return guest_dma_ram[BUFFER + 16]; }

static void test_block(void **state)
{
    (void)state;
    bring_up(VIRTIO_BLOCK);
    assert_int_equal(rd(VIRTIO_PCI_DEVICE, 8), WORLD_SECTORS);
    assert_int_equal(rd(VIRTIO_PCI_DEVICE + 20, 4), 512);
    memset(guest_dma_ram + BUFFER + 0x1000, 0x3c, 1024);
    block_request(1, 7, 1024);
    assert_int_equal(kick(0), 0);
    assert_int_equal(block_status(), 0);
    assert_int_equal(used_length(0, 0), 1);
    assert_int_equal(world_disk[7 * 512 - 1] | world_disk[9 * 512], 0);
    assert_memory_equal(world_disk + 7 * 512, guest_dma_ram + BUFFER + 0x1000, 1024);
    memset(guest_dma_ram + BUFFER + 0x1000, 0, 1024);
    block_request(0, 8, 512);
    kick(0);
    assert_int_equal(block_status(), 0);
    assert_int_equal(used_length(0, 1), 513);
    assert_memory_equal(guest_dma_ram + BUFFER + 0x1000, world_disk + 8 * 512, 512);
    assert_int_equal(guest_dma_ram[BUFFER + 0x1000 + 512], 0);
    block_request(4, 0, 0);
    kick(0);
    assert_int_equal(block_status(), 0);
    block_request(8, 0, 20);
    kick(0);
    assert_int_equal(block_status(), 0);
    assert_string_equal((char *)guest_dma_ram + BUFFER + 0x1000, "telepod-disk");
    block_request(11, 0, 512);                   /* discard: not offered */
    kick(0);
    assert_int_equal(block_status(), 2);
}

static void test_block_errors(void **state)
{
    static const struct { uint64_t sector; uint32_t size; uint8_t status; } cases[] = {
        { WORLD_SECTORS - 1, 512, 0 }, { WORLD_SECTORS, 0, 0 }, { WORLD_SECTORS - 1, 1024, 1 }, { WORLD_SECTORS, 512, 1 },
        { UINT64_MAX, 512, 1 }, { UINT64_MAX / 512, 1024, 1 }, { 1ull << 55, 512, 1 }, { 0, 511, 1 }, { 0, 513, 1 },
        { 0, 0xfffffe00, 1 },
    };

    (void)state;
    for (unsigned type = 0; type < 2; type++)
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            bring_up(VIRTIO_BLOCK);
            block_request(type, cases[i].sector, cases[i].size);
            kick(0);
            assert_int_equal(virtio_alive(&device), true);
            if (cases[i].size < 0x10000)         /* else the status byte lies behind what is no RAM */
                assert_int_equal(block_status(), cases[i].status);
            assert_int_equal(used_index(0), 1);
        }
}

/* A request longer than a turn goes on by virtio_run(), and by a copy of the device on another machine just so. */
static void test_block_long(void **state)
{
    struct virtio_device moved;
    unsigned turns = 1;
    uint32_t more;

    (void)state;
    bring_up(VIRTIO_BLOCK);
    for (unsigned i = 0; i < 16; i++)            /* 16 requests of 96 KiB, by the same descriptors */
        block_request(0, i, 96 * 1024);
    for (unsigned i = 0; i < WORLD_DISK_SIZE; i++)
        world_disk[i] = (uint8_t)(i * 7 + i / 509);
    more = kick(0);
    assert_int_equal(more, 1);
    moved = device;
    memset(&device, 0xee, sizeof(device));
    device = moved;
    while (virtio_run(&device, 0, &world))
        turns++;
    assert_true(turns > 2 && turns < 40);
    assert_int_equal(used_index(0), 16);
    assert_int_equal(world_seen.disk_bytes, 16 * 96 * 1024);
    assert_memory_equal(guest_dma_ram + BUFFER + 0x1000, world_disk + 15 * 512, 96 * 1024);
}

/* Whatever progress says, no byte outside the request moves. */
static void test_block_progress(void **state)
{
    (void)state;
    bring_up(VIRTIO_BLOCK);
    block_request(0, 0, 1024);
    device.queues[0].progress = UINT32_MAX;
    assert_int_equal(kick(0), 0);
    assert_int_equal(used_index(0), 1);
    assert_int_equal(world_seen.disk_bytes, 0);
}

static void test_console(void **state)
{
    unsigned turns = 0;

    (void)state;
    bring_up(VIRTIO_CONSOLE);
    assert_int_equal(virtio_console_receive(&device, &world, "early", 5), 0);
    memcpy(guest_dma_ram + BUFFER, "hello", 5);
    describe(1, 0, BUFFER, 5, 0, 0);
    offer(1, 0);
    assert_int_equal(device.spoken, 0);
    kick(1);
    assert_int_equal(device.spoken, 1);
    assert_memory_equal(world_seen.output, "hello", 5);
    assert_int_equal(world_seen.output_size, 5);
    describe(0, 3, BUFFER + 0x100, 4, DESCRIPTOR_WRITE, 0);
    offer(0, 3);
    offer(0, 3);
    assert_int_equal(virtio_console_receive(&device, &world, "abcdef", 6), 6);
    assert_int_equal(used_index(0), 2);
    assert_int_equal(used_length(0, 0), 4);
    assert_int_equal(used_length(0, 1), 2);
    assert_memory_equal(guest_dma_ram + BUFFER + 0x100, "efcd", 4);
    assert_int_equal(virtio_console_receive(&device, &world, "x", 1), 0);

    describe(1, 0, BUFFER, 0x20000, 0, 0);       /* 128 KiB at once: in many turns, all of it, once */
    offer(1, 0);
    for (uint32_t more = kick(1); more; turns++)
        more = virtio_run(&device, 1, &world);
    assert_true(turns > 4);
    assert_int_equal(world_seen.output_size, 5 + 0x20000);
    assert_int_equal(used_index(1), 2);
}

/* Chains of nothing in the receive queue end with the queue. */
static void test_console_empty_buffers(void **state)
{
    (void)state;
    bring_up(VIRTIO_CONSOLE);
    describe(0, 0, 0, 0, DESCRIPTOR_WRITE, 0);
    for (unsigned i = 0; i < QUEUE_ENTRIES; i++)
        offer(0, 0);
    assert_int_equal(virtio_console_receive(&device, &world, "x", 1), 0);
    assert_int_equal(used_index(0), QUEUE_ENTRIES);
}

static void test_entropy(void **state)
{
    (void)state;
    bring_up(VIRTIO_ENTROPY);
    describe(0, 0, BUFFER, 64, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    kick(0);
    assert_int_equal(used_length(0, 0), 64);
    assert_int_equal(guest_dma_ram[BUFFER + 63], 0xe7);
    assert_int_equal(guest_dma_ram[BUFFER + 64], 0);
    describe(0, 0, BUFFER, 0x10000, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    kick(0);
    assert_int_equal(used_length(0, 1), 256);    /* a piece of it */
    world_seen.refuse_random = true;
    offer(0, 0);
    kick(0);
    assert_int_equal(used_length(0, 2), 0);
    assert_true(virtio_alive(&device));
}

/* ---- misdeeds: every queue of every device ---- */

/* Makes work for a queue that waits for the world; kicks one that does not. */
static void poke(unsigned queue)
{
    static const uint8_t frame[60];

    kick(queue);
    if (queue == 0 && device.kind == VIRTIO_NET)
        virtio_net_receive(&device, &world, frame, sizeof(frame));
    if (queue == 0 && device.kind == VIRTIO_CONSOLE)
        virtio_console_receive(&device, &world, "x", 1);
}

static void expect_broken(unsigned queue, const char *what)
{
    struct virtio_device before = device;
    unsigned lines = world_seen.lines;

    poke(queue);
    if (device.status != (ALIVE | NEEDS_RESET))
        fail_msg("%s in queue %u of device %u: not noticed", what, queue, device.kind);
    assert_int_equal(world_seen.lines, lines + 1);
    assert_int_equal(rd(VIRTIO_PCI_ISR, 1), 2);
    assert_memory_equal(device.queues, before.queues, sizeof(device.queues));
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) { /* deaf until its reset */
        uint16_t used = used_index(i);

        describe(i, 0, BUFFER, 64, DESCRIPTOR_WRITE, 0);
        offer(i, 0);
        poke(i);
        assert_int_equal(used_index(i), used);
    }
}

static void test_misdeeds(void **state)
{
    static const struct { const char *what; uint64_t address; uint32_t length; uint16_t flags, next, head, jump; } chains[] = {
        { "an index that ran away", BUFFER, 64, 0, 0, 0, 4000 },
        { "an index that ran backwards", BUFFER, 64, 0, 0, 0, 0xfffe },
        { "a head outside the table", BUFFER, 64, 0, 0, QUEUE_ENTRIES, 0 },
        { "a loop", BUFFER, 64, DESCRIPTOR_NEXT, 0, 0, 0 },
        { "a loop of buffers to write", BUFFER, 64, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 0, 0, 0 },
        { "an empty loop", BUFFER, 0, DESCRIPTOR_NEXT, 0, 0, 0 },
        { "a next outside the table", BUFFER, 64, DESCRIPTOR_NEXT, 0x7fff, 0, 0 },
        { "an address that wraps", ~0ull - 8, 64, DESCRIPTOR_WRITE, 0, 0, 0 },
        { "an indirect table outside RAM", GUEST_DMA_SIZE, 64, DESCRIPTOR_INDIRECT, 0, 0, 0 },
        { "an indirect table in itself", INDIRECT, 16, DESCRIPTOR_INDIRECT, 0, 0, 0 },
        { "an indirect table of nothing", BUFFER, 0, DESCRIPTOR_INDIRECT, 0, 0, 0 },
    };

    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        power_on(kind);
        for (unsigned queue = 0; queue < rd(NUM_QUEUES, 2); queue++)
            for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
                bring_up(kind);
                guest_dma_describe(INDIRECT, 0, INDIRECT, 16, DESCRIPTOR_INDIRECT, 0);
                describe(queue, 0, chains[i].address, chains[i].length, chains[i].flags, chains[i].next);
                offer(queue, chains[i].head);
                if (chains[i].jump)
                    guest_dma_set_word(RING(queue) + 0x1002, chains[i].jump);
                expect_broken(queue, chains[i].what);
            }
    }
}

/* Buffers outside RAM: for reading where the device reads, for writing where it writes. */
static void test_buffers_outside(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        power_on(kind);
        for (unsigned queue = 0; queue < rd(NUM_QUEUES, 2); queue++) {
            bool device_reads = kind == VIRTIO_BLOCK || (queue == 1 && kind != VIRTIO_ENTROPY);

            bring_up(kind);
            describe(queue, 0, GUEST_DMA_SIZE, 100, device_reads ? DESCRIPTOR_NEXT : DESCRIPTOR_WRITE, 1);
            describe(queue, 1, 1ull << 50, 1, DESCRIPTOR_WRITE, 0);
            offer(queue, 0);
            expect_broken(queue, "a buffer outside RAM");
        }
    }
}

static void test_rings_outside(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++)
        for (unsigned ring = 0; ring < 3; ring++) {
            power_on(kind);
            for (unsigned queue = 0; queue < rd(NUM_QUEUES, 2); queue++) {
                bring_up(kind);
                describe(queue, 0, BUFFER, 64, DESCRIPTOR_NEXT, 1);
                describe(queue, 1, BUFFER + 64, 600, DESCRIPTOR_WRITE, 0);
                if (queue == 0 && kind != VIRTIO_BLOCK)
                    describe(queue, 0, BUFFER, 600, DESCRIPTOR_WRITE, 0);
                offer(queue, 0);
                *(&device.queues[queue].descriptors + ring) = ring % 2 ? 0xfffffff000ull : GUEST_DMA_SIZE - 2;
                virtio_run(&device, queue, &world);
                poke(queue);
                assert_int_equal(device.status, ALIVE | NEEDS_RESET);
            }
        }
}

/* Kicks of queues that are not there, not set up, or of a device that was reset. */
static void test_kicks_of_nothing(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++) {
        power_on(kind);
        for (unsigned queue = 0; queue < 1024; queue++)
            kick(queue);
        negotiate(VIRTIO_F_VERSION_1);
        wr(STATUS, 1, ALIVE);
        for (unsigned queue = 0; queue < 1024; queue++)
            kick(queue);
        poke(0);
        assert_int_equal(device.status, ALIVE);
        bring_up(kind);
        wr(STATUS, 1, 0);
        offer(0, 0);
        poke(0);
        assert_int_equal(used_index(0), 0);
        assert_false(virtio_run(&device, 77, &world));
    }
}

/* Command.BusMaster is clear: rings stand still, and what waits is served when it may be again. */
static void test_no_bus_master(void **state)
{
    (void)state;
    bring_up(VIRTIO_ENTROPY);
    describe(0, 0, BUFFER, 8, DESCRIPTOR_WRITE, 0);
    offer(0, 0);
    world_seen.no_master = true;
    assert_int_equal(kick(0), 0);
    assert_int_equal(used_index(0), 0);
    assert_true(virtio_alive(&device));
    world_seen.no_master = false;
    kick(0);
    assert_int_equal(used_index(0), 1);
}

/* Each chain as long and as empty as can be: a turn ends long before the ring does. */
static void test_turn_is_bounded(void **state)
{
    unsigned turns = 1;

    (void)state;
    bring_up(VIRTIO_NET);
    for (unsigned i = 0; i < QUEUE_ENTRIES; i++) {
        describe(1, i, 0, 0, i + 1 < QUEUE_ENTRIES ? DESCRIPTOR_NEXT : DESCRIPTOR_INDIRECT, (uint16_t)(i + 1));
        offer(1, 0);
    }
    describe(1, QUEUE_ENTRIES - 1, INDIRECT, 200 * 16, DESCRIPTOR_INDIRECT, 0);
    for (unsigned i = 0; i < 200; i++)
        guest_dma_describe(INDIRECT, i, 0, 0, i < 199 ? DESCRIPTOR_NEXT : 0, (uint16_t)(i + 1));
    assert_int_equal(kick(1), 2);
    assert_true(used_index(1) <= 4);
    while (virtio_run(&device, 1, &world))
        turns++;
    assert_true(turns >= 4);
    assert_int_equal(used_index(1), QUEUE_ENTRIES);
}

/* ---- state ---- */

static void test_state(void **state)
{
    struct virtio_device copy = { .kind = VIRTIO_NET, .mac = { 9 } }, before;
    uint8_t wire[128];
    char why[160] = "";
    size_t size = section_wire_size(&virtio_section);

    (void)state;
    bring_up(VIRTIO_NET);
    device.isr = 3;
    section_save(&virtio_section, &device, wire);
    assert_int_equal(section_load(&virtio_section, &copy, wire, size, why, sizeof(why)), OK);
    assert_int_equal(copy.status, ALIVE);
    assert_int_equal(copy.driver_features, device.driver_features);
    assert_int_equal(copy.mac[0], 9);            /* the configuration's, not the wire's */
    before = copy;
    device.status = 0x10;
    section_save(&virtio_section, &device, wire);
    assert_int_equal(section_load(&virtio_section, &copy, wire, size, why, sizeof(why)), ERR_INVALID);
    assert_non_null(strstr(why, "status"));
    device.status = ALIVE;
    device.driver_features |= 1u << 15;
    section_save(&virtio_section, &device, wire);
    assert_int_equal(section_load(&virtio_section, &copy, wire, size, why, sizeof(why)), ERR_INVALID);
    assert_non_null(strstr(why, "driver_features"));
    assert_memory_equal(&copy, &before, sizeof(copy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_features), cmocka_unit_test(test_queue_registers),
        cmocka_unit_test(test_unaligned_queue_breaks), cmocka_unit_test(test_every_register),
        cmocka_unit_test(test_interrupts), cmocka_unit_test(test_driver_ok), cmocka_unit_test(test_net_transmit),
        cmocka_unit_test(test_net_receive), cmocka_unit_test(test_block), cmocka_unit_test(test_block_errors),
        cmocka_unit_test(test_block_long), cmocka_unit_test(test_block_progress), cmocka_unit_test(test_console),
        cmocka_unit_test(test_console_empty_buffers), cmocka_unit_test(test_entropy), cmocka_unit_test(test_misdeeds),
        cmocka_unit_test(test_buffers_outside), cmocka_unit_test(test_rings_outside),
        cmocka_unit_test(test_kicks_of_nothing), cmocka_unit_test(test_no_bus_master), cmocka_unit_test(test_turn_is_bounded), cmocka_unit_test(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
