/* The 8259A pair: initialization, priorities, EOIs, rotation, masks, poll, edge and level; and any state received. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "vmx/devices/pic.h"

#define MASTER_BASE 0x30
#define SLAVE_BASE 0x38
#define EOI 0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b

static struct pic pic;

static void init(uint8_t icw4)
{
    static const uint16_t command[2] = { PIC_MASTER_COMMAND, PIC_SLAVE_COMMAND }, data[2] = { PIC_MASTER_DATA, PIC_SLAVE_DATA };
    for (unsigned i = 0; i < 2; i++) {
        pic_write(&pic, command[i], 0x11);
        pic_write(&pic, data[i], i == 0 ? MASTER_BASE : SLAVE_BASE);
        pic_write(&pic, data[i], i == 0 ? 4 : 2);
        pic_write(&pic, data[i], icw4);
        pic_write(&pic, data[i], 0);
    }
}

static int setup(void **state)
{
    (void)state;
    pic_reset(&pic);
    init(1);
    return 0;
}

static uint8_t isr(uint16_t port)
{
    pic_write(&pic, port, READ_ISR);
    return pic_read(&pic, port);
}

static uint8_t irr(uint16_t port)
{
    pic_write(&pic, port, READ_IRR);
    return pic_read(&pic, port);
}

static void edge(unsigned irq)
{
    pic_set_irq(&pic, irq, true);
    pic_set_irq(&pic, irq, false);
}

static void nothing_before_initialization(void **state)
{
    (void)state;
    pic_reset(&pic);
    for (unsigned i = 0; i < PIC_IRQS; i++)
        edge(i);
    assert_false(pic_output(&pic));
}

static void the_icws_are_counted(void **state)
{
    (void)state;
    pic_write(&pic, PIC_MASTER_COMMAND, 0x10); /* no ICW4 */
    pic_write(&pic, PIC_MASTER_DATA, 0x57);
    assert_int_equal(pic.chip[0].next_icw, 3);
    pic_write(&pic, PIC_MASTER_DATA, 4);
    pic_write(&pic, PIC_MASTER_DATA, 0xfe);   /* the mask already */
    assert_int_equal(pic_read(&pic, PIC_MASTER_DATA), 0xfe);
    edge(0);
    assert_int_equal(pic_acknowledge(&pic), 0x50);
    pic_write(&pic, PIC_MASTER_COMMAND, 0x12); /* single: no ICW3 */
    pic_write(&pic, PIC_MASTER_DATA, 0x60);
    assert_int_equal(pic.chip[0].next_icw, 0);
}

static void priorities_and_nesting(void **state)
{
    (void)state;
    edge(5);
    edge(3);
    assert_true(pic_output(&pic));
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 3);
    assert_false(pic_output(&pic)); /* 5 waits for 3 */
    assert_int_equal(isr(PIC_MASTER_COMMAND), 1 << 3);
    assert_int_equal(irr(PIC_MASTER_COMMAND), 1 << 5);
    edge(1);
    assert_true(pic_output(&pic)); /* nests */
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 1);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_int_equal(isr(PIC_MASTER_COMMAND), 1 << 3);
    pic_write(&pic, PIC_MASTER_COMMAND, 0x63); /* specific */
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 5);
}

static void the_slave_comes_through_ir2(void **state)
{
    (void)state;
    edge(12);
    edge(3); /* below the slave */
    assert_int_equal(pic_acknowledge(&pic), SLAVE_BASE + 4);
    assert_int_equal(isr(PIC_MASTER_COMMAND), 1 << 2);
    assert_int_equal(isr(PIC_SLAVE_COMMAND), 1 << 4);
    edge(8);
    assert_false(pic_output(&pic)); /* higher in the slave, but IR2 is in service: not fully nested */
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_int_equal(pic_acknowledge(&pic), SLAVE_BASE + 0);
    pic_write(&pic, PIC_SLAVE_COMMAND, EOI);
    pic_write(&pic, PIC_SLAVE_COMMAND, EOI);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 3);
}

static void special_fully_nested_mode(void **state)
{
    (void)state;
    init(0x11);
    edge(12);
    assert_int_equal(pic_acknowledge(&pic), SLAVE_BASE + 4);
    edge(8);
    assert_int_equal(pic_acknowledge(&pic), SLAVE_BASE + 0);
}

static void automatic_eoi_and_rotation(void **state)
{
    (void)state;
    init(3);
    edge(4);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 4);
    assert_int_equal(isr(PIC_MASTER_COMMAND), 0);
    pic_write(&pic, PIC_MASTER_COMMAND, 0x80); /* rotate in automatic EOI mode */
    edge(4);
    pic_acknowledge(&pic); /* 4 is the lowest now */
    edge(4);
    edge(5);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 5);
    setup(NULL);
    pic_write(&pic, PIC_MASTER_COMMAND, 0xc0 | 2); /* set priority: 2 lowest, 3 highest */
    edge(0);
    edge(3);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 3);
    pic_write(&pic, PIC_MASTER_COMMAND, 0xa0); /* rotate on non-specific EOI: 3 lowest */
    assert_int_equal(pic.chip[0].lowest, 3);
    pic_write(&pic, PIC_MASTER_COMMAND, 0xe0 | 6);
    assert_int_equal(pic.chip[0].lowest, 6);
}

static void special_mask_mode(void **state)
{
    (void)state;
    edge(1);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 1);
    edge(6);
    assert_false(pic_output(&pic));
    pic_write(&pic, PIC_MASTER_DATA, 1 << 1);
    assert_false(pic_output(&pic));
    pic_write(&pic, PIC_MASTER_COMMAND, 0x68);
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 6);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI); /* ends 6, not the masked 1 */
    assert_int_equal(isr(PIC_MASTER_COMMAND), 1 << 1);
    pic_write(&pic, PIC_MASTER_COMMAND, 0x48);
    assert_int_equal(pic.chip[0].special_mask, 0);
}

static void poll_acknowledges(void **state)
{
    (void)state;
    pic_write(&pic, PIC_SLAVE_COMMAND, 0x0c);
    assert_int_equal(pic_read(&pic, PIC_SLAVE_DATA), 0);
    edge(9);
    pic_write(&pic, PIC_SLAVE_COMMAND, 0x0c);
    assert_int_equal(pic_read(&pic, PIC_SLAVE_COMMAND), 0x81);
    assert_int_equal(isr(PIC_SLAVE_COMMAND), 1 << 1);
    assert_false(pic_output(&pic));
    assert_int_equal(pic_read(&pic, PIC_SLAVE_DATA), 0); /* the mask: one poll, one read */
}

static void nothing_requested_is_spurious(void **state)
{
    (void)state;
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 7);
    assert_int_equal(isr(PIC_MASTER_COMMAND), 0);
    edge(3);
    pic_write(&pic, PIC_MASTER_DATA, 0xff);
    assert_false(pic_output(&pic));
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 7);
    pic_write(&pic, PIC_MASTER_DATA, 0);
    assert_true(pic_output(&pic)); /* masked, not forgotten */
}

static void edge_and_level(void **state)
{
    (void)state;
    pic_set_irq(&pic, 5, true);
    pic_acknowledge(&pic);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_false(pic_output(&pic)); /* one edge, one interrupt */
    pic_set_irq(&pic, 5, true);
    assert_false(pic_output(&pic));
    pic_write(&pic, PIC_ELCR_MASTER, 0xff);
    assert_int_equal(pic_read(&pic, PIC_ELCR_MASTER), 0xf8);
    pic_write(&pic, PIC_ELCR_SLAVE, 0xff);
    assert_int_equal(pic_read(&pic, PIC_ELCR_SLAVE), 0xde);
    assert_true(pic_output(&pic)); /* still asserted */
    assert_int_equal(pic_acknowledge(&pic), MASTER_BASE + 5);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_true(pic_output(&pic)); /* and again */
    pic_set_irq(&pic, 5, false);
    assert_false(pic_output(&pic));
    pic_set_irq(&pic, 11, true);
    assert_int_equal(pic_acknowledge(&pic), SLAVE_BASE + 3);
    pic_write(&pic, PIC_SLAVE_COMMAND, EOI);
    pic_write(&pic, PIC_MASTER_COMMAND, EOI);
    assert_true(pic_output(&pic));
}

/* What any sequence of accesses leaves can be saved and loaded; what the check lets in cannot break the model. */
static void any_access_any_state(void **state)
{
    static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
    uint8_t wire[256];
    char why[128];
    unsigned loaded = 0;
    (void)state;
    srand(1);
    assert_true(section_wire_size(&pic_section) <= sizeof wire);
    for (unsigned turn = 0; turn < 50000; turn++) {
        unsigned r = (unsigned)rand();
        pic_write(&pic, ports[r % 6], (uint8_t)(r >> 8));
        pic_set_irq(&pic, r >> 16 & 31, r >> 21 & 1);
        pic_read(&pic, ports[r / 6 % 6]);
        if (pic_output(&pic))
            pic_acknowledge(&pic);
        struct pic copy = { 0 };
        section_save(&pic_section, &pic, wire);
        if (section_load(&pic_section, &copy, wire, section_wire_size(&pic_section), why, sizeof why) != OK)
            fail_msg("%s", why);
        assert_memory_equal(&copy, &pic, sizeof pic);
        wire[r % section_wire_size(&pic_section)] = (uint8_t)(r >> 3);
        if (section_load(&pic_section, &copy, wire, section_wire_size(&pic_section), why, sizeof why) == OK) {
            pic = copy;
            loaded++;
        }
    }
    assert_in_range(loaded, 1000, 49000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_before_initialization, setup),
        cmocka_unit_test_setup(the_icws_are_counted, setup),
        cmocka_unit_test_setup(priorities_and_nesting, setup),
        cmocka_unit_test_setup(the_slave_comes_through_ir2, setup),
        cmocka_unit_test_setup(special_fully_nested_mode, setup),
        cmocka_unit_test_setup(automatic_eoi_and_rotation, setup),
        cmocka_unit_test_setup(special_mask_mode, setup),
        cmocka_unit_test_setup(poll_acknowledges, setup),
        cmocka_unit_test_setup(nothing_requested_is_spurious, setup),
        cmocka_unit_test_setup(edge_and_level, setup),
        cmocka_unit_test_setup(any_access_any_state, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
