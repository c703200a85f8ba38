/* The clock exchange: the true offset is always within the error bar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "net/teleport/clock.h"

/* One exchange with known truth: target = source + offset, and the two delays. */
static bool exchange(struct clock_estimate *e, uint64_t t1, int64_t offset, uint64_t forth, uint64_t back)
{
    uint64_t t2 = t1 + forth + (uint64_t)offset, t3 = t2 + 500, t4 = t3 - (uint64_t)offset + back;
    return clock_add_sample(e, t1, t2, t3, t4);
}

static void equal_delays_give_the_offset_itself(void **state)
{
    (void)state;
    const int64_t offsets[] = { 0, 1, -1, 123456789, -123456789, INT64_MAX / 4, INT64_MIN / 4 };
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct clock_estimate e = { 0 };
        assert_true(exchange(&e, 1000000, offsets[i], 40, 40));
        assert_true(llabs(e.offset_ns - offsets[i]) <= 1);
        assert_int_equal(e.round_trip_ns, 80);
    }
}

static void the_truth_is_within_the_error_bar(void **state)
{
    (void)state;
    srand(1);
    for (int run = 0; run < 2000; run++) {
        struct clock_estimate e = { 0 };
        int64_t offset = (int64_t)rand() * (rand() % 2 ? 1000 : -1000);
        for (int i = 0; i < 8; i++)
            assert_true(exchange(&e, 1ULL << 40, offset, (uint64_t)rand() % 1000000, (uint64_t)rand() % 1000000));
        assert_true((uint64_t)llabs(e.offset_ns - offset) <= e.error_ns);
        assert_int_equal(e.samples, 8);
    }
}

static void the_shortest_round_trip_wins(void **state)
{
    (void)state;
    struct clock_estimate e = { 0 };
    exchange(&e, 1000, 0, 900, 100);
    exchange(&e, 5000, 0, 10, 10);
    exchange(&e, 9000, 0, 100, 900);
    assert_int_equal(e.round_trip_ns, 20);
    assert_true(llabs(e.offset_ns) <= 1);
}

/* A source with a busy guest hears of answers late; once the guest is paused, what it sends waits behind the guest's last pages. */
static void fast_ways_of_different_samples_are_combined(void **state)
{
    (void)state;
    struct clock_estimate e = { 0 };
    exchange(&e, 10000, 5000, 400, 1700);
    exchange(&e, 20000, 5000, 2100, 450);
    assert_int_equal(e.steps, 0);
    assert_true(llabs(e.offset_ns - 5000) <= 26);
    assert_true(e.error_ns >= 425 && e.error_ns <= 428);
}

/* Samples that agree never replace a tight estimate by a loose one; one that contradicts it does, and is counted. */
static void a_clock_that_moves_is_noticed(void **state)
{
    (void)state;
    struct clock_estimate e = { 0 };
    exchange(&e, 1000, 0, 10, 10);
    exchange(&e, 5000, 0, 400, 100);
    assert_int_equal(e.steps, 0);
    assert_true(llabs(e.offset_ns) <= 1);
    exchange(&e, 9000, 200000, 300, 300);   /* the target's clock jumped, or the source's stood still */
    assert_int_equal(e.steps, 1);
    assert_true(llabs(e.offset_ns - 200000) <= 1);
    assert_true(e.step_ns >= 199999 && e.step_ns <= 200001);
    assert_int_equal(e.error_ns, 301);      /* the new sample's own */
    assert_int_equal(clock_error_ns(&e), 301 + e.step_ns);
    assert_int_equal(e.round_trip_ns, 20);  /* the link is what it was */
    exchange(&e, 9900, 200000, 300, 310);
    assert_int_equal(e.steps, 1);
}

/* A new estimate does not know how the clocks stood before, but how fast the link was. */
static void an_estimate_begins_again(void **state)
{
    (void)state;
    struct clock_estimate e = { 0 };
    exchange(&e, 1000, 0, 10, 10);
    exchange(&e, 5000, 9000, 100, 100);
    clock_begin_again(&e);
    assert_int_equal(e.samples, 0);
    exchange(&e, 9000, -70000, 300, 300);
    assert_true(llabs(e.offset_ns + 70000) <= 1);
    assert_int_equal(e.samples, 1);
    assert_int_equal(e.steps, 1);
    assert_int_equal(e.step_ns, 0);
    assert_int_equal(clock_error_ns(&e), 301);
    assert_int_equal(e.round_trip_ns, 20);
}

static void nonsense_is_ignored(void **state)
{
    (void)state;
    struct clock_estimate e = { 0 };
    assert_false(clock_add_sample(&e, 100, 0, 10, 50));     /* answered before it was sent */
    assert_false(clock_add_sample(&e, 100, 50, 40, 200));   /* the target answered before it received */
    assert_false(clock_add_sample(&e, 100, 0, 900, 200));   /* more time there than passed here */
    assert_int_equal(e.samples, 0);
}

static void conversion_takes_the_offset_off(void **state)
{
    (void)state;
    struct clock_estimate e = { .offset_ns = -987654321 };
    assert_int_equal(clock_target_to_source(&e, 5000000000), 5000000000 + 987654321);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_delays_give_the_offset_itself),
        cmocka_unit_test(the_truth_is_within_the_error_bar),
        cmocka_unit_test(the_shortest_round_trip_wins),
        cmocka_unit_test(fast_ways_of_different_samples_are_combined),
        cmocka_unit_test(a_clock_that_moves_is_noticed),
        cmocka_unit_test(an_estimate_begins_again),
        cmocka_unit_test(nonsense_is_ignored),
        cmocka_unit_test(conversion_takes_the_offset_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
