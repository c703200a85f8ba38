/*
 * A flight record for human eyes. Numbers come from the record as they are; the only arithmetic is units, the ratio of
 * downtime to floor, and lengths of phases.
 */
#ifndef TELEPOD_TOOLS_REPORT_H
#define TELEPOD_TOOLS_REPORT_H

#include <cjson/cJSON.h>
#include <stdio.h>

/* The progress line of one round, as it happens. */
void report_round(const cJSON *round, FILE *out);
/* The whole: rounds, phases, downtime against floor, total, clock, audit. */
void report_flight(const cJSON *flight, FILE *out);
/* A saved record, alone or in a reply's "flight". 0; 2: it cannot be read, or is no flight record (said on stderr). */
int report_file(const char *path, FILE *out);

#endif
