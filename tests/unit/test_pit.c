/* The 8254: outputs and counts in each mode, latches, gates, and when channel 0 interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/devices/pit.h"

#define HZ (PIT_HZ * 1000ull)       /* 1000 ticks of machine time to one of the timer */
#define TICK 1000ull
static struct pit pit;
static struct machine_time now;

static int setup(void **state)
{
    (void)state;
    pit_reset(&pit);
    now = (struct machine_time){ 12345678, HZ };
    return 0;
}

static void wr(unsigned port, unsigned value) { pit_write(&pit, port, (uint8_t)value, now); }
static unsigned rd(unsigned port) { return pit_read(&pit, port, now); }
static void pass(uint64_t ticks) { now.now += ticks * TICK; }

static void program(unsigned channel, unsigned mode, unsigned count)
{
    wr(3, channel << 6 | 3 << 4 | mode << 1);
    wr(channel, count & 0xff);
    wr(channel, count >> 8);
}

static unsigned count_of(unsigned channel)
{
    wr(3, channel << 6);
    unsigned low = rd(channel);
    return low | rd(channel) << 8;
}

static bool out2(void) { return pit_read_control(&pit, now) & 0x20; }

static void interrupt_on_terminal_count(void **state)
{
    (void)state;
    program(0, 0, 100);
    assert_int_equal(pit.next_edge, now.now + 100 * TICK);
    pass(99);
    assert_false(pit_advance(&pit, now));
    assert_int_equal(count_of(0), 1);
    pass(1);
    assert_true(pit_advance(&pit, now));
    assert_false(pit_advance(&pit, now));
    assert_true(pit.next_edge == MACHINE_TIME_NEVER); /* once */
    pass(1);
    assert_int_equal(count_of(0), 0xffff); /* goes on below 0 */
}

static void rate_generator(void **state)
{
    (void)state;
    program(0, 2, 1000);
    for (unsigned i = 0; i < 5; i++) {
        pass(1000);
        assert_true(pit_advance(&pit, now));
        assert_int_equal(count_of(0), 1000);
    }
    pass(10500); /* ten missed periods are one interrupt, and the phase is kept */
    assert_true(pit_advance(&pit, now));
    assert_false(pit_advance(&pit, now));
    assert_int_equal(pit.next_edge, now.now + 500 * TICK);
    assert_int_equal(count_of(0), 500);
}

static void square_wave(void **state)
{
    (void)state;
    pit_write_control(&pit, 1, now);
    program(2, 3, 100);
    assert_true(out2());
    pass(49);
    assert_true(out2());
    assert_int_equal(count_of(2), 2);
    pass(1);
    assert_false(out2());
    assert_int_equal(count_of(2), 100);
    pass(50);
    assert_true(out2());
}

static void largest_count_and_bcd(void **state)
{
    (void)state;
    program(0, 0, 0);
    pass(65535);
    assert_false(pit_advance(&pit, now));
    pass(1);
    assert_true(pit_advance(&pit, now));
    wr(3, 0x31); /* channel 0, both bytes, mode 0, BCD */
    wr(0, 0x34);
    wr(0, 0x12);
    pass(234);
    assert_int_equal(count_of(0), 0x1000);
    pass(1000);
    assert_true(pit_advance(&pit, now));
}

/* What every kernel does to measure its TSC: gate off, mode 0, gate on, wait for OUT2. */
static void calibration_by_the_speaker(void **state)
{
    (void)state;
    pit_write_control(&pit, 0, now);
    program(2, 0, 11932);
    assert_false(out2());
    pass(100000);
    assert_false(out2()); /* held by the gate */
    assert_int_equal(count_of(2), 11932);
    pit_write_control(&pit, 1, now);
    pass(6000);
    pit_write_control(&pit, 0, now); /* held again, with 5932 to go */
    pass(50000);
    assert_int_equal(count_of(2), 5932);
    pit_write_control(&pit, 1, now);
    pass(5931);
    assert_false(out2());
    pass(1);
    assert_true(out2());
}

static void one_shot(void **state)
{
    (void)state;
    program(2, 1, 50);
    assert_true(out2());
    pass(1000);
    assert_true(out2()); /* waits for its trigger */
    pit_write_control(&pit, 1, now);
    assert_false(out2());
    pass(50);
    assert_true(out2());
    pit_write_control(&pit, 0, now);
    pit_write_control(&pit, 1, now);
    assert_false(out2());
}

static void strobe(void **state)
{
    (void)state;
    program(0, 4, 10);
    assert_int_equal(pit.next_edge, now.now + 11 * TICK); /* low for the tick in which the count is 0 */
    wr(3, 0xe2); /* read back the status of channel 0 */
    assert_int_equal(rd(0), 0xb8);
}

static void latches(void **state)
{
    (void)state;
    program(0, 2, 0x1234);
    pass(4);
    wr(3, 0);
    pass(100);
    assert_int_equal(rd(0), 0x30);
    assert_int_equal(rd(0), 0x12);
    wr(3, 0xc2); /* read back status and count of channel 0: status first */
    assert_int_equal(rd(0), 0xb4);
    assert_int_equal(rd(0) | rd(0) << 8, 0x1234 - 104);
    wr(3, 0x34);
    wr(3, 0xe2);
    assert_int_equal(rd(0) & 0x40, 0x40); /* no count yet */
    wr(3, 0x10); /* low byte only */
    wr(0, 200);
    pass(50);
    assert_int_equal(rd(0), 150);
    wr(3, 0x20); /* high byte only */
    wr(0, 2);
    pass(0x100);
    assert_int_equal(rd(0), 1);
    assert_int_equal(rd(3), 0xff);
}

/* A guest that asks for a million interrupts a second gets PIT_INTERRUPTS_MAX. */
static void no_flood(void **state)
{
    unsigned interrupts = 0;
    (void)state;
    program(0, 2, 1);
    for (uint64_t end = now.now + HZ / 10; now.now < end; now.now = MIN(pit.next_edge, end))
        interrupts += pit_advance(&pit, now);
    assert_in_range(interrupts, 1000, PIT_INTERRUPTS_MAX / 10 + 1);
}

/* A guest that polls its timer, or uses the others, loses no interrupt: not one that is to come, and none that is due. */
static void commands_that_move_no_edge(void **state)
{
    const unsigned commands[] = { 0x00, 0xc2, 0xe2, 0x40, 0xb0 };   /* latch, read back, latch of channel 1, mode of channel 2 */
    unsigned interrupts = 0;
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        program(0, 2, 1000);
        for (uint64_t ticks = 0; ticks < 10000; ticks += 40) {
            pass(40);
            wr(3, commands[i]);
            wr(2, 7);
            interrupts += pit_advance(&pit, now);
        }
    }
    assert_int_equal(interrupts, 10 * ARRAY_SIZE(commands));
    program(0, 0, 100);
    pass(150);
    wr(3, 0);
    wr(0, 50);                          /* half of a new count: the old one goes on */
    assert_true(pit_advance(&pit, now));
    program(0, 0, 100);
    pass(50);
    wr(3, 0x34);                        /* a new mode that waits for its count */
    assert_true(pit.next_edge == MACHINE_TIME_NEVER);
}

static void refresh_toggles(void **state)
{
    unsigned changes = 0, last = pit_read_control(&pit, now) & 0x10;
    (void)state;
    pit_write_control(&pit, 0xff, now);
    assert_int_equal(pit_read_control(&pit, now) & 0xcf, 0x0f);
    for (unsigned i = 0; i < 1000; i++) {
        pass(6); /* 5 microseconds */
        changes += (pit_read_control(&pit, now) & 0x10) != last;
        last = pit_read_control(&pit, now) & 0x10;
    }
    assert_in_range(changes, 320, 340);
}

/* Any accesses at any times, and any state a peer may send: the sanitizers watch, and deadlines lie ahead. */
static void anything(void **state)
{
    uint32_t random = 7;
    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        random = random * 1664525 + 1013904223;
        now.now += random >> 12 & 0xffff;
        switch (random >> 28) {
        case 0: pit_write_control(&pit, (uint8_t)(random >> 4), now); break;
        case 1: pit_read_control(&pit, now); break;
        case 2: pit_advance(&pit, now); break;
        case 3: pit.channel[random % 3].start = (uint64_t)random << 33; break;
        case 4: pit.channel[random % 3].held = (uint64_t)random << 35; break;
        case 5: case 6: case 7: rd(random >> 8 & 3); break;
        default: wr(random >> 8 & 3, random >> 16); break;
        }
        pit_advance(&pit, now);
        assert_true(pit.next_edge > now.now);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(interrupt_on_terminal_count), T(rate_generator), T(square_wave), T(largest_count_and_bcd),
        T(calibration_by_the_speaker), T(one_shot), T(strobe), T(latches), T(no_flood),
        T(commands_that_move_no_edge), T(refresh_toggles), T(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
