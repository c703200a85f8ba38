/* A guest's ACPI tables, read by the pod's own reader of firmware tables, which believes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/acpi_tables.h"
#include "vmx/acpi/guest_acpi.h"

static uint8_t memory[GUEST_ACPI_SIZE] __attribute__((aligned(64)));
static size_t used;
static unsigned reports;

static const void *map(void *context, struct hpa phys, uint64_t size)
{
    (void)context;
    uint64_t offset = phys.raw - GUEST_ACPI_BASE;
    return phys.raw >= GUEST_ACPI_BASE && offset <= used && size <= used - offset ? memory + offset : NULL;
}

static void report(void *context, const char *table, const char *reason)
{
    (void)context;
    print_message("%s: %s\n", table, reason);
    reports++;
}

static struct acpi_info parse(uint32_t vcpus)
{
    static const struct acpi_reader reader = { map, report, NULL };
    struct acpi_info info;
    memset(memory, 0xcc, sizeof memory);
    reports = 0;
    used = guest_acpi_build(memory, sizeof memory, GUEST_ACPI_BASE, vcpus);
    memset(&info, 0, sizeof info);
    acpi_parse(&info, (struct hpa){ GUEST_ACPI_BASE }, &reader);
    return info;
}

static void processors_and_interrupts(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= 16; vcpus++) {
        struct acpi_info info = parse(vcpus);
        assert_int_equal(reports, 0);
        assert_int_equal(info.cpu_count, vcpus);
        for (uint32_t i = 0; i < vcpus; i++)
            assert_int_equal(info.apic_ids[i], i);
        assert_int_equal(info.io_apic_count, 1);
        assert_int_equal(info.io_apics[0].id, vcpus);
        assert_int_equal(info.io_apics[0].base.raw, 0xfec00000);
        assert_int_equal(info.override_count, 2);
        assert_int_equal(info.overrides[0].isa_irq, 0);
        assert_int_equal(info.overrides[0].gsi, 2);
        assert_int_equal(info.overrides[1].gsi, 9);
        assert_true(info.overrides[1].level);
        assert_false(info.overrides[1].active_low);
        assert_int_equal(info.local_apic.raw, 0xfee00000);
    }
}

static void power_management(void **state)
{
    (void)state;
    struct acpi_info info = parse(1);
    assert_int_equal(info.pm_timer_port, 0x608);
    assert_true(info.pm_timer_32bit);
    assert_int_equal(info.pm1a_control_port, 0x604);
}

/* The bytes from a table's signature on; every table here lies at a multiple of 64. */
static const uint8_t *find(const char signature[4])
{
    for (size_t at = 0; at + 64 <= used; at += 64)
        if (memcmp(memory + at, signature, 4) == 0)
            return memory + at;
    return NULL;
}

static uint8_t sum(const uint8_t *bytes, uint32_t size)
{
    uint8_t total = 0;
    while (size-- > 0)
        total = (uint8_t)(total + *bytes++);
    return total;
}

static void every_table_sums_to_zero(void **state)
{
    static const char *const signatures[] = { "XSDT", "FACP", "APIC", "DSDT" };
    (void)state;
    parse(3);
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *table = find(signatures[i]);
        uint32_t length;
        assert_non_null(table);
        memcpy(&length, table + 4, sizeof length);
        assert_true(length <= (size_t)(memory + used - table));
        assert_int_equal(sum(table, length), 0);
    }
    assert_int_equal(sum(memory, 20), 0);
    assert_int_equal(sum(memory, 36), 0);
}

static void the_fadt_names_facs_and_dsdt(void **state)
{
    uint32_t facs, dsdt;
    uint64_t x_dsdt;
    (void)state;
    parse(2);
    const uint8_t *fadt = find("FACP");
    memcpy(&facs, fadt + 36, sizeof facs);
    memcpy(&dsdt, fadt + 40, sizeof dsdt);
    memcpy(&x_dsdt, fadt + 140, sizeof x_dsdt);
    assert_ptr_equal(memory + (facs - GUEST_ACPI_BASE), find("FACS"));
    assert_ptr_equal(memory + (dsdt - GUEST_ACPI_BASE), find("DSDT"));
    assert_int_equal(x_dsdt, dsdt);
}

static void too_little_room(void **state)
{
    (void)state;
    parse(16);
    for (size_t size = 0; size < used; size += 7) {
        uint8_t before = memory[0];
        memory[0] = 0x5a;
        assert_int_equal(guest_acpi_build(memory, size, GUEST_ACPI_BASE, 16), 0);
        assert_int_equal(memory[0], 0x5a);
        memory[0] = before;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processors_and_interrupts), cmocka_unit_test(power_management),
        cmocka_unit_test(every_table_sums_to_zero), cmocka_unit_test(the_fadt_names_facs_and_dsdt),
        cmocka_unit_test(too_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
