/* PCI functions: configuration space, BAR sizing and moving, MSI-X with its masks, the pin, and what a peer may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/devices/pci.h"

#define BAR 1
#define BAR_SIZE 0x8000u
#define TABLE 0x1000u
#define PBA 0x1800u
#define VECTORS 3

struct config {
    struct pci_header header;
    struct pci_msix_capability msix;
    uint8_t window[20];
};

static const struct config config = {
    .header = { .vendor_id = 0x1af4, .device_id = 0x1041, .status = PCI_STATUS_CAPABILITIES, .base_class = 2,
                .capabilities = 64, .interrupt_pin = PCI_PIN_INTA },
    .msix = { .id = PCI_CAPABILITY_MSIX, .next = 76, .control = VECTORS - 1, .table = TABLE | BAR, .pba = PBA | BAR },
    .window = { PCI_CAPABILITY_VENDOR, 0, 20, 5 },
};
static const struct pci_model model = {
    .config = &config, .config_size = sizeof config, .bar_size = { [BAR] = BAR_SIZE },
    .msix_at = offsetof(struct config, msix), .msix_vectors = VECTORS, .msix_bar = BAR, .msix_table = TABLE,
    .msix_pba = PBA, .window_at = offsetof(struct config, window),
};
static struct pci_function f;

static int setup(void **state)
{
    (void)state;
    pci_function_reset(&f);
    return 0;
}

static uint32_t rd(unsigned offset, unsigned size)
{
    return pci_config_read(&model, &f, offset, size);
}

static void wr(unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(&model, &f, offset, size, value);
}

static void test_header(void **state)
{
    (void)state;
    assert_int_equal(rd(0, 4), 0x10411af4);
    assert_int_equal(rd(2, 2), 0x1041);
    assert_int_equal(rd(1, 1), 0x1a);
    assert_int_equal(rd(0x34, 1), 64);
    assert_int_equal(rd(0x3d, 1), 1);
    wr(0, 4, 0);
    assert_int_equal(rd(0, 4), 0x10411af4);
    wr(0x3c, 4, 0xffffff0b);
    assert_int_equal(rd(0x3c, 4), 0x010b);
    assert_int_equal(rd(0xfc, 4), 0);
    assert_int_equal(rd(0x80, 1), 0);
}

static void test_accesses_that_do_not_fit(void **state)
{
    struct pci_function before = f;
    (void)state;
    assert_int_equal(rd(3, 2), 0xffff);
    assert_int_equal(rd(2, 4), 0xffffffff);
    assert_int_equal(rd(256, 1), 0xff);
    assert_int_equal(rd(0xfffffffe, 4), 0xffffffff);
    wr(3, 2, 0xffff);
    wr(256, 4, 0xffffffff);
    wr(0xfffffffc, 4, 0xffffffff);
    assert_memory_equal(&f, &before, sizeof f);
}

static void test_command_keeps_what_it_has(void **state)
{
    (void)state;
    wr(4, 2, 0xffff);
    assert_int_equal(rd(4, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    assert_int_equal(rd(6, 2), PCI_STATUS_CAPABILITIES);
    wr(6, 2, 0xffff);
    assert_int_equal(rd(6, 2), PCI_STATUS_CAPABILITIES);
    assert_int_equal(rd(4, 2) & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
}

static void test_bar_sizing_and_moving(void **state)
{
    uint64_t offset = 0;
    (void)state;
    wr(0x14, 4, 0xffffffff);
    assert_int_equal(rd(0x14, 4), ~(BAR_SIZE - 1));
    wr(0x10, 4, 0xffffffff);
    assert_int_equal(rd(0x10, 4), 0);
    wr(0x14, 4, 0xc0001234);
    assert_int_equal(rd(0x14, 4), 0xc0000000);
    assert_int_equal(pci_bar_find(&model, &f, 0xc0000000, 4, &offset), -1); /* decoding is off */
    wr(4, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(pci_bar_find(&model, &f, 0xc0000004, 4, &offset), BAR);
    assert_int_equal(offset, 4);
    assert_int_equal(pci_bar_find(&model, &f, 0xc0000000 + BAR_SIZE - 4, 4, &offset), BAR);
    assert_int_equal(pci_bar_find(&model, &f, 0xc0000000 + BAR_SIZE - 4, 8, &offset), -1);
    assert_int_equal(pci_bar_find(&model, &f, 0xbfffffff, 1, &offset), -1);
    assert_int_equal(pci_bar_find(&model, &f, 0x1c0000000, 4, &offset), -1);
    wr(0x16, 2, 0xd000);
    assert_int_equal(pci_bar_find(&model, &f, 0xd0000000, 4, &offset), BAR);
}

/* The table entry of a vector, as a driver programs it. */
static void program(unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
    pci_msix_write(&model, &f, TABLE + vector * 16, 8, address);
    pci_msix_write(&model, &f, TABLE + vector * 16 + 8, 4, data);
    pci_msix_write(&model, &f, TABLE + vector * 16 + 12, 4, control);
}

static void test_msix_table(void **state)
{
    (void)state;
    assert_true(pci_msix_covers(&model, BAR, TABLE));
    assert_true(pci_msix_covers(&model, BAR, TABLE + VECTORS * 16 - 1));
    assert_false(pci_msix_covers(&model, BAR, TABLE + VECTORS * 16));
    assert_false(pci_msix_covers(&model, BAR, TABLE - 1));
    assert_true(pci_msix_covers(&model, BAR, PBA));
    assert_false(pci_msix_covers(&model, 0, TABLE));
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 12, 4), 1); /* masked after reset */
    program(2, 0x1fee00000ULL, 0x55, 0);
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 32, 8), 0x1fee00000ULL);
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 36, 4), 1);
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 40, 4), 0x55);
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 44, 4), 0);
    pci_msix_write(&model, &f, TABLE + 32, 1, 0xff);
    pci_msix_write(&model, &f, TABLE + 33, 4, 0xff);
    assert_int_equal(pci_msix_read(&model, &f, TABLE + 32, 8), 0x1fee00000ULL);
    pci_msix_write(&model, &f, TABLE + VECTORS * 16 - 4, 8, UINT64_MAX); /* runs over the table's end */
    pci_msix_write(&model, &f, PBA, 8, UINT64_MAX);
    assert_int_equal(pci_msix_read(&model, &f, PBA, 8), 0);
}

static void test_msix_messages(void **state)
{
    struct pci_message message = { 0 };
    (void)state;
    program(1, 0xfee01000, 0x41, 0);
    assert_false(pci_msix_raise(&model, &f, 1, &message)); /* MSI-X is off */
    wr(64 + 2, 2, 0xffff);
    assert_int_equal(rd(64 + 2, 2), PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK | (VECTORS - 1));
    assert_int_equal(rd(64, 2), PCI_CAPABILITY_MSIX | 76 << 8);
    assert_false(pci_msix_raise(&model, &f, 1, &message)); /* masked as a whole: it waits */
    assert_int_equal(pci_msix_read(&model, &f, PBA, 4), 2);
    assert_false(pci_msix_next(&model, &f, &message));
    wr(64 + 2, 2, PCI_MSIX_ENABLE);
    assert_true(pci_msix_next(&model, &f, &message));
    assert_int_equal(message.address, 0xfee01000);
    assert_int_equal(message.data, 0x41);
    assert_false(pci_msix_next(&model, &f, &message));
    assert_true(pci_msix_raise(&model, &f, 1, &message));
    program(1, 0xfee01000, 0x42, PCI_MSIX_VECTOR_MASKED);
    assert_false(pci_msix_raise(&model, &f, 1, &message));
    assert_false(pci_msix_raise(&model, &f, 1, &message));
    program(1, 0xfee01000, 0x42, 0);
    assert_true(pci_msix_next(&model, &f, &message));
    assert_int_equal(message.data, 0x42);
    assert_false(pci_msix_next(&model, &f, &message)); /* twice raised while masked is once pending */
    assert_false(pci_msix_raise(&model, &f, VECTORS, &message));
    assert_false(pci_msix_raise(&model, &f, 0xffff, &message)); /* VIRTIO_MSI_NO_VECTOR */
}

static void test_pin(void **state)
{
    (void)state;
    f.intx = 1;
    assert_true(pci_intx_level(&f));
    assert_int_equal(rd(6, 2), PCI_STATUS_CAPABILITIES | PCI_STATUS_INTERRUPT);
    wr(4, 2, PCI_COMMAND_INTX_DISABLE);
    assert_false(pci_intx_level(&f));
    assert_int_equal(rd(6, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    wr(4, 2, 0);
    wr(66, 2, PCI_MSIX_ENABLE);
    assert_false(pci_intx_level(&f));
    assert_int_equal(rd(6, 2) & PCI_STATUS_INTERRUPT, 0);
}

static void test_window_registers(void **state)
{
    (void)state;
    wr(76 + 4, 1, BAR);
    wr(76 + 8, 4, 0x12345678);
    wr(76 + 12, 4, 4);
    assert_int_equal(f.window_bar, BAR);
    assert_int_equal(rd(76 + 4, 4), BAR);
    assert_int_equal(rd(76 + 8, 4), 0x12345678);
    assert_int_equal(rd(76 + 12, 4), 4);
    assert_int_equal(rd(76, 4), PCI_CAPABILITY_VENDOR | 20 << 16 | 5u << 24);
}

/* Whatever is written anywhere, and then sent: the state stays one that a peer accepts. */
static void test_any_state_travels(void **state)
{
    uint8_t wire[1024];
    char why[128];
    uint32_t random = 1;
    (void)state;
    assert_true(section_wire_size(&pci_function_section) <= sizeof wire);
    for (unsigned i = 0; i < 100000; i++) {
        struct pci_message message;
        struct pci_function loaded;
        random = random * 1664525 + 1013904223;
        if (random >> 31)
            wr(random >> 8 & 0xff, 1u << (random >> 16) % 3, random * 7);
        else
            pci_msix_write(&model, &f, TABLE + (random >> 8 & 0x7ff), 4u << (random >> 20 & 1), random * 11);
        pci_msix_raise(&model, &f, random >> 4 & 7, &message);
        pci_msix_next(&model, &f, &message);
        if (i % 100 != 0)
            continue;
        section_save(&pci_function_section, &f, wire);
        assert_int_equal(section_load(&pci_function_section, &loaded, wire, section_wire_size(&pci_function_section), why,
                                      sizeof why), OK);
        assert_int_equal(rd(0x14, 4), pci_config_read(&model, &loaded, 0x14, 4));
    }
}

static void test_bad_states_are_refused(void **state)
{
    struct pci_function bad[4], out;
    uint8_t wire[1024];
    char why[128];
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        pci_function_reset(&bad[i]);
    bad[0].command = 1;
    bad[1].msix_control = 1;
    bad[2].intx = 2;
    bad[3].msix_vector_control[1] = 2;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        section_save(&pci_function_section, &bad[i], wire);
        assert_int_equal(section_load(&pci_function_section, &out, wire, section_wire_size(&pci_function_section), why,
                                      sizeof why), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_header, setup),
        cmocka_unit_test_setup(test_accesses_that_do_not_fit, setup),
        cmocka_unit_test_setup(test_command_keeps_what_it_has, setup),
        cmocka_unit_test_setup(test_bar_sizing_and_moving, setup),
        cmocka_unit_test_setup(test_msix_table, setup),
        cmocka_unit_test_setup(test_msix_messages, setup),
        cmocka_unit_test_setup(test_pin, setup),
        cmocka_unit_test_setup(test_window_registers, setup),
        cmocka_unit_test_setup(test_any_state_travels, setup),
        cmocka_unit_test_setup(test_bad_states_are_refused, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
