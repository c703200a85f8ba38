/* Every queue of every virtio device under drivers that break the rules: the device is broken until its reset, and no more. */
#include "tests/fakes/virtio_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misdeeds), cmocka_unit_test(test_buffers_outside), cmocka_unit_test(test_rings_outside),
        cmocka_unit_test(test_kicks_of_nothing), cmocka_unit_test(test_no_bus_master),
        cmocka_unit_test(test_turn_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
