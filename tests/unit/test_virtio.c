/* Virtio devices behind their PCI registers: negotiation, queues, reset, interrupts, and their state on the wire. */
#include "tests/fakes/virtio_bench.h"

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
        cmocka_unit_test(test_interrupts), cmocka_unit_test(test_driver_ok), cmocka_unit_test(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
