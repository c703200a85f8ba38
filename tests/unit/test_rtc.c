/* The calendar, and the MC146818 on top of it: time of day in all formats, setting it, three kinds of interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "kernel/lib/date.h"
#include "kernel/lib/util.h"
#include "vmx/devices/rtc.h"

#define HZ 50000000ull
#define T0 946681200ull             /* 1999-12-31 23:00:00 */
static struct rtc rtc;
static struct machine_time now;

static int setup(void **state)
{
    (void)state;
    now = (struct machine_time){ 1000, HZ };
    rtc_reset(&rtc, T0, now);
    return 0;
}

static unsigned rd(unsigned index)
{
    rtc_write(&rtc, 0, (uint8_t)index, now);
    return rtc_read(&rtc, 1, now);
}

static void wr(unsigned index, unsigned value)
{
    rtc_write(&rtc, 0, (uint8_t)index, now);
    rtc_write(&rtc, 1, (uint8_t)value, now);
}

static void calendar(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 253402300800ull; t += 86400 * 17 + 12345) { /* to the year 9999, against the C library */
        time_t c_time = (time_t)t;
        struct tm tm;
        gmtime_r(&c_time, &tm);
        struct date date = date_from_unix(t);
        assert_int_equal(date.year, tm.tm_year + 1900);
        assert_int_equal(date.month, tm.tm_mon + 1);
        assert_int_equal(date.day, tm.tm_mday);
        assert_int_equal(date.hour * 3600 + date.minute * 60 + date.second, tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        assert_int_equal(date.weekday, tm.tm_wday + 1);
        assert_int_equal(date_to_unix(&date), t);
        assert_true(date_is_valid(&date));
    }
    assert_false(date_is_valid(&(struct date){ .year = 2001, .month = 2, .day = 29 }));
    assert_true(date_is_valid(&(struct date){ .year = 2000, .month = 2, .day = 29 }));
    assert_false(date_is_valid(&(struct date){ .year = 2000, .month = 13, .day = 1 }));
    assert_false(date_is_valid(&(struct date){ .year = 2000, .month = 1, .day = 1, .hour = 24 }));
    date_to_unix(&(struct date){ .year = UINT32_MAX, .month = UINT32_MAX, .day = UINT32_MAX });
}

static void time_of_day(void **state)
{
    (void)state;
    now.now += 3599 * HZ;
    static const struct { unsigned index, value; } expected[] = {
        { 0, 0x59 }, { 2, 0x59 }, { 4, 0x23 }, { 6, 6 }, { 7, 0x31 }, { 8, 0x12 }, { 9, 0x99 }, { 0x32, 0x19 }, { 13, 0x80 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(rd(expected[i].index), expected[i].value);
    now.now += HZ;
    assert_int_equal(rd(0) | rd(2) | rd(4), 0);
    assert_int_equal(rd(9), 0);
    assert_int_equal(rd(0x32), 0x20);
    wr(11, 0x04); /* binary, 12 hours */
    assert_int_equal(rd(4), 12);
    now.now += 13 * 3600 * HZ;
    assert_int_equal(rd(4), 0x81);
    assert_int_equal(rtc_read(&rtc, 0, now), 0xff);
}

static void update_in_progress(void **state)
{
    (void)state;
    assert_int_equal(rd(10), 0x26);
    now.now += HZ - HZ / 10000;
    assert_int_equal(rd(10), 0xa6);
    now.now += HZ / 10000;
    assert_int_equal(rd(10), 0x26);
}

static void setting_the_time(void **state)
{
    (void)state;
    wr(11, 0x82); /* SET: the clock stands */
    now.now += 10 * HZ;
    assert_int_equal(rd(0), 0);
    wr(0, 0x30);
    wr(2, 0x15);
    wr(4, 0x08);
    wr(7, 0x29);
    wr(8, 0x02);
    wr(9, 0x24);
    wr(0x32, 0x20);
    wr(11, 0x02);
    now.now += HZ;
    assert_int_equal(rd(0), 0x31);
    assert_int_equal(rd(4), 0x08);
    assert_int_equal(rd(7), 0x29);
    assert_int_equal(rd(6), 5); /* 2024-02-29 was a Thursday */
    wr(2, 0x20); /* without SET: at once */
    assert_int_equal(rd(2), 0x20);
    assert_int_equal(rd(0), 0x31);
}

static void periodic_interrupt(void **state)
{
    (void)state;
    assert_true(rtc_next_deadline(&rtc, now) == MACHINE_TIME_NEVER);
    wr(11, 0x42); /* PIE; the rate is 1024 Hz */
    uint64_t deadline = rtc_next_deadline(&rtc, now);
    assert_in_range(deadline - now.now, 1, HZ / 1024 + 1);
    now.now = deadline - 1;
    rtc_advance(&rtc, now);
    assert_false(rtc_interrupt(&rtc));
    now.now = deadline;
    rtc_advance(&rtc, now);
    assert_true(rtc_interrupt(&rtc));
    assert_true(rtc_next_deadline(&rtc, now) == MACHINE_TIME_NEVER); /* not before register C is read */
    assert_int_equal(rd(12), 0xc0);
    assert_false(rtc_interrupt(&rtc));
    assert_int_equal(rd(12), 0);
    assert_in_range(rtc_next_deadline(&rtc, now), now.now + 1, now.now + HZ / 1024 + 1);
    wr(10, 0x20); /* rate 0: off */
    assert_true(rtc_next_deadline(&rtc, now) == MACHINE_TIME_NEVER);
}

static void update_interrupt(void **state)
{
    (void)state;
    now.now += HZ / 2;
    wr(11, 0x12);
    assert_int_equal(rtc_next_deadline(&rtc, now), 1000 + HZ);
    now.now = 1000 + HZ;
    rtc_advance(&rtc, now);
    assert_true(rtc_interrupt(&rtc));
    assert_int_equal(rd(12) & 0x90, 0x90);
}

static void alarm_interrupt(void **state)
{
    (void)state;
    wr(1, 0x30);
    wr(3, 0x05);
    wr(5, 0xff); /* any hour */
    wr(11, 0x22);
    assert_int_equal(rtc_next_deadline(&rtc, now), 1000 + (5 * 60 + 30) * HZ);
    now.now = 1000 + 330 * HZ - 1;
    rtc_advance(&rtc, now);
    assert_false(rtc_interrupt(&rtc));
    now.now++;
    rtc_advance(&rtc, now);
    assert_true(rtc_interrupt(&rtc));
    assert_int_equal(rd(12) & 0xa0, 0xa0);
    assert_int_equal(rtc_next_deadline(&rtc, now), 1000 + (3600 + 330) * HZ);
    wr(5, 0x02);
    assert_int_equal(rtc_next_deadline(&rtc, now), 1000 + (3 * 3600 + 330) * HZ);
    wr(1, 0x7f); /* no second is like that */
    assert_true(rtc_next_deadline(&rtc, now) == MACHINE_TIME_NEVER);
}

static void cmos_memory_and_ports(void **state)
{
    (void)state;
    wr(0x40, 0xa5);
    assert_int_equal(rd(0x40), 0xa5);
    rtc_write(&rtc, 0, 0xc0, now);
    assert_int_equal(rtc.nmi_masked, 1);
    assert_int_equal(rtc_read(&rtc, 1, now), 0xa5);
    wr(12, 0xff);
    wr(13, 0);
    assert_int_equal(rd(13), 0x80);
    wr(10, 0xff);
    assert_int_equal(rd(10) & 0x80, 0);
}

/* A machine that moves: the state travels, the machine's time goes on, and so does the time of day. */
static void survives_a_move(void **state)
{
    uint8_t wire[256];
    char why[128];
    struct rtc there;
    (void)state;
    now.now += 90 * HZ + HZ / 2;
    rd(0);
    section_save(&rtc_section, &rtc, wire);
    memset(&there, 0, sizeof there);
    assert_int_equal(section_load(&rtc_section, &there, wire, section_wire_size(&rtc_section), why, sizeof why), OK);
    assert_memory_equal(&there, &rtc, sizeof rtc);
    now.now += HZ / 2;
    assert_int_equal(rd(0), 0x31);
    rtc.memory[12] = 1;
    section_save(&rtc_section, &rtc, wire);
    assert_int_equal(section_load(&rtc_section, &there, wire, section_wire_size(&rtc_section), why, sizeof why), ERR_INVALID);
}

static void anything(void **state)
{
    uint32_t random = 3;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        now.now += (uint64_t)(random >> 16) << (random >> 4 & 15);
        if (random & 1 << 30)
            wr(random >> 8 & (random & 1 << 29 ? 0xff : 0xf), random >> 16);
        else
            rd(random >> 8 & 0xff);
        rtc_advance(&rtc, now);
        assert_true(rtc_next_deadline(&rtc, now) > now.now);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(calendar), T(time_of_day), T(update_in_progress), T(setting_the_time), T(periodic_interrupt), T(update_interrupt),
        T(alarm_interrupt), T(cmos_memory_and_ports), T(survives_a_move), T(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
