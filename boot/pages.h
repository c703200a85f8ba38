/*
 * LOADER memory: whole pages of type EfiLoaderData, which outlive boot services. When the loader fails they
 * all go back, so that the firmware can go on with the machine as it was.
 */
#ifndef TELEPOD_BOOT_PAGES_H
#define TELEPOD_BOOT_PAGES_H

#include <stdint.h>
#include "kernel/lib/err.h"

/* At least `size` bytes (not 0), page aligned, physically contiguous, not cleared. ERR_NO_MEMORY. */
enum err pages_alloc(uint64_t size, uint64_t *base);
/* `base` of pages_alloc(); 0 is accepted. */
void pages_free(uint64_t base);
void pages_free_all(void);

#endif
