/* Is a range of memory all zeros? Pure. */
#ifndef TELEPOD_ZERO_H
#define TELEPOD_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* Any alignment, any n (0: true). Gives up within 256 bytes of the first byte that is not 0. */
bool memory_is_zero(const void *page, size_t n);

#endif
