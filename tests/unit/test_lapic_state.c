/* A local APIC's state on the wire: in each mode the same after the trip, and nothing bad gets through. */
#include "tests/fakes/lapic_bench.h"

static char why[160];

static enum err reload(const struct lapic_state *from, struct lapic_state *to)
{
    uint8_t wire[1024];
    size_t size = section_wire_size(&lapic_section);

    assert_true(size <= sizeof(wire));
    section_save(&lapic_section, from, wire);
    return section_load(&lapic_section, to, wire, size, why, sizeof(why));
}

/* Page and model are the same after a trip over the wire, in each mode. */
static void test_state_round_trip(void **state)
{
    (void)state;
    for (enum apic_mode mode = APIC_XAPIC; mode <= APIC_X2APIC; mode++) {
        struct lapic before;
        struct lapic_state saved, loaded = { 0 };
        uint8_t page_before[LAPIC_PAGE_SIZE];

        reset(0x25, true, APIC_XAPIC);
        mw(0xf0, ENABLED);
        mw(0xd0, 0x04000000);
        mw(0x310, 0x07000000);
        mw(0x320, PERIODIC | TIMER_VECTOR);
        if (mode == APIC_X2APIC) {
            wr(IA32_APIC_BASE, 0xfee00d00);
            wr(ICR, TO(0x12345) | 0x33);
        }
        apic.bus_divisor = 3;
        lapic_msr_write(&apic, INITIAL_COUNT, 777, 50);
        lapic_mmio_write(&apic, 0x380, 777, 50);
        lapic_set_irr(&apic, 0x99, true);
        lapic_set_irr(&apic, 2, false);
        lapic_accept(&apic, 0x31);
        lapic_set_cr8(&apic, 2);
        before = apic;
        memcpy(page_before, page, sizeof(page));
        lapic_save(&apic, &saved);
        assert_int_equal(reload(&saved, &loaded), OK);
        assert_memory_equal(&saved, &loaded, sizeof(saved));
        memset(page, 0x5a, sizeof(page));
        reset(0x25, false, APIC_DISABLED);
        lapic_load(&apic, &loaded);
        before.changed = apic.changed;
        assert_memory_equal(&apic, &before, sizeof(apic));
        assert_memory_equal(page, page_before, sizeof(page));
        assert_int_equal(apic.changed & 15, 15);
    }
}

static void test_state_refused(void **state)
{
    static const struct { const char *field; size_t offset; uint64_t value; unsigned size; } wrong[] = {
#define WRONG(member, value) \
    { #member, offsetof(struct lapic_state, member), value, sizeof(((struct lapic_state *)0)->member) }
        WRONG(apic_base, 0xfee00500), WRONG(apic_base, 0xfee00d01), WRONG(apic_base, BIT(52) | 0xfee00d00),
        WRONG(dfr, 0xffffffff), WRONG(tpr, 0x100), WRONG(svr, 0x1000), WRONG(esr, 1), WRONG(esr_pending, 0x10),
        WRONG(irr[0], 0x8000), WRONG(isr[0], 1), WRONG(tmr[0], 0x10), WRONG(icr, BIT(12)),
        WRONG(lvt_timer, 0x1000), WRONG(lvt_timer, 0x60000), WRONG(lvt_timer, 0x800), WRONG(lvt_lint0, 0x4000),
        WRONG(lvt_thermal, 0x20000), WRONG(lvt_performance, 0x800), WRONG(lvt_lint1, 0x20000), WRONG(lvt_error, 0x400),
        WRONG(divide_configuration, 4), WRONG(bus_divisor, 0), WRONG(bus_divisor, 65537),
        WRONG(tsc_deadline, 5), WRONG(timer_due, 5),
#undef WRONG
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct lapic_state bad, to = { 0 };

        setup(NULL);
        lapic_save(&apic, &bad);
        memcpy((uint8_t *)&bad + wrong[i].offset, &wrong[i].value, wrong[i].size);
        assert_int_equal(reload(&bad, &to), ERR_INVALID);
        assert_non_null(strstr(why, "lapic"));
        assert_memory_equal(why + strlen("section lapic, field "), wrong[i].field, 2); /* "irr[0]" may be "irr" */
        assert_int_equal(to.bus_divisor, 0);
    }
}

/* What has another form, or no meaning, in the other modes. */
static void test_state_and_mode(void **state)
{
    struct lapic_state good, bad, to;

    (void)state;
    reset(0, true, APIC_XAPIC);
    lapic_save(&apic, &good);
    assert_int_equal(reload(&good, &to), OK);
    bad = good, bad.ldr = 1;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.dfr = 0xf0000000;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.icr = TO(1);
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.lvt_lint1 = 0x40; /* unmasked while software-disabled */
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    reset(0, true, APIC_DISABLED);
    lapic_save(&apic, &good);
    assert_int_equal(reload(&good, &to), OK);
    bad = good, bad.svr = ENABLED;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_state_round_trip), T(test_state_refused), T(test_state_and_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
