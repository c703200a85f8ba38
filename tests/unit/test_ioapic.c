/* The I/O APIC: registers, edges, levels with remote IRR and EOI, masks, messages; and any state received. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "vmx/devices/ioapic.h"

#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u
#define LOGICAL 0x800u

static struct ioapic ioapic;
static struct apic_message last;
static unsigned sent;

static void receive(void *context, const struct apic_message *message)
{
    assert_ptr_equal(context, &ioapic);
    last = *message;
    sent++;
}
static const struct ioapic_output output = { receive, &ioapic };

static int setup(void **state)
{
    (void)state;
    ioapic_reset(&ioapic, 2);
    sent = 0;
    return 0;
}

static uint32_t rd(uint32_t reg)
{
    ioapic_write(&ioapic, 0, reg, &output);
    return ioapic_read(&ioapic, 0x10);
}

static void wr(uint32_t reg, uint32_t value)
{
    ioapic_write(&ioapic, 0, reg, &output);
    ioapic_write(&ioapic, 0x10, value, &output);
}

static void route(unsigned pin, uint32_t low, uint8_t destination)
{
    wr(0x11 + 2 * pin, (uint32_t)destination << 24);
    wr(0x10 + 2 * pin, low);
}

static void line(unsigned pin, bool asserted)
{
    ioapic_set_line(&ioapic, pin, asserted, &output);
}

static void registers(void **state)
{
    (void)state;
    assert_int_equal(rd(0), 2u << 24);
    assert_int_equal(rd(1), 0x00170011);
    assert_int_equal(rd(2), 2u << 24);
    wr(0, 0xffffffff);
    assert_int_equal(rd(0), 0x0f000000);
    wr(1, 0);
    assert_int_equal(rd(1), 0x00170011);
    for (unsigned reg = 0x10; reg < 0x40; reg += 2) {
        assert_int_equal(rd(reg), MASKED);
        wr(reg, 0xffffffff); /* NMI-like reserved delivery mode 7, level: remote IRR and delivery status stay 0 */
        assert_int_equal(rd(reg), 0x0001afff);
        wr(reg + 1, 0xffffffff);
        assert_int_equal(rd(reg + 1), 0xff000000);
    }
    assert_int_equal(rd(0x40), 0);
    ioapic_write(&ioapic, 0, 0x1234, &output);
    assert_int_equal(ioapic_read(&ioapic, 0), 0x34);
    assert_int_equal(ioapic_read(&ioapic, 4), 0);
    ioapic_write(&ioapic, 0x40, 0x31, &output); /* no EOI register in this version */
    assert_int_equal(sent, 0);
}

static void an_edge_is_sent_once(void **state)
{
    (void)state;
    route(4, 0x31, 7);
    line(4, true);
    line(4, true);
    assert_int_equal(sent, 1);
    assert_int_equal(last.vector, 0x31);
    assert_int_equal(last.destination, 7);
    assert_false(last.logical || last.level);
    line(4, false);
    line(4, true);
    assert_int_equal(sent, 2);
    assert_int_equal(rd(0x18) & REMOTE_IRR, 0);
    line(4, false);
    route(4, 0x31 | MASKED, 7);
    line(4, true);
    route(4, 0x31, 7);
    assert_int_equal(sent, 2); /* masked: lost */
    line(24, true);
    line(1000, true);
    assert_int_equal(sent, 2);
}

static void a_level_waits_for_its_eoi(void **state)
{
    (void)state;
    route(16, 0x42 | LEVEL | LOGICAL | 1 << 8, 0xff);
    line(16, true);
    assert_int_equal(sent, 1);
    assert_true(last.level && last.logical);
    assert_int_equal(last.delivery_mode, DELIVERY_LOWEST_PRIORITY);
    assert_int_equal(last.destination, APIC_DESTINATION_BROADCAST);
    assert_int_equal(rd(0x30) & REMOTE_IRR, REMOTE_IRR);
    line(16, false);
    line(16, true);
    assert_int_equal(sent, 1);
    ioapic_eoi(&ioapic, 0x41, &output);
    assert_int_equal(sent, 1);
    ioapic_eoi(&ioapic, 0x42, &output); /* still asserted */
    assert_int_equal(sent, 2);
    line(16, false);
    ioapic_eoi(&ioapic, 0x42, &output);
    assert_int_equal(sent, 2);
    assert_int_equal(rd(0x30) & REMOTE_IRR, 0);
}

static void masking_a_level(void **state)
{
    (void)state;
    route(17, 0x50 | LEVEL | MASKED, 0);
    line(17, true);
    assert_int_equal(sent, 0);
    wr(0x32, 0x50 | LEVEL);
    assert_int_equal(sent, 1);
    wr(0x32, 0x50 | LEVEL | MASKED); /* remote IRR stays */
    assert_int_equal(rd(0x32) & REMOTE_IRR, REMOTE_IRR);
    ioapic_eoi(&ioapic, 0x50, &output);
    assert_int_equal(sent, 1);
    wr(0x32, 0x50 | LEVEL);
    assert_int_equal(sent, 2);
    wr(0x32, 0x50 | MASKED); /* edge and back: how software clears remote IRR */
    wr(0x32, 0x50 | LEVEL | MASKED);
    assert_int_equal(rd(0x32) & REMOTE_IRR, 0);
}

static void two_pins_one_vector(void **state)
{
    (void)state;
    route(16, 0x42 | LEVEL, 0);
    route(18, 0x42 | LEVEL, 1);
    line(16, true);
    line(18, true);
    line(18, false);
    ioapic_eoi(&ioapic, 0x42, &output);
    assert_int_equal(sent, 3);
    assert_int_equal(last.destination, 0);
    assert_int_equal(rd(0x34) & REMOTE_IRR, 0);
}

/* NMI, INIT, ExtINT: edges, whatever the trigger bit says; nobody sends an EOI for them. */
static void other_modes_are_edges(void **state)
{
    (void)state;
    for (uint32_t mode = DELIVERY_SMI; mode <= DELIVERY_EXTINT; mode++) {
        route(0, mode << 8 | LEVEL, 0);
        sent = 0;
        line(0, true);
        assert_int_equal(sent, 1);
        assert_int_equal(last.delivery_mode, mode);
        assert_false(last.level);
        assert_int_equal(rd(0x10) & REMOTE_IRR, 0);
        line(0, false);
    }
}

static void any_access_any_state(void **state)
{
    uint8_t wire[512];
    char why[128];
    unsigned loaded = 0;
    size_t size = section_wire_size(&ioapic_section);
    (void)state;
    srand(1);
    assert_true(size <= sizeof wire);
    for (unsigned turn = 0; turn < 50000; turn++) {
        uint32_t r = (uint32_t)rand(), value = (uint32_t)rand() << 1 ^ (uint32_t)rand();
        wr(r % 70, value);
        line(r >> 8 & 31, r >> 13 & 1);
        ioapic_eoi(&ioapic, (uint8_t)(r >> 14), &output);
        struct ioapic copy = { 0 };
        section_save(&ioapic_section, &ioapic, wire);
        if (section_load(&ioapic_section, &copy, wire, size, why, sizeof why) != OK)
            fail_msg("%s", why);
        assert_memory_equal(&copy, &ioapic, sizeof ioapic);
        wire[r % size] = (uint8_t)value;
        if (section_load(&ioapic_section, &copy, wire, size, why, sizeof why) == OK) {
            ioapic = copy;
            loaded++;
        }
    }
    assert_in_range(loaded, 1000, 49000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers, setup),
        cmocka_unit_test_setup(an_edge_is_sent_once, setup),
        cmocka_unit_test_setup(a_level_waits_for_its_eoi, setup),
        cmocka_unit_test_setup(masking_a_level, setup),
        cmocka_unit_test_setup(two_pins_one_vector, setup),
        cmocka_unit_test_setup(other_modes_are_edges, setup),
        cmocka_unit_test_setup(any_access_any_state, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
