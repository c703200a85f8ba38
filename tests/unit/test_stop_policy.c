/* When the guest is stopped, and when not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/teleport/stop_policy.h"

#define MS 1000000ULL
static const struct stop_limits limits = { .downtime_ns = 100 * MS, .rounds_max = 10 };

/* A round of `pages` at 4 MB/s that leaves `dirty` behind. */
static struct round_facts a_round(uint64_t pages, uint64_t dirty)
{
    return (struct round_facts){ .pages = pages, .bytes = pages * 4000, .duration_ns = pages * MS, .dirty_after = dirty };
}

static void nothing_left_is_converged(void **state)
{
    (void)state;
    struct round_facts r[] = { a_round(1000, 0) };
    assert_int_equal(stop_decide(&limits, r, 1, 0), STOP_CONVERGED);
}

static void less_than_a_round_trip_is_converged(void **state)
{
    (void)state;
    struct round_facts r[] = { a_round(1000, 2) };
    assert_int_equal(stop_decide(&limits, r, 1, 3 * MS), STOP_CONVERGED);
    assert_int_equal(stop_decide(&limits, r, 1, 1 * MS), STOP_NOT_YET);
}

static void a_shrinking_rest_gets_another_round(void **state)
{
    (void)state;
    struct round_facts r[] = { a_round(1000, 500), a_round(500, 250), a_round(250, 125), a_round(125, 60) };
    assert_int_equal(stop_decide(&limits, r, 4, 1 * MS), STOP_NOT_YET);
}

static void a_stalled_rest_within_the_limit_stops(void **state)
{
    (void)state;
    struct round_facts r[] = { a_round(1000, 50), a_round(50, 50), a_round(50, 50), a_round(50, 50) };
    assert_int_equal(stop_decide(&limits, r, 3, 1 * MS), STOP_NOT_YET);
    assert_int_equal(stop_decide(&limits, r, 4, 1 * MS), STOP_WITHIN_LIMIT);
}

/* As a busy Linux goes: the guest is not stopped on a peak, if there are rounds that leave less. */
static void a_rest_that_goes_up_and_down_stops_low(void **state)
{
    (void)state;
    static const uint64_t left[] = { 490, 155, 89, 52, 44, 64, 70, 90, 56, 45 };
    struct stop_limits patient = { .downtime_ns = 1000 * MS, .rounds_max = 64 };
    struct round_facts r[10];
    for (int i = 0; i < 10; i++)
        r[i] = a_round(i ? left[i - 1] : 24576, left[i]);
    for (uint32_t n = 1; n < 10; n++)
        assert_int_equal(stop_decide(&patient, r, n, 1 * MS), STOP_NOT_YET);
    assert_int_equal(stop_decide(&patient, r, 10, 1 * MS), STOP_WITHIN_LIMIT);
}

/* It was low once by chance, or the guest has more to do now: after a while any round will do. */
static void patience_ends(void **state)
{
    (void)state;
    struct stop_limits patient = { .downtime_ns = 1000 * MS, .rounds_max = 64 };
    struct round_facts r[13] = { a_round(1000, 100), a_round(100, 10) };
    for (int i = 2; i < 13; i++)
        r[i] = a_round(100, 100);
    for (uint32_t n = 1; n < 13; n++)
        assert_int_equal(stop_decide(&patient, r, n, 1 * MS), STOP_NOT_YET);
    assert_int_equal(stop_decide(&patient, r, 13, 1 * MS), STOP_WITHIN_LIMIT);
}

static void a_stalled_rest_over_the_limit_goes_on_to_the_last_round(void **state)
{
    (void)state;
    struct round_facts r[10];
    for (int i = 0; i < 10; i++)
        r[i] = a_round(500, 500);
    for (uint32_t n = 1; n < 10; n++)
        assert_int_equal(stop_decide(&limits, r, n, 1 * MS), STOP_NOT_YET);
    assert_int_equal(stop_decide(&limits, r, 10, 1 * MS), STOP_ROUNDS_USED);
    struct stop_limits strict = limits;
    strict.give_up = true;
    assert_int_equal(stop_decide(&strict, r, 10, 1 * MS), STOP_GIVE_UP);
}

static void give_up_does_not_apply_within_the_limit(void **state)
{
    (void)state;
    struct stop_limits strict = { .downtime_ns = 100 * MS, .rounds_max = 2, .give_up = true };
    struct round_facts r[] = { a_round(1000, 50), a_round(50, 50) };
    assert_int_equal(stop_decide(&strict, r, 2, 1 * MS), STOP_ROUNDS_USED);
}

static void the_best_round_is_the_measure_of_the_link(void **state)
{
    (void)state;
    struct round_facts r[] = { a_round(1000, 1), { .pages = 1, .bytes = 4000, .duration_ns = 20 * MS, .dirty_after = 1 } };
    assert_int_equal(stop_bandwidth(r, 2, 0), 4000000);
    assert_int_equal(stop_bandwidth(r + 1, 1, 0), 200000);
    assert_int_equal(stop_bandwidth(r + 1, 1, 4 * MS), 250000);    /* the acknowledgement's way is no transfer */
    assert_int_equal(stop_bandwidth(r + 1, 1, 400 * MS), 400000);  /* a clock gone wrong is bounded */
}

static void no_measurement_is_no_bandwidth(void **state)
{
    (void)state;
    struct round_facts r[] = { { .pages = 0, .bytes = 0, .duration_ns = 0, .dirty_after = 7 } };
    assert_int_equal(stop_bandwidth(r, 1, 1 * MS), 0);
    assert_int_equal(stop_decide(&limits, r, 1, 1 * MS), STOP_NOT_YET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_left_is_converged),
        cmocka_unit_test(less_than_a_round_trip_is_converged),
        cmocka_unit_test(a_shrinking_rest_gets_another_round),
        cmocka_unit_test(a_stalled_rest_within_the_limit_stops),
        cmocka_unit_test(a_rest_that_goes_up_and_down_stops_low),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(a_stalled_rest_over_the_limit_goes_on_to_the_last_round),
        cmocka_unit_test(give_up_does_not_apply_within_the_limit),
        cmocka_unit_test(the_best_round_is_the_measure_of_the_link),
        cmocka_unit_test(no_measurement_is_no_bandwidth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
