/* The local APIC's timer (SDM Vol. 3A, 11.5.4 "APIC Timer"): its three modes, its divisors, and a TSC that is set. */
#include "tests/fakes/lapic_bench.h"

static void test_one_shot(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    assert_int_equal(lapic_next_deadline(&apic), 1050);
    assert_int_equal(rd_at(CURRENT_COUNT, 1000), 50);
    assert_int_equal(rd_at(CURRENT_COUNT, 1049), 1);
    assert_false(requested(TIMER_VECTOR));
    lapic_advance(&apic, 1050);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(CURRENT_COUNT, 1050), 0);
    lapic_accept(&apic, TIMER_VECTOR);
    lapic_advance(&apic, UINT64_MAX); /* once */
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(INITIAL_COUNT, 2000), 50);
}

static void test_initial_count_zero_stops(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode <= PERIODIC; mode += PERIODIC) {
        wr(LVT_TIMER, mode | TIMER_VECTOR);
        wr_at(INITIAL_COUNT, 0, 50);
        wr_at(INITIAL_COUNT, 10, 0);
        assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
        assert_int_equal(rd_at(CURRENT_COUNT, 20), 0);
    }
}

static void test_periodic(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    for (uint64_t due = 1050; due < 2000; due += 50) {
        assert_int_equal(lapic_next_deadline(&apic), due + SHORT_PERIOD);
        lapic_advance(&apic, due - 1);
        assert_false(requested(TIMER_VECTOR));
        lapic_advance(&apic, due);
        assert_true(requested(TIMER_VECTOR));
        assert_int_equal(rd_at(CURRENT_COUNT, due), 50);
        lapic_accept(&apic, TIMER_VECTOR);
        wr_at(EOI, due, 0);
    }
}

/*
 * After a teleport: time went on by many periods. One interrupt, and the phase is as if nothing had happened.
 */
static void test_periodic_after_a_long_pause(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    lapic_advance(&apic, 1000 + 50 * 123456 + 7);
    assert_true(requested(TIMER_VECTOR));
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 1000 + 50 * 123457 + SHORT_PERIOD);
    assert_int_equal(rd_at(CURRENT_COUNT, 1000 + 50 * 123456 + 7), 43);
    assert_false(requested(TIMER_VECTOR));
}

/* Figure 11-10 "Divide Configuration Register" */
static void test_divide(void **state)
{
    static const struct { uint32_t code, divisor; } codes[] = {
        { 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 }, { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
    };

    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        wr(DIVIDE, codes[i].code);
        wr_at(INITIAL_COUNT, 0, 10);
        assert_int_equal(lapic_next_deadline(&apic), 10 * codes[i].divisor);
        assert_int_equal(rd_at(CURRENT_COUNT, codes[i].divisor - 1), 10);
        assert_int_equal(rd_at(CURRENT_COUNT, codes[i].divisor), 9);
        wr(INITIAL_COUNT, 0);
    }
}

/* A new divisor in mid-count: what is left of the count goes on at the new rate. */
static void test_divide_in_mid_count(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    wr_at(DIVIDE, 60, 0x1); /* 40 left, now 4 ticks each */
    assert_int_equal(rd_at(CURRENT_COUNT, 60), 40);
    assert_int_equal(lapic_next_deadline(&apic), 60 + 160);
    wr_at(DIVIDE, 140, 0xb); /* 20 left */
    assert_int_equal(lapic_next_deadline(&apic), 160);
}

static void test_bus_divisor(void **state)
{
    (void)state;
    apic.bus_divisor = 10;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 5, 3);
    assert_int_equal(lapic_next_deadline(&apic), 35);
    assert_int_equal(rd_at(CURRENT_COUNT, 15), 2);
}

/* Masked, the timer counts and expires, and nobody hears of it: not later either. */
static void test_masked_timer(void **state)
{
    (void)state;
    wr(LVT_TIMER, MASKED | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(CURRENT_COUNT, 40), 60);
    wr_at(LVT_TIMER, 150, TIMER_VECTOR);
    assert_false(requested(TIMER_VECTOR));
    wr_at(LVT_TIMER, 150, MASKED | PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 200, 100);
    wr_at(LVT_TIMER, 350, PERIODIC | TIMER_VECTOR); /* one expiry was missed; the phase is kept */
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), 400 + SHORT_PERIOD);
}

/* One-shot to periodic and back, in mid-count: the count goes on. */
static void test_one_shot_periodic_switch(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    wr_at(LVT_TIMER, 30, PERIODIC | TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 100 + SHORT_PERIOD);
    lapic_advance(&apic, 100);
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 200 + SHORT_PERIOD);
    wr_at(LVT_TIMER, 150, TIMER_VECTOR);
    lapic_advance(&apic, 200);
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    wr_at(LVT_TIMER, 250, PERIODIC | TIMER_VECTOR); /* the count has reached 0 and stays there */
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
}

/*
 * 11.5.4.1: "writes to the initial-count register are ignored and reads of the current-count register return
 * 0"
 */
static void test_tsc_deadline(void **state)
{
    (void)state;
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 10);
    assert_int_equal(rd_at(CURRENT_COUNT, 0), 0);
    assert_int_equal(rd_at(INITIAL_COUNT, 0), 0);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    wr_at(IA32_TSC_DEADLINE, 5, 1000);
    assert_int_equal(lapic_next_deadline(&apic), 1000);
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 999), 1000);
    lapic_advance(&apic, 1000);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 1000), 0); /* "the MSR is cleared" */
    lapic_accept(&apic, TIMER_VECTOR);
    lapic_advance(&apic, 5000);
    assert_false(requested(TIMER_VECTOR));
}

/* A deadline that has passed fires at once; 0 disarms; a new one replaces the old. */
static void test_tsc_deadline_writes(void **state)
{
    (void)state;
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 500, 400);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 500), 0);
    lapic_accept(&apic, TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 500, 600);
    wr_at(IA32_TSC_DEADLINE, 550, 900);
    lapic_advance(&apic, 700);
    assert_false(requested(TIMER_VECTOR));
    wr_at(IA32_TSC_DEADLINE, 700, 0);
    lapic_advance(&apic, 1000);
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
}

/*
 * "In other timer modes the IA32_TSC_DEADLINE MSR reads zero and writes are ignored"; a change of mode
 * disarms.
 */
static void test_tsc_deadline_mode_switch(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr(IA32_TSC_DEADLINE, 1000);
    assert_int_equal(rd(IA32_TSC_DEADLINE), 0);
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr(IA32_TSC_DEADLINE, 1000);
    wr(LVT_TIMER, DEADLINE | MASKED | TIMER_VECTOR); /* masking is no change of mode */
    assert_int_equal(rd(IA32_TSC_DEADLINE), 1000);
    wr(LVT_TIMER, TIMER_VECTOR);
    assert_int_equal(rd(IA32_TSC_DEADLINE), 0);
    wr(INITIAL_COUNT, 100);
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    lapic_advance(&apic, 5000);
    assert_false(requested(TIMER_VECTOR));
}

/* A tiny period: its expiries are looked at together, so that exits for them leave the guest time. */
static void test_tiny_period(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 1);
    assert_int_equal(lapic_next_deadline(&apic), 1 + SHORT_PERIOD);
    lapic_advance(&apic, 1 + SHORT_PERIOD);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), 4098 + SHORT_PERIOD);
    wr_at(INITIAL_COUNT, 20, 1000000); /* a period with room for exits: each expiry is seen when it happens */
    lapic_advance(&apic, 1000020);
    assert_int_equal(lapic_next_deadline(&apic), 2000020);
}

static void test_end_of_time(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr(DIVIDE, 0xa);
    apic.bus_divisor = 65536;
    wr_at(INITIAL_COUNT, UINT64_MAX - 5, 0xffffffff);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(CURRENT_COUNT, UINT64_MAX - 5), 1);
    lapic_advance(&apic, UINT64_MAX);
    wr_at(DIVIDE, UINT64_MAX - 1, 0xb);
    lapic_advance(&apic, UINT64_MAX);
}

/* The guest sets its TSC: the count goes on, the deadline is absolute. */
static void test_tsc_moved(void **state)
{
    (void)state;
    wr_at(LVT_TIMER, 1000, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 100);
    lapic_tsc_moved(&apic, 1040, 7);
    assert_int_equal(lapic_next_deadline(&apic), 67);
    assert_int_equal(rd_at(CURRENT_COUNT, 7), 60);
    lapic_tsc_moved(&apic, 10, 5000000);
    assert_int_equal(rd_at(CURRENT_COUNT, 5000000), 57);
    wr_at(LVT_TIMER, 5000000, DEADLINE | TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 5000000, 6000000);
    lapic_tsc_moved(&apic, 5000000, 1);
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 1), 6000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_one_shot), T(test_initial_count_zero_stops), T(test_periodic), T(test_periodic_after_a_long_pause),
        T(test_divide), T(test_divide_in_mid_count), T(test_bus_divisor), T(test_masked_timer),
        T(test_one_shot_periodic_switch), T(test_tsc_deadline), T(test_tsc_deadline_writes),
        T(test_tsc_deadline_mode_switch), T(test_tiny_period), T(test_end_of_time), T(test_tsc_moved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
