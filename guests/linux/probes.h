/* Answers to an observer's probes; see probes.c. */
#ifndef TELEPOD_GUESTS_LINUX_PROBES_H
#define TELEPOD_GUESTS_LINUX_PROBES_H

#include <stdint.h>

/* Returns only when there is no socket to be had: 1. */
int probes_run(uint64_t tsc_khz);

#endif
