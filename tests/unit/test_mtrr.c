/* MTRRs: what WRMSR accepts (SDM Vol. 3A, 12.11.2), what is kept, and what a peer may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "vmx/mtrr.h"

#define ADDRESS_BITS 39

static struct state_mtrr mtrr;

static int setup(void **state)
{
    (void)state;
    mtrr_reset(&mtrr);
    return 0;
}

static bool takes(uint32_t msr, uint64_t value)
{
    uint64_t before, after;
    assert_true(mtrr_read(&mtrr, msr, &before));
    bool ok = mtrr_write(&mtrr, msr, ADDRESS_BITS, value);
    assert_true(mtrr_read(&mtrr, msr, &after));
    assert_int_equal(after, ok ? value : before);
    return ok;
}

static void which_msrs(void **state)
{
    unsigned count = 0;
    uint64_t value;
    (void)state;
    for (uint32_t msr = 0; msr < 0x2000; msr++)
        count += mtrr_is_msr(msr);
    assert_int_equal(count, 2 + 16 + 11);
    assert_true(mtrr_is_msr(0xfe) && mtrr_is_msr(0x2ff) && mtrr_is_msr(0x20f) && mtrr_is_msr(0x26f));
    assert_false(mtrr_is_msr(0x210) || mtrr_is_msr(0x277));
    assert_true(mtrr_read(&mtrr, 0xfe, &value));
    assert_int_equal(value, 0x508);
    assert_false(mtrr_write(&mtrr, 0xfe, ADDRESS_BITS, value)); /* read-only */
}

static void types(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < 256; type++) {
        bool valid = type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
        assert_int_equal(takes(0x2ff, 0xc00 | type), valid);
        assert_int_equal(takes(0x200, 0x80000000 | type), valid);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(takes(0x250, type << 8 * i), valid);
    }
}

static void reserved_bits(void **state)
{
    (void)state;
    for (unsigned bit = 8; bit < 64; bit++) {
        assert_int_equal(takes(0x2ff, 1ULL << bit), bit == 10 || bit == 11);
        assert_int_equal(takes(0x202, 1ULL << bit), bit >= 12 && bit < ADDRESS_BITS);
        assert_int_equal(takes(0x203, 1ULL << bit), bit >= 11 && bit < ADDRESS_BITS);
    }
    assert_false(takes(0x203, 1));
}

static void state_is_checked(void **state)
{
    uint8_t wire[sizeof mtrr];
    char why[128];
    struct state_mtrr other;
    size_t size = section_wire_size(&mtrr_section);
    (void)state;
    assert_int_equal(size, sizeof mtrr);
    assert_true(takes(0x20f, 0x7fffff0800) && takes(0x20e, 0xc0000000) && takes(0x26f, 0x0505050505050505));
    section_save(&mtrr_section, &mtrr, wire);
    assert_int_equal(section_load(&mtrr_section, &other, wire, size, why, sizeof why), OK);
    assert_memory_equal(&other, &mtrr, sizeof mtrr);
    for (size_t i = 0; i < size; i += 8) {
        uint8_t bad[sizeof wire];
        memcpy(bad, wire, size);
        bad[i] = 3;
        if (i >= 8 * (1 + 11 + 8)) /* PHYSMASK */
            assert_int_equal(section_load(&mtrr_section, &other, bad, size, why, sizeof why), ERR_INVALID);
        bad[i] = 2;
        assert_int_equal(section_load(&mtrr_section, &other, bad, size, why, sizeof why), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(which_msrs, setup),
        cmocka_unit_test_setup(types, setup),
        cmocka_unit_test_setup(reserved_bits, setup),
        cmocka_unit_test_setup(state_is_checked, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
