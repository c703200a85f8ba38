/* The flight record: one axis, and no figure that was not measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/teleport/flight.h"

#define MS 1000000ULL

static struct flight sample(void)
{
    struct flight f = { .guest = "g", .source = "a", .target = "b", .outcome = "moved", .origin_ns = 1000 * MS,
                        .pause_ns = 50 * MS, .running_ns = 54 * MS, .round_count = 1,
                        .clock = { .samples = 1, .round_trip_ns = 2 * MS, .error_ns = MS } };
    f.rounds[0].facts = (struct round_facts){ .pages = 10, .bytes = 40000, .duration_ns = 12 * MS };
    f.residual_bytes = 8000;
    return f;
}

static const char *json_of(const struct flight *f)
{
    static char text[32768];
    struct json j;
    json_init(&j, text, sizeof text);
    flight_to_json(f, &j, NULL);
    assert_false(j.overflow);
    return text;
}

static void downtime_is_from_pause_to_first_entry(void **state)
{
    (void)state;
    struct flight f = sample();
    uint64_t ns = 0;
    assert_true(flight_downtime_ns(&f, &ns));
    assert_int_equal(ns, 4 * MS);
    assert_non_null(strstr(json_of(&f), "\"downtime_us\":4000"));
}

static void a_kept_guest_stood_still_until_it_ran_on(void **state)
{
    (void)state;
    struct flight f = sample();
    uint64_t ns = 0;
    f.running_ns = 0;
    f.kept_ns = 61 * MS;
    assert_true(flight_downtime_ns(&f, &ns));
    assert_int_equal(ns, 11 * MS);
}

static void what_was_not_measured_is_not_shown(void **state)
{
    (void)state;
    struct flight f = sample();
    uint64_t ns;
    f.running_ns = 0;   /* moved out of doubt: the target's times were lost */
    assert_false(flight_downtime_ns(&f, &ns));
    assert_null(strstr(json_of(&f), "downtime_us"));
    f.running_ns = f.pause_ns - 1;   /* a clock moved: nobody runs before it was paused */
    assert_false(flight_downtime_ns(&f, &ns));
    f.round_count = 0;
    assert_null(strstr(json_of(&f), "floor_us"));
}

/* 4,000 bytes at 40,000 bytes in 12 - 2 ms, and one and a half round trips of 2 ms. */
static void the_floor_is_transfer_and_round_trips(void **state)
{
    (void)state;
    struct flight f = sample();
    f.residual_bytes = 4000;
    f.running_ns = 60 * MS;
    assert_int_equal(flight_floor_ns(&f), 1 * MS + 3 * MS);
}

/* The residue went faster than any round: then that is what the link can carry, and the floor is the downtime itself. */
static void the_floor_is_never_above_the_downtime(void **state)
{
    (void)state;
    struct flight f = sample();
    f.residual_bytes = 40000;   /* in 4 - 3 ms: ten times the round's rate */
    uint64_t downtime;
    assert_true(flight_downtime_ns(&f, &downtime));
    assert_int_equal(flight_floor_ns(&f), downtime);
}

static void phases_stay_on_the_axis(void **state)
{
    (void)state;
    struct flight f = sample();
    flight_add_phase(&f, "early", true, true, 990 * MS, 995 * MS);     /* the clock's error: before the start */
    flight_add_phase(&f, "backwards", true, true, 1010 * MS, 1009 * MS);
    assert_int_equal(f.phases[0].start_ns, 0);
    assert_int_equal(f.phases[0].end_ns, 0);
    assert_int_equal(f.phases[1].start_ns, 10 * MS);
    assert_int_equal(f.phases[1].end_ns, 10 * MS);
    for (int i = 0; i < 2 * FLIGHT_PHASES_MAX; i++)
        flight_add_phase(&f, "more", false, false, 1010 * MS, 1011 * MS);
    assert_int_equal(f.phase_count, FLIGHT_PHASES_MAX);
}

/* The guest last ran while the source still copied: from there on all is downtime, and no phase overlaps another. */
static void the_downtime_begins_before_the_pause(void **state)
{
    (void)state;
    struct flight f = sample();
    f.pause_ns = 0;
    flight_add_phase(&f, "pre-copy", false, false, 1010 * MS, 1040 * MS);
    flight_begin_downtime(&f, 1037 * MS);
    flight_add_phase(&f, "pause", false, true, 1040 * MS, 1041 * MS);
    flight_add_phase(&f, "residue", false, true, 1041 * MS, 1045 * MS);
    assert_int_equal(f.pause_ns, 37 * MS);
    assert_int_equal(f.phases[0].end_ns, 37 * MS);
    assert_int_equal(f.phases[1].start_ns, 37 * MS);
    assert_int_equal(f.phases[1].end_ns, 41 * MS);
    assert_int_equal(f.phases[2].start_ns, 41 * MS);
}

/* The target's clock may be behind the source's. */
static void an_offset_has_a_sign(void **state)
{
    (void)state;
    struct flight f = sample();
    f.clock.offset_ns = -5 * (int64_t)MS;
    assert_non_null(strstr(json_of(&f), "\"offset_us\":-5000,"));
}

/* As large as it gets, it fits the 32 KiB that control gives a reply. */
static void the_largest_record_fits(void **state)
{
    (void)state;
    struct flight f = sample();
    f.round_count = FLIGHT_ROUNDS_MAX;
    for (uint32_t i = 0; i < FLIGHT_ROUNDS_MAX; i++)
        f.rounds[i] = (struct flight_round){ { 1ULL << 30, 1ULL << 50, 1ULL << 40, 1ULL << 30 },
                                             1ULL << 30, 1ULL << 50, 1ULL << 50 };
    for (int i = 0; i < FLIGHT_PHASES_MAX; i++)
        flight_add_phase(&f, "a long phase name", false, false, 1ULL << 50, 1ULL << 50);
    json_of(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(downtime_is_from_pause_to_first_entry),
        cmocka_unit_test(a_kept_guest_stood_still_until_it_ran_on),
        cmocka_unit_test(what_was_not_measured_is_not_shown),
        cmocka_unit_test(the_floor_is_transfer_and_round_trips),
        cmocka_unit_test(the_floor_is_never_above_the_downtime),
        cmocka_unit_test(phases_stay_on_the_axis),
        cmocka_unit_test(the_downtime_begins_before_the_pause),
        cmocka_unit_test(an_offset_has_a_sign),
        cmocka_unit_test(the_largest_record_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
