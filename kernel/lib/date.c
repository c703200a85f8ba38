/* Days are counted in years that begin in March, so that the leap day comes last, and months have a regular pattern. */
#include "kernel/lib/date.h"

#define SECONDS_A_DAY 86400u
#define DAYS_A_YEAR 365u
#define DAYS_4_YEARS (4 * DAYS_A_YEAR + 1)
#define DAYS_100_YEARS (25 * DAYS_4_YEARS - 1)
#define DAYS_400_YEARS (4 * DAYS_100_YEARS + 1)
#define MARCH 3
#define DAYS_TO_EPOCH 719468u       /* from the 1st of March of year 0 to 1970-01-01 */
#define WEEKDAY_OF_EPOCH 4          /* a Thursday, from Sunday = 0 */
#define YEAR_MIN 1970
#define YEAR_MAX 9999

/* Days of a year that begins in March before its month `m` (March is 0): 31 30 31 30 31, twice, and 31. */
static uint32_t days_before_month(uint32_t m)
{
    return (153 * m + 2) / 5;
}

static uint64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
    uint32_t months = month ? month - 1 : 0;
    year += months / 12;
    month = months % 12 + 1;
    uint32_t y = month < MARCH ? year - 1 : year, m = month < MARCH ? month + 12 - MARCH : month - MARCH;
    uint64_t days = (uint64_t)y * DAYS_A_YEAR + y / 4 - y / 100 + y / 400 + days_before_month(m) + day - 1;
    return days < DAYS_TO_EPOCH ? 0 : days - DAYS_TO_EPOCH;
}

uint64_t date_to_unix(const struct date *date)
{
    uint32_t year = date->year < YEAR_MIN ? YEAR_MIN : date->year;
    return days_of(year, date->month, date->day ? date->day : 1) * SECONDS_A_DAY + date->hour * 3600ull +
           date->minute * 60ull + date->second;
}

struct date date_from_unix(uint64_t seconds)
{
    uint64_t days = seconds / SECONDS_A_DAY + DAYS_TO_EPOCH;
    uint32_t rest = (uint32_t)(seconds % SECONDS_A_DAY);
    uint32_t era_day = (uint32_t)(days % DAYS_400_YEARS);
    uint32_t year_of_era = (era_day - era_day / (DAYS_4_YEARS - 1) + era_day / DAYS_100_YEARS -
                            era_day / (DAYS_400_YEARS - 1)) / DAYS_A_YEAR;
    uint32_t day_of_year = era_day - (DAYS_A_YEAR * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t m = (5 * day_of_year + 2) / 153;
    struct date date = {
        .year = year_of_era + (uint32_t)(days / DAYS_400_YEARS) * 400 + (m >= 10),
        .month = m < 10 ? m + MARCH : m + MARCH - 12,
        .day = day_of_year - days_before_month(m) + 1,
        .hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60,
        .weekday = (uint32_t)((seconds / SECONDS_A_DAY + WEEKDAY_OF_EPOCH) % 7) + 1,
    };
    return date;
}

bool date_is_valid(const struct date *date)
{
    if (date->year < YEAR_MIN || date->year > YEAR_MAX || date->month < 1 || date->month > 12 || date->day < 1 ||
        date->hour > 23 || date->minute > 59 || date->second > 59)
        return false;
    struct date back = date_from_unix(date_to_unix(date));
    return back.month == date->month && back.day == date->day;
}
