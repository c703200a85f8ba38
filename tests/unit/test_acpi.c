/* The ACPI parser on hand-made tables: good ones, and every way in which firmware may get them wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/acpi_tables.h"
#include "kernel/lib/util.h"

/* "Physical memory": each table is a heap block of its own size, so that a read past its end is found. */
struct block { uint64_t phys; uint8_t *bytes; uint32_t size; };
static struct block blocks[16];
static unsigned block_count, report_count;
static char last_report[128];
static struct acpi_info info;

enum { RSDP = 0xf0000, RSDT = 0x10000, XSDT = 0x20000, MADT = 0x30000, FADT = 0x40000, HPET = 0x50000 };

static uint8_t *place(uint64_t phys, uint32_t size)
{
    struct block *b = &blocks[block_count++];
    *b = (struct block){ phys, calloc(1, size), size };
    return b->bytes;
}

static struct block *find(uint64_t phys)
{
    for (unsigned i = 0; i < block_count; i++)
        if (blocks[i].phys == phys)
            return &blocks[i];
    return NULL;
}

static const void *map(void *context, struct hpa phys, uint64_t size)
{
    (void)context;
    struct block *b = find(phys.raw);
    return b && size <= b->size ? b->bytes : NULL;
}

static void report(void *context, const char *table, const char *reason)
{
    (void)context;
    report_count++;
    strcpy(last_report, table);
    strcat(last_report, " ");
    strcat(last_report, reason);
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void seal(uint8_t *bytes, uint32_t size, unsigned checksum_at)
{
    uint8_t sum = 0;
    bytes[checksum_at] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[checksum_at] = (uint8_t)-sum;
}

static void reseal(uint64_t phys)
{
    seal(find(phys)->bytes, find(phys)->size, 9);
}

static uint8_t *place_table(uint64_t phys, const char *signature, uint32_t size)
{
    uint8_t *t = place(phys, size);
    memcpy(t, signature, 4);
    put(t + 4, size, 4);
    return t;
}

static const uint8_t madt_body[] = {
    0, 8, 0, 0, 1, 0, 0, 0,                         /* APIC id 0 */
    0, 8, 1, 3, 1, 0, 0, 0,                         /* APIC id 3 */
    0, 8, 2, 4, 0, 0, 0, 0,                         /* disabled */
    1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,      /* I/O APIC 7 at FEC00000, GSI 0 */
    2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                  /* IRQ 0 is GSI 2, as the bus has it */
    2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0,               /* IRQ 9: level, active high */
    2, 10, 0, 10, 20, 0, 0, 0, 0x0f, 0,             /* IRQ 10 is GSI 20: level, active low */
    9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,   /* x2APIC id 1234h */
    9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,         /* once more APIC id 3 */
    0x80, 3, 0xff,                                  /* a type of the future */
};

static int setup(void **state)
{
    (void)state;
    block_count = report_count = 0;
    last_report[0] = '\0';
    uint8_t *t = place(RSDP, 36);
    memcpy(t, "RSD PTR ", 8);
    t[15] = 2;
    put(t + 16, RSDT, 4);
    put(t + 20, 36, 4);
    put(t + 24, XSDT, 8);
    seal(t, 20, 8);
    seal(t, 36, 32);

    t = place_table(XSDT, "XSDT", 36 + 4 * 8);
    put(t + 36, 0x99999, 8);                        /* leads nowhere */
    put(t + 44, MADT, 8);
    put(t + 52, FADT, 8);
    put(t + 60, HPET, 8);
    t = place_table(RSDT, "RSDT", 36 + 3);
    t = place_table(MADT, "APIC", 44 + sizeof madt_body);
    put(t + 36, 0xfee00000, 4);
    memcpy(t + 44, madt_body, sizeof madt_body);
    t = place_table(FADT, "FACP", 244);
    put(t + 64, 0x604, 4);
    put(t + 76, 0x608, 4);
    t[91] = 4;
    put(t + 112, 1 << 8, 4);
    t = place_table(HPET, "HPET", 56);
    put(t + 44, 0xfed00000, 8);
    static const uint64_t all[] = { XSDT, RSDT, MADT, FADT, HPET };
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
        reseal(all[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < block_count; i++)
        free(blocks[i].bytes);
    return 0;
}

static void parse(void)
{
    const struct acpi_reader reader = { map, report, NULL };
    acpi_parse(&info, (struct hpa){ RSDP }, &reader);
}

static void test_reads_good_tables(void **state)
{
    (void)state;
    parse();
    assert_int_equal(info.cpu_count, 3);
    assert_int_equal(info.apic_ids[0], 0);
    assert_int_equal(info.apic_ids[1], 3);
    assert_int_equal(info.apic_ids[2], 0x1234);
    assert_int_equal(info.local_apic.raw, 0xfee00000);
    assert_int_equal(info.io_apic_count, 1);
    assert_int_equal(info.io_apics[0].id, 7);
    assert_int_equal(info.io_apics[0].base.raw, 0xfec00000);
    assert_int_equal(info.override_count, 3);
    assert_int_equal(info.overrides[0].gsi, 2);
    assert_false(info.overrides[0].level || info.overrides[0].active_low);
    assert_true(info.overrides[1].level && !info.overrides[1].active_low);
    assert_true(info.overrides[2].level && info.overrides[2].active_low);
    assert_int_equal(info.overrides[2].isa_irq, 10);
    assert_int_equal(info.overrides[2].gsi, 20);
    assert_int_equal(info.pm1a_control_port, 0x604);
    assert_int_equal(info.pm_timer_port, 0x608);
    assert_true(info.pm_timer_32bit);
    assert_int_equal(info.hpet.raw, 0xfed00000);
    assert_int_equal(report_count, 1);              /* the pointer that leads nowhere */
}

static void test_prefers_wide_fadt_fields(void **state)
{
    (void)state;
    uint8_t *t = find(FADT)->bytes;
    t[172] = 1;
    put(t + 176, 0xb004, 8);
    t[208] = 0;                                     /* memory: not for us, the narrow field stands */
    put(t + 212, 0xfed80000, 8);
    reseal(FADT);
    parse();
    assert_int_equal(info.pm1a_control_port, 0xb004);
    assert_int_equal(info.pm_timer_port, 0x608);
    put(t + 64, 0x12345678, 4);                     /* no port */
    t[172] = 0;
    t[91] = 0;                                      /* no PM timer */
    reseal(FADT);
    parse();
    assert_int_equal(info.pm1a_control_port, 0);
    assert_int_equal(info.pm_timer_port, 0);
}

static void test_refuses_bad_checksums(void **state)
{
    (void)state;
    find(MADT)->bytes[40] ^= 1;
    parse();
    assert_int_equal(info.cpu_count, 0);
    assert_int_equal(info.local_apic.raw, 0);
    assert_string_equal(last_report, "APIC has a wrong checksum");
    assert_int_equal(info.hpet.raw, 0xfed00000);    /* the others count */

    find(RSDP)->bytes[10] ^= 1;
    parse();
    assert_int_equal(info.hpet.raw, 0);
    assert_string_equal(last_report, "RSDP is not in order");
}

static void test_falls_back_to_the_rsdt(void **state)
{
    (void)state;
    uint8_t *t;
    find(RSDT)->phys = 0;
    t = place_table(RSDT, "RSDT", 36 + 8);
    put(t + 36, HPET, 4);
    put(t + 40, FADT, 4);
    reseal(RSDT);
    find(XSDT)->bytes[12] ^= 1;                     /* XSDT broken */
    parse();
    assert_int_equal(info.hpet.raw, 0xfed00000);
    assert_int_equal(info.pm_timer_port, 0x608);
    assert_int_equal(info.cpu_count, 0);

    find(RSDP)->bytes[33] ^= 1;                     /* the extension's checksum */
    parse();
    assert_int_equal(info.hpet.raw, 0xfed00000);
    find(RSDP)->bytes[15] = 0;                      /* ACPI 1.0 */
    seal(find(RSDP)->bytes, 20, 8);
    parse();
    assert_int_equal(info.hpet.raw, 0xfed00000);
}

static void test_impossible_lengths(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 0, 35, 36, 43, 4096, 0x7fffffff, UINT32_MAX };
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        put(find(MADT)->bytes + 4, lengths[i], 4);
        reseal(MADT);
        report_count = 0;
        parse();
        assert_int_equal(info.cpu_count, 0);
        assert_int_equal(report_count, 2);
    }
}

/* Ends the MADT after `size` bytes of entries. */
static void cut_madt(uint32_t size)
{
    struct block *b = find(MADT);
    b->size = 44 + size;
    b->bytes = realloc(b->bytes, b->size);
    put(b->bytes + 4, b->size, 4);
    reseal(MADT);
}

static void test_madt_entries_that_do_not_fit(void **state)
{
    (void)state;
    find(MADT)->bytes[44 + 9] = 0;                  /* zero length: must not loop */
    reseal(MADT);
    parse();
    assert_int_equal(info.cpu_count, 1);
    assert_non_null(strstr(last_report, "impossible length"));
    find(MADT)->bytes[44 + 9] = 1;
    reseal(MADT);
    parse();
    assert_int_equal(info.cpu_count, 1);
    find(MADT)->bytes[44 + 9] = 0xff;               /* past the end of the table */
    reseal(MADT);
    parse();
    assert_int_equal(info.cpu_count, 1);
    find(MADT)->bytes[44 + 9] = 8;
    find(MADT)->bytes[44 + 24 + 1] = 8;             /* an I/O APIC entry of 8 bytes */
    reseal(MADT);
    parse();
    assert_int_equal(info.io_apic_count, 0);
}

static void test_madt_cut_at_every_byte(void **state)
{
    (void)state;
    for (uint32_t size = sizeof madt_body; size-- > 0;) {
        cut_madt(size);
        parse();
        assert_true(info.cpu_count <= 3);
    }
    assert_int_equal(info.cpu_count, 0);
    assert_int_equal(info.local_apic.raw, 0xfee00000);
}

static void test_more_entries_than_we_keep(void **state)
{
    (void)state;
    enum { ENTRIES = 300 };
    find(MADT)->phys = 0;
    uint8_t *t = place_table(MADT, "APIC", 44 + ENTRIES * (16 + 12 + 10));
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint8_t *e = t + 44 + i * (16 + 12 + 10);
        e[0] = 9, e[1] = 16, e[8] = 1;
        put(e + 4, i, 4);
        e[16] = 1, e[17] = 12;
        e[28] = 2, e[29] = 10;
    }
    reseal(MADT);
    parse();
    assert_int_equal(info.cpu_count, CPUS_MAX);
    assert_int_equal(info.io_apic_count, ACPI_IO_APICS_MAX);
    assert_int_equal(info.override_count, ACPI_OVERRIDES_MAX);
}

static void test_no_rsdp(void **state)
{
    (void)state;
    const struct acpi_reader reader = { map, report, NULL };
    acpi_parse(&info, (struct hpa){ 0 }, &reader);
    assert_string_equal(last_report, "RSDP was not found");
    acpi_parse(&info, (struct hpa){ 0x123 }, &reader);
    assert_string_equal(last_report, "RSDP is not in order");
    assert_int_equal(info.cpu_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_good_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefers_wide_fadt_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_bad_checksums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_falls_back_to_the_rsdt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_madt_entries_that_do_not_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_madt_cut_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_entries_than_we_keep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_rsdp, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
