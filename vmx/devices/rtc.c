/* The MC146818: time of day from machine time, in the guest's format; three kinds of events; and the guest setting it all. */
#include "vmx/devices/rtc.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/date.h"
#include "kernel/lib/util.h"

enum rtc_byte {
    RTC_SECOND, RTC_SECOND_ALARM, RTC_MINUTE, RTC_MINUTE_ALARM, RTC_HOUR, RTC_HOUR_ALARM, RTC_WEEKDAY, RTC_DAY, RTC_MONTH,
    RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D,
    RTC_CENTURY = 0x32, /* the FADT says so */
};

#define A_UPDATE_IN_PROGRESS 0x80
#define A_RATE 0x0f
#define A_RESET 0x26            /* a running divider, 1024 Hz */
#define B_SET 0x80
#define B_PERIODIC 0x40         /* the same bits in C are the flags */
#define B_ALARM 0x20
#define B_UPDATE 0x10
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define C_INTERRUPT 0x80
#define C_FLAGS (B_PERIODIC | B_ALARM | B_UPDATE)
#define D_VALID 0x80
#define HOUR_PM 0x80
#define ALARM_ANY 0xc0          /* both upper bits set: every hour, minute or second */
#define PORT_NMI_MASK 0x80

#define BASE_HZ 32768u
#define UPDATE_US 244u          /* update-in-progress is seen that long before each second */
#define SECONDS_A_DAY 86400u

/* ---- time of day ---- */

static uint64_t seconds_since_base(const struct rtc *rtc, struct machine_time time)
{
    return time.now <= rtc->base_time ? 0 : (time.now - rtc->base_time) / time.hz;
}

static uint64_t time_of_day(const struct rtc *rtc, struct machine_time time)
{
    return rtc->base_seconds + seconds_since_base(rtc, time);
}

/* Machine time at which that second since the base begins. */
static uint64_t begin_of_second(const struct rtc *rtc, uint64_t seconds, uint64_t hz)
{
    uint64_t ticks;
    if (__builtin_mul_overflow(seconds, hz, &ticks) || ticks > MACHINE_TIME_NEVER - rtc->base_time)
        return MACHINE_TIME_NEVER;
    return rtc->base_time + ticks;
}

static bool is_being_set(const struct rtc *rtc)
{
    return rtc->memory[RTC_B] & B_SET;
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
    return (uint8_t)(rtc->memory[RTC_B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t byte)
{
    return rtc->memory[RTC_B] & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->memory[RTC_B] & B_24_HOURS)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->memory[RTC_B] & B_24_HOURS)
        return decode(rtc, byte);
    return decode(rtc, byte & (uint8_t)~HOUR_PM) % 12 + (byte & HOUR_PM ? 12 : 0);
}

/* The bytes of the time that it is now. */
static void show_time(struct rtc *rtc, struct machine_time time)
{
    struct date date = date_from_unix(time_of_day(rtc, time));
    rtc->memory[RTC_SECOND] = encode(rtc, date.second);
    rtc->memory[RTC_MINUTE] = encode(rtc, date.minute);
    rtc->memory[RTC_HOUR] = encode_hour(rtc, date.hour);
    rtc->memory[RTC_WEEKDAY] = encode(rtc, date.weekday);
    rtc->memory[RTC_DAY] = encode(rtc, date.day);
    rtc->memory[RTC_MONTH] = encode(rtc, date.month);
    rtc->memory[RTC_YEAR] = encode(rtc, date.year % 100);
    rtc->memory[RTC_CENTURY] = encode(rtc, date.year / 100);
}

/* From now on it is the time that the bytes say, at the begin of its second. */
static void set_time(struct rtc *rtc, struct machine_time time)
{
    struct date date = {
        .second = decode(rtc, rtc->memory[RTC_SECOND]), .minute = decode(rtc, rtc->memory[RTC_MINUTE]),
        .hour = decode_hour(rtc, rtc->memory[RTC_HOUR]), .day = decode(rtc, rtc->memory[RTC_DAY]),
        .month = decode(rtc, rtc->memory[RTC_MONTH]),
        .year = decode(rtc, rtc->memory[RTC_CENTURY]) * 100 + decode(rtc, rtc->memory[RTC_YEAR]),
    };
    rtc->base_seconds = date_to_unix(&date);
    rtc->base_time = rtc->seen = time.now;
}

void rtc_reset(struct rtc *rtc, uint64_t unix_seconds, struct machine_time time)
{
    memset(rtc, 0, sizeof *rtc);
    rtc->base_seconds = unix_seconds;
    rtc->base_time = rtc->seen = time.now;
    rtc->memory[RTC_A] = A_RESET;
    rtc->memory[RTC_B] = B_24_HOURS;
}

/* ---- events ---- */

/* Ticks of the base rate in one period of the periodic event; 0: it is off. Data sheet, table 5. */
static uint32_t periodic_divisor(const struct rtc *rtc)
{
    unsigned rate = rtc->memory[RTC_A] & A_RATE;
    if (rate == 0)
        return 0;
    return 1u << ((rate < 3 ? rate + 7 : rate) - 1);
}

static uint64_t periods(const struct rtc *rtc, struct machine_time time)
{
    return device_ticks_since(time, rtc->base_time, BASE_HZ) / periodic_divisor(rtc);
}

static bool alarm_matches(uint8_t alarm, unsigned value, unsigned wanted)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || value == wanted;
}

/* Is there a time at which it matches? An alarm that has none is not looked for: that would take a step a second of the day. */
static bool alarm_is_possible(uint8_t alarm, unsigned wanted, unsigned values)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || wanted < values;
}

/* The first second at or after `from`, of the time of day, at which the alarm matches; looks a day ahead. */
static uint64_t next_alarm(const struct rtc *rtc, uint64_t from)
{
    const uint8_t *m = rtc->memory;
    unsigned hour = decode_hour(rtc, m[RTC_HOUR_ALARM]), minute = decode(rtc, m[RTC_MINUTE_ALARM]);
    unsigned second = decode(rtc, m[RTC_SECOND_ALARM]);
    if (!alarm_is_possible(m[RTC_HOUR_ALARM], hour, 24) || !alarm_is_possible(m[RTC_MINUTE_ALARM], minute, 60) ||
        !alarm_is_possible(m[RTC_SECOND_ALARM], second, 60))
        return UINT64_MAX;
    for (uint64_t at = from; at <= from + SECONDS_A_DAY;) {
        unsigned of_day = (unsigned)(at % SECONDS_A_DAY);
        if (!alarm_matches(m[RTC_HOUR_ALARM], of_day / 3600, hour))
            at += 3600 - of_day % 3600;
        else if (!alarm_matches(m[RTC_MINUTE_ALARM], of_day / 60 % 60, minute))
            at += 60 - of_day % 60;
        else if (!alarm_matches(m[RTC_SECOND_ALARM], of_day % 60, second))
            at++;
        else
            return at;
    }
    return UINT64_MAX;
}

void rtc_advance(struct rtc *rtc, struct machine_time time)
{
    const struct machine_time before = { rtc->seen, time.hz };
    uint8_t flags = 0;
    if (time.now <= rtc->seen)
        return;
    uint64_t old = time_of_day(rtc, before), new = time_of_day(rtc, time);
    if (new != old && !is_being_set(rtc))
        flags |= B_UPDATE | (next_alarm(rtc, old + 1) <= new ? B_ALARM : 0);
    if (periodic_divisor(rtc) && periods(rtc, time) != periods(rtc, before))
        flags |= B_PERIODIC;
    rtc->memory[RTC_C] |= flags;
    rtc->seen = time.now;
}

bool rtc_interrupt(const struct rtc *rtc)
{
    return rtc->memory[RTC_C] & rtc->memory[RTC_B] & C_FLAGS;
}

/* Only events that would raise the line, which is low, count. */
uint64_t rtc_next_deadline(const struct rtc *rtc, struct machine_time time)
{
    uint8_t enabled = rtc->memory[RTC_B] & C_FLAGS;
    uint64_t deadline = MACHINE_TIME_NEVER, since = seconds_since_base(rtc, time);
    if (rtc_interrupt(rtc))
        return MACHINE_TIME_NEVER;
    if ((enabled & B_PERIODIC) && periodic_divisor(rtc))
        deadline = machine_time_after(rtc->base_time, (periods(rtc, time) + 1) * periodic_divisor(rtc), BASE_HZ, time.hz);
    if (is_being_set(rtc))
        return deadline;
    if (enabled & B_UPDATE)
        deadline = MIN(deadline, begin_of_second(rtc, since + 1, time.hz));
    if (enabled & B_ALARM) {
        uint64_t alarm = next_alarm(rtc, rtc->base_seconds + since + 1);
        if (alarm != UINT64_MAX)
            deadline = MIN(deadline, begin_of_second(rtc, alarm - rtc->base_seconds, time.hz));
    }
    return deadline;
}

/* ---- ports ---- */

static bool is_time(uint8_t index)
{
    return index == RTC_SECOND || index == RTC_MINUTE || index == RTC_HOUR || (index >= RTC_WEEKDAY && index <= RTC_YEAR) ||
           index == RTC_CENTURY;
}

static bool update_in_progress(const struct rtc *rtc, struct machine_time time)
{
    uint64_t next = begin_of_second(rtc, seconds_since_base(rtc, time) + 1, time.hz);
    return !is_being_set(rtc) && next - time.now <= time.hz / US_PER_S * UPDATE_US;
}

static uint8_t read_c(struct rtc *rtc)
{
    uint8_t value = rtc->memory[RTC_C] | (rtc_interrupt(rtc) ? C_INTERRUPT : 0);
    rtc->memory[RTC_C] = 0;
    return value;
}

uint8_t rtc_read(struct rtc *rtc, unsigned offset, struct machine_time time)
{
    if (offset == 0)
        return 0xff; /* the index port is write-only */
    rtc_advance(rtc, time);
    if (rtc->index == RTC_A)
        return rtc->memory[RTC_A] | (update_in_progress(rtc, time) ? A_UPDATE_IN_PROGRESS : 0);
    if (rtc->index == RTC_C)
        return read_c(rtc);
    if (rtc->index == RTC_D)
        return D_VALID;
    if (is_time(rtc->index) && !is_being_set(rtc))
        show_time(rtc, time);
    return rtc->memory[rtc->index % RTC_BYTES];
}

/* Setting begins with the time that it is, and ends with what it then says. */
static void write_b(struct rtc *rtc, uint8_t value, struct machine_time time)
{
    bool was = is_being_set(rtc), will = value & B_SET;
    if (!was && will)
        show_time(rtc, time);
    if (was && !will)
        set_time(rtc, time);
    rtc->memory[RTC_B] = value;
}

static void write_time(struct rtc *rtc, uint8_t value, struct machine_time time)
{
    if (is_being_set(rtc)) {
        rtc->memory[rtc->index] = value;
        return;
    }
    show_time(rtc, time);
    rtc->memory[rtc->index] = value;
    set_time(rtc, time);
}

void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value, struct machine_time time)
{
    if (offset == 0) {
        rtc->index = value & (RTC_BYTES - 1);
        rtc->nmi_masked = (value & PORT_NMI_MASK) != 0;
        return;
    }
    rtc_advance(rtc, time);
    if (rtc->index == RTC_A)
        rtc->memory[RTC_A] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
    else if (rtc->index == RTC_B)
        write_b(rtc, value, time);
    else if (is_time(rtc->index))
        write_time(rtc, value, time);
    else if (rtc->index != RTC_C && rtc->index != RTC_D)
        rtc->memory[rtc->index % RTC_BYTES] = value;
}

/* ---- state ---- */

static enum err rtc_check(const void *decoded, char *why, size_t why_size)
{
    const struct rtc *rtc = decoded;
    if ((rtc->memory[RTC_C] & ~C_FLAGS) || (rtc->memory[RTC_A] & A_UPDATE_IN_PROGRESS)) {
        snprintf(why, why_size, "section rtc: registers A 0x%x, C 0x%x: no clock can be in that state",
                 rtc->memory[RTC_A], rtc->memory[RTC_C]);
        return ERR_INVALID;
    }
    return OK;
}

/* Far beyond the year 9999, and far from where sums of seconds would overflow. */
#define SECONDS_MAX (BIT(40) - 1)

static const struct field rtc_fields[] = {
    FIELD(struct rtc, index, RTC_BYTES - 1),
    FIELD(struct rtc, nmi_masked, 1),
    FIELD_ARRAY(struct rtc, memory, 0),
    FIELD(struct rtc, base_seconds, SECONDS_MAX),
    FIELD(struct rtc, base_time, 0),
    FIELD(struct rtc, seen, 0),
};
const struct section rtc_section = {
    .name = "rtc", .version = 1, .fields = rtc_fields, .field_count = ARRAY_SIZE(rtc_fields),
    .struct_size = sizeof(struct rtc), .check = rtc_check,
};
