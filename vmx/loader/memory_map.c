/* See memory_map.h. */
#include "kernel/lib/util.h"
#include "vmx/loader/loader.h"
#include "vmx/loader/memory_map.h"

uint32_t memory_map_make(uint64_t memory_bytes, struct memory_range out[MEMORY_MAP_MAX])
{
    uint64_t low = MIN(memory_bytes, MEMORY_LOW_END);
    const struct memory_range all[MEMORY_MAP_MAX] = {
        { 0, LOW_MEMORY_END, E820_RAM },
        { LOW_MEMORY_END, FIRMWARE_END - LOW_MEMORY_END, E820_RESERVED },
        { FIRMWARE_END, low > FIRMWARE_END ? low - FIRMWARE_END : 0, E820_RAM },
        { MEMORY_HIGH_START, memory_bytes - low, E820_RAM },
    };
    uint32_t count = 0;

    for (uint32_t i = 0; i < MEMORY_MAP_MAX; i++)
        if (all[i].size > 0)
            out[count++] = all[i];
    return count;
}
