/* The MC146818 of a PC, at ports 70h and 71h (data sheet, "Programmer's Model"), as its register B says that it counts. */
#include "kernel/wall_clock.h"

#include <stdbool.h>
#include "kernel/arch/insn.h"
#include "kernel/lib/date.h"
#include "kernel/log.h"
#include "kernel/time.h"

#define PORT_INDEX 0x70
#define PORT_DATA 0x71
enum { SECOND = 0, MINUTE = 2, HOUR = 4, DAY = 7, MONTH = 8, YEAR = 9, REGISTER_A = 10, REGISTER_B = 11 };
#define A_UPDATE_IN_PROGRESS 0x80
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define HOUR_PM 0x80
#define PIVOT 70                /* the century byte has no fixed place: years 70 to 99 are 19.., the others 20.. */
#define WAIT_MS 1100
#define READINGS_MAX 5

static uint64_t base_seconds, base_tsc;

static uint8_t read_byte(uint8_t index)
{
    outb(PORT_INDEX, index);
    return inb(PORT_DATA);
}

static uint32_t decode(uint8_t value, uint8_t b)
{
    return b & B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static uint32_t decode_hour(uint8_t value, uint8_t b)
{
    if (b & B_24_HOURS)
        return decode(value, b);
    return decode(value & (uint8_t)~HOUR_PM, b) % 12 + (value & HOUR_PM ? 12 : 0);
}

static uint32_t full_year(uint32_t two_digits)
{
    return two_digits + (two_digits < PIVOT ? 2000 : 1900);
}

static struct date read_date(void)
{
    uint8_t b = read_byte(REGISTER_B);
    uint64_t end = time_after_ms(WAIT_MS);
    while ((read_byte(REGISTER_A) & A_UPDATE_IN_PROGRESS) && time_now() < end)
        pause();
    return (struct date){
        .year = full_year(decode(read_byte(YEAR), b)), .month = decode(read_byte(MONTH), b),
        .day = decode(read_byte(DAY), b), .hour = decode_hour(read_byte(HOUR), b),
        .minute = decode(read_byte(MINUTE), b), .second = decode(read_byte(SECOND), b),
    };
}

/* Two readings that agree were not torn by an update. */
void wall_clock_init(void)
{
    struct date date = read_date();
    for (unsigned i = 0; i < READINGS_MAX; i++) {
        struct date again = read_date();
        bool agree = date_to_unix(&date) == date_to_unix(&again);
        date = again;
        if (agree)
            break;
    }
    base_tsc = time_now();
    base_seconds = date_is_valid(&date) ? date_to_unix(&date) : 0;
    log_info("boot", "the time of day is %u-%02u-%02u %02u:%02u:%02u%s", (unsigned)date.year, (unsigned)date.month,
             (unsigned)date.day, (unsigned)date.hour, (unsigned)date.minute, (unsigned)date.second,
             date_is_valid(&date) ? "" : ": no valid one, guests begin at 1970");
}

uint64_t wall_clock_now(void)
{
    return base_seconds + (time_now() - base_tsc) / time_tsc_hz();
}
