/* What the memory room costs, measured in the running machine. */
#ifndef TELEPOD_MM_BENCHMARK_H
#define TELEPOD_MM_BENCHMARK_H

#include <stdint.h>
#include "kernel/lib/err.h"

/*
 * TSC ticks (instructions, where the TSC counts them) of one harvest of a tracked 256 MiB guest, of whose 65,536 frames 100
 * are written, each under a page table of its own. ERR_NO_MEMORY; ERR_CORRUPT: the harvest
 * found other frames than those that were written.
 */
enum err mm_benchmark_harvest(uint64_t *ticks);

#endif
