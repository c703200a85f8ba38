/* The time of day: read once from the machine's real-time clock, and counted on by the TSC. */
#ifndef TELEPOD_WALL_CLOCK_H
#define TELEPOD_WALL_CLOCK_H

#include <stdint.h>

void wall_clock_init(void);         /* after time_init */
uint64_t wall_clock_now(void);      /* seconds since 1970-01-01, UTC if the machine's clock runs in UTC */

#endif
