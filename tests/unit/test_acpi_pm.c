/* ACPI's fixed hardware, and the little firmware configuration device: accesses of all widths, SCI, timer, power-off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/devices/acpi_pm.h"
#include "vmx/devices/fw_cfg.h"

#define HZ (ACPI_PM_TIMER_HZ * 10ull)
static struct acpi_pm pm;
static struct machine_time now;

static int setup(void **state)
{
    (void)state;
    acpi_pm_reset(&pm);
    now = (struct machine_time){ 0, HZ };
    return 0;
}

static uint32_t rd(unsigned offset, unsigned size) { return acpi_pm_read(&pm, offset, size, now); }
static bool wr(unsigned offset, unsigned size, uint32_t value) { return acpi_pm_write(&pm, offset, size, value, now); }

static void timer(void **state)
{
    (void)state;
    now.now = 0x1234567890ull * 10;
    assert_int_equal(rd(8, 4), 0x34567890);
    assert_int_equal(rd(8, 2), 0x7890);
    assert_int_equal(rd(10, 1), 0x56);
    assert_false(wr(8, 4, 0));
    assert_int_equal(rd(8, 4), 0x34567890);
}

static void carry(void **state)
{
    (void)state;
    now.now = 0x7fffffffull * 10;
    assert_int_equal(rd(0, 2), 0);
    wr(2, 2, 1);
    assert_int_equal(acpi_pm_next_deadline(&pm, now), 0x80000000ull * 10);
    now.now = 0x80000000ull * 10;
    acpi_pm_advance(&pm, now);
    assert_true(acpi_pm_interrupt(&pm));
    assert_true(acpi_pm_next_deadline(&pm, now) == MACHINE_TIME_NEVER);
    wr(0, 2, 1);
    assert_false(acpi_pm_interrupt(&pm));
    assert_int_equal(acpi_pm_next_deadline(&pm, now), 0x100000000ull * 10);
}

/* A status that another than the timer set, as it may come with a machine's state. */
static void event_bytes(void **state)
{
    (void)state;
    pm.status = 0x0100;
    assert_false(acpi_pm_interrupt(&pm));
    wr(3, 1, 0x01); /* the upper byte of PM1_EN: status must stay */
    assert_true(acpi_pm_interrupt(&pm));
    assert_int_equal(rd(0, 4), 0x01000100);
    wr(0, 1, 0xff); /* the lower byte of PM1_STS: not the button's */
    assert_true(acpi_pm_interrupt(&pm));
    wr(0, 2, 0x0100);
    assert_false(acpi_pm_interrupt(&pm));
    assert_int_equal(rd(2, 2), 0x0100);
}

static void power_off(void **state)
{
    (void)state;
    assert_int_equal(rd(4, 2), 1);      /* ACPI mode, and it cannot be left */
    assert_false(wr(4, 2, 0x1400));     /* type 5 alone */
    assert_int_equal(rd(4, 2), 0x1401);
    assert_false(wr(4, 2, 0x2000));     /* type 0, enabled: not a sleep that there is */
    assert_true(wr(4, 2, 0x3400));
    assert_int_equal(rd(4, 2), 0x1401); /* SLP_EN is write-only */
    assert_true(wr(5, 1, 0x34));
}

static void beyond(void **state)
{
    (void)state;
    assert_int_equal(rd(3, 2), 0xffff);
    assert_int_equal(rd(2, 4), 0xffffffff);
    assert_false(wr(5, 4, 0xffffffff));
    for (unsigned offset = 0; offset < ACPI_PM_PORT_COUNT; offset++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            rd(offset, size);
            wr(offset, size, 0xffffffff);
        }
    assert_int_equal(rd(2, 2), 0x0521);
}

static uint64_t item(uint16_t selector, unsigned bytes)
{
    static struct fw_cfg fw_cfg;
    uint64_t value = 0;
    fw_cfg_select(&fw_cfg, selector);
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)fw_cfg_read(&fw_cfg, 3) << 8 * i;
    for (unsigned i = 0; i < 100; i++)
        fw_cfg_read(&fw_cfg, 3);
    assert_int_equal(fw_cfg_read(&fw_cfg, 3), 0);
    return value;
}

static void firmware_configuration(void **state)
{
    (void)state;
    assert_int_equal(item(0, 4), 0x554d4551);
    assert_int_equal(item(1, 4), 1);
    assert_int_equal(item(5, 2), 3);
    assert_int_equal(item(15, 2), 3);
    assert_int_equal(item(0x19, 4), 0);
    assert_int_equal(item(0xffff, 8), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(timer), T(carry), T(event_bytes), T(power_off), T(beyond), T(firmware_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
