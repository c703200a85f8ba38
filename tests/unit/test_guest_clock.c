/* The guest's TSC as a line over the host's: scaling, setting, and the way back for timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "vmx/clock.h"

static void without_scaling(void **state)
{
    (void)state;
    struct guest_clock c = { TSC_MULTIPLIER_ONE, 0 };
    clock_set(&c, 1000, 5000);
    assert_int_equal(clock_guest_tsc(&c, 5000), 1000);
    assert_int_equal(clock_guest_tsc(&c, 5700), 1700);
    assert_int_equal(clock_host_tsc_at(&c, 1700, 5000), 5700);
    assert_int_equal(clock_host_tsc_at(&c, 900, 5000), 5000);   /* already past: now */
    assert_true(clock_host_tsc_at(&c, UINT64_MAX, 5000) == UINT64_MAX);
    assert_true(clock_host_tsc_at(&c, UINT64_MAX - 1, 5000) == UINT64_MAX); /* past the host's last tick */
    clock_set(&c, UINT64_MAX - 10, 5000);                        /* the guest wrote a TSC about to wrap */
    assert_int_equal(clock_guest_tsc(&c, 5011), 0);
}

static void with_scaling(void **state)
{
    (void)state;
    struct guest_clock c = { clock_multiplier(3000000000, 2000000000), 0 };
    assert_true(c.multiplier == TSC_MULTIPLIER_ONE + TSC_MULTIPLIER_ONE / 2);
    clock_set(&c, 7, 1ULL << 60);
    assert_int_equal(clock_guest_tsc(&c, (1ULL << 60) + 1000), 1507);
    uint64_t host = clock_host_tsc_at(&c, 1507, 1ULL << 60);
    assert_true(host == (1ULL << 60) + 1000);
}

/* A timer is never early, and late by no more than a tick of the slower clock. */
static void deadlines_are_reached(void **state)
{
    (void)state;
    static const uint64_t guests[] = { 1000000000, 2893299000, 3700000001, 25000000 };
    for (unsigned i = 0; i < 4; i++) {
        struct guest_clock c = { clock_multiplier(guests[i], 2400000000), 0 };
        clock_set(&c, 123456789, 987654321);
        for (uint64_t ahead = 1; ahead < 1ULL << 50; ahead = ahead * 3 + 1) {
            uint64_t due = 123456789 + ahead, host = clock_host_tsc_at(&c, due, 987654321);
            assert_true(clock_guest_tsc(&c, host) >= due);
            assert_true(clock_guest_tsc(&c, host - 2) <= due);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_scaling),
        cmocka_unit_test(with_scaling),
        cmocka_unit_test(deadlines_are_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
