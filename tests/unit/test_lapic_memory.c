/* The local APIC's registers in memory (xAPIC mode), and the page in which the processor may serve them. */
#include <stdlib.h>
#include "tests/fakes/lapic_bench.h"

/* Table 11-1 "Local APIC Register Address Map": what a store of all ones leaves. */
static void test_memory_registers(void **state)
{
    static const struct { uint32_t offset, ones, zeros; } registers[] = {
        { 0x20, 0x25000000, 0x25000000 }, { 0x30, 0x50014, 0x50014 }, { 0x80, 0xff, 0 }, { 0x90, 0, 0 }, { 0xa0, 0, 0 },
        { 0xc0, 0, 0 }, { 0xd0, 0xff000000, 0 }, { 0xe0, 0xffffffff, 0x0fffffff }, { 0xf0, 0x3ff, 0 }, { 0x100, 0, 0 },
        { 0x310, 0xff000000, 0 }, { 0x320, 0x100ff, 0x10000 }, { 0x330, 0x107ff, 0x10000 }, { 0x340, 0x107ff, 0x10000 },
        { 0x350, 0x1a7ff, 0x10000 }, { 0x360, 0x1a7ff, 0x10000 }, { 0x370, 0x100ff, 0x10000 },
        { 0x380, 0xffffffff, 0 }, { 0x390, 0, 0 }, { 0x3e0, 0xb, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        reset(0x25, false, APIC_XAPIC);
        mw(registers[i].offset, 0xffffffff);
        assert_int_equal(mr(registers[i].offset), registers[i].ones);
        mw(registers[i].offset, 0);
        assert_int_equal(mr(registers[i].offset), registers[i].zeros);
        assert_int_equal(mr(registers[i].offset + 4), 0);
    }
    for (uint32_t msr = 0x800; msr < 0x840; msr++)
        gp(msr, 0);
}

/* 11.5.3: an access to a register that is not there is an error. */
static void test_illegal_register_address(void **state)
{
    (void)state;
    reset(0, false, APIC_XAPIC);
    mw(0xf0, ENABLED);
    mw(0x370, ERROR_VECTOR);
    assert_int_equal(mr(0x40), 0);
    assert_int_equal(lapic_pending_vector(&apic), ERROR_VECTOR);
    mw(0x280, 1234);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0x2f0, 0x10000); /* LVT CMCI: not announced */
    mw(0x280, 0);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0x3f0, 0x77);    /* SELF IPI: of x2APIC mode */
    mw(0x280, 0);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0xffc, 0);
    assert_int_equal(mr(0xff0), 0);
}

static void test_memory_icr(void **state)
{
    (void)state;
    reset(1, false, APIC_XAPIC);
    mw(0xf0, ENABLED);
    mw(0x310, 0x09000000);
    assert_int_equal(sent_count, 0);
    mw(0x300, 0xffff1077 & ~0xc0000u); /* reserved bits and delivery status are lost */
    assert_int_equal(mr(0x300), 0x77);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent.destination, 9);
    mw(0x310, 0xff000000);
    mw(0x300, 0x878); /* logical */
    assert_int_equal(sent.destination, APIC_DESTINATION_BROADCAST);
    assert_true(sent.logical);
    mw(0x300, 0x40000 | 0x79); /* self: needs no message */
    assert_int_equal(sent_count, 2);
    assert_int_equal(lapic_pending_vector(&apic), 0x79);
}

/*
 * The processor has stored, and exits (Vol. 3C, 30.4.3.3): page and model must be as after the same store through
 * lapic_mmio_write.
 */
static void test_page_written(void **state)
{
    /* Vol. 3C, 30.4.3.2: what a processor stores; TPR and EOI, which it virtualizes in full, are left out. */
    static const uint16_t written[] = { 0xd0, 0xe0, 0xf0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370,
                                        0x380, 0x3e0 };

    (void)state;
    srand(1);
    reset(0x25, false, APIC_XAPIC);
    for (unsigned turn = 0; turn < 20000; turn++) {
        uint32_t offset = written[(unsigned)rand() % ARRAY_SIZE(written)];
        uint32_t value = ((uint32_t)rand() ^ (uint32_t)rand() << 16) | (offset == 0xf0 ? 0x100 : 0);
        uint8_t page_before[LAPIC_PAGE_SIZE], page_after[LAPIC_PAGE_SIZE];
        struct lapic before = apic, after;

        memcpy(page_before, page, sizeof(page));
        lapic_mmio_write(&apic, offset, turn, value);
        after = apic;
        memcpy(page_after, page, sizeof(page));

        apic = before;
        memcpy(page, page_before, sizeof(page));
        memcpy(page + offset, &value, sizeof(value));
        lapic_page_written(&apic, offset, turn);
        assert_memory_equal(page, page_after, sizeof(page));
        assert_memory_equal(&apic, &after, sizeof(apic));
    }
}

static void test_page_written_elsewhere(void **state)
{
    (void)state;
    reset(0x25, false, APIC_XAPIC);
    memset(page + 0x20, 0, 4);
    lapic_page_written(&apic, 0x20, 0); /* the ID is not for software to change */
    assert_int_equal(mr(0x20), 0x25000000);
    lapic_page_written(&apic, 0xff0, 0);
    reset(0, false, APIC_X2APIC);
    wr(SVR, ENABLED);
    page[0x3f0] = 5;
    lapic_page_written(&apic, 0x3f0, 0); /* an illegal self-IPI */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5 | 1u << 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_memory_registers), T(test_illegal_register_address), T(test_memory_icr), T(test_page_written),
        T(test_page_written_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
