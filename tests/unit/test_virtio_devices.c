/* What the four virtio devices do for a driver that keeps the rules: network, block, console, entropy. */
#include "tests/fakes/virtio_bench.h"

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

/* Lines go to the pod's log and its screen: however many a chain has, and however it is cut, few of them come in one turn. */
static void test_console_lines(void **state)
{
    const uint32_t size = 512, at_most = 3;
    uint32_t ends = 0;

    (void)state;
    bring_up(VIRTIO_CONSOLE);
    for (uint32_t i = 0; i < size; i++)
        guest_dma_ram[BUFFER + i] = i % 2 ? '\n' : 'a';
    describe(1, 0, BUFFER, size, 0, 0);
    offer(1, 0);
    for (uint32_t more = kick(1), seen = 0; seen < size; more = virtio_run(&device, 1, &world)) {
        uint32_t lines = 0;

        assert_true(more || world_seen.output_size == size);
        for (; seen < world_seen.output_size; seen++)
            lines += world_seen.output[seen] == '\n';
        assert_in_range(lines, 1, at_most);
        ends += lines;
    }
    assert_int_equal(ends, size / 2);
    assert_int_equal(used_index(1), 1);

    memset(guest_dma_ram + BUFFER, 'a', size);   /* no line's end: the log makes one after some 120 bytes */
    world_seen.output_size = 0;
    describe(1, 0, BUFFER, 16, 0, 0);
    for (unsigned i = 0; i < QUEUE_ENTRIES / 2; i++)
        offer(1, 0);
    assert_int_equal(kick(1), 0);                /* the driver's small pieces are not broken up ... */
    describe(1, 0, BUFFER, size, 0, 0);
    offer(1, 0);
    world_seen.output_size = 0;
    assert_int_not_equal(kick(1), 0);            /* ... but this is too much for a turn */
    assert_in_range(world_seen.output_size, 1, at_most * 120);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_transmit), cmocka_unit_test(test_net_receive), cmocka_unit_test(test_block),
        cmocka_unit_test(test_block_errors), cmocka_unit_test(test_block_long), cmocka_unit_test(test_block_progress),
        cmocka_unit_test(test_console), cmocka_unit_test(test_console_lines), cmocka_unit_test(test_console_empty_buffers),
        cmocka_unit_test(test_entropy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
