/*
 * The machine's memory as struct boot_info lists it: sorted, without overlap, neighbours of one type merged.
 * Pure. Add every range that the firmware knows, in any order, and finish.
 */
#ifndef TELEPOD_BOOT_MEMORY_MAP_H
#define TELEPOD_BOOT_MEMORY_MAP_H

#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/lib/err.h"

/*
 * Adds a range of type enum boot_memory_type at info->memory[info->memory_count]. Size 0 adds nothing.
 * ERR_RANGE: the list is full, or the range is not of whole pages or wraps around.
 */
enum err memory_map_add(struct boot_info *info, uint64_t base, uint64_t size, uint32_t type);
/* Merges neighbours, now that the list is complete. ERR_INVALID: two ranges overlap. */
enum err memory_map_finish(struct boot_info *info);

#endif
