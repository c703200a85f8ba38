/* Messages from a local APIC to others and to itself (SDM Vol. 3A, 11.6 "Issuing Interprocessor Interrupts"). */
#include "tests/fakes/lapic_bench.h"

static void test_fixed_ipi(void **state)
{
    static const struct { uint64_t icr; bool to_itself, leaves; } ipis[] = {
        { SELF, true, false }, { ALL, false, true }, { OTHERS, false, true },
        { SELF | BIT(15), true, false },   /* level-triggered: treated as edge */
        { SELF | TO(77), true, false },    /* a shorthand ignores the destination */
        { TO(0x25), false, true }, { TO(0xffffffff), false, true }, { LOGICAL | TO(0x00020020), false, true },
        { MODE(1) | TO(3), false, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ipis); i++) {
        reset(0x25, false, APIC_X2APIC);
        wr(SVR, ENABLED);
        wr(ICR, ipis[i].icr | 0x77);
        assert_int_equal(requested(0x77), ipis[i].to_itself);
        assert_int_equal(sent_count, ipis[i].leaves);
        assert_int_equal(rd(ICR), ipis[i].icr | 0x77);
        if (!ipis[i].leaves)
            continue;
        assert_int_equal(sent.destination, ipis[i].icr >> 32);
        assert_int_equal(sent.logical, ipis[i].icr >> 11 & 1);
        assert_int_equal(sent.shorthand, ipis[i].icr >> 18 & 3);
        assert_int_equal(sent.delivery_mode, ipis[i].icr >> 8 & 7);
        assert_int_equal(sent.vector, 0x77);
        assert_false(sent.level);
    }
}

/* Tables 11-3 and 11-4: what is invalid with a shorthand, reserved, or an SMI is sent to nobody. */
static void test_other_ipis(void **state)
{
    (void)state;
    for (unsigned mode = 1; mode < 8; mode++)
        for (unsigned shorthand = 0; shorthand < 4; shorthand++) {
            bool known = mode == DELIVERY_LOWEST_PRIORITY || (mode >= DELIVERY_NMI && mode <= DELIVERY_START_UP);
            bool valid = known && (shorthand == SHORTHAND_NONE || shorthand == SHORTHAND_ALL_EXCLUDING_SELF);

            setup(NULL);
            wr(ICR, MODE(mode) | BIT(14) | (uint64_t)shorthand << 18 | 0x77);
            assert_false(requested(0x77));
            assert_int_equal(sent_count, valid);
            assert_int_equal(apic.esr_pending, 0);
        }
    setup(NULL);
    wr(ICR, MODE(5) | BIT(15)); /* INIT level de-assert: nothing */
    assert_int_equal(sent_count, 0);
}

/* An APIC that is software-disabled sends all the same. */
static void test_nmi_while_disabled(void **state)
{
    (void)state;
    wr(SVR, 0xff);
    wr(ICR, MODE(4) | TO(0));
    assert_int_equal(sent_count, 1);
}

/*
 * 11.5.3: illegal vectors are errors of the sender, and of the receiver too; lowest priority has an error of
 * its own.
 */
static void test_ipi_errors(void **state)
{
    (void)state;
    wr(ICR, TO(9) | 5);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5);
    wr(SELF_IPI, 15);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5 | 1u << 6);
    wr(ICR, MODE(1) | TO(9) | 5);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5);
}

static void test_self_ipi(void **state)
{
    (void)state;
    wr(SELF_IPI, 0x80);
    assert_true(requested(0x80));
    assert_int_equal(rd(ICR), 0); /* the ICR is not touched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_fixed_ipi), T(test_other_ipis), T(test_nmi_while_disabled), T(test_ipi_errors), T(test_self_ipi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
