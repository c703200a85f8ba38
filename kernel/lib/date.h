/* The civil calendar and seconds since 1970-01-01 00:00:00, as Unix counts them. Pure. Years 1970 to 9999. */
#ifndef TELEPOD_DATE_H
#define TELEPOD_DATE_H

#include <stdbool.h>
#include <stdint.h>

struct date {
    uint32_t year;
    uint32_t month, day;            /* from 1 */
    uint32_t hour, minute, second;
    uint32_t weekday;               /* 1: Sunday; ignored by date_to_unix */
};

struct date date_from_unix(uint64_t seconds);
/* Parts that are out of range count on: the 31st of February is the 3rd of March, or the 2nd. Month 0 counts as 1. */
uint64_t date_to_unix(const struct date *date);
/* Is every part in its range, and the day one of its month? */
bool date_is_valid(const struct date *date);

#endif
