/* The memory map stays sorted while it grows; ranges that continue their lower neighbour just make that one
   longer. */
#include <stdbool.h>
#include <string.h>
#include "boot/memory_map.h"
#include "kernel/lib/addr.h"

static uint64_t end_of(const struct boot_memory *m)
{
    return m->base + m->size;
}

static bool continues(const struct boot_memory *low, const struct boot_memory *high)
{
    return end_of(low) == high->base && low->type == high->type;
}

enum err memory_map_add(struct boot_info *info, uint64_t base, uint64_t size, uint32_t type)
{
    struct boot_memory new = { .base = base, .size = size, .type = type }, *list = info->memory;
    uint32_t at = info->memory_count;

    if (size == 0)
        return OK;
    if (((base | size) & PAGE_MASK) != 0 || base + size < base)
        return ERR_RANGE;
    while (at > 0 && list[at - 1].base > base)
        at--;
    if (at > 0 && continues(&list[at - 1], &new)) {
        list[at - 1].size += size;
        return OK;
    }
    if (info->memory_count == BOOT_MEMORY_MAX)
        return ERR_RANGE;
    memmove(&list[at + 1], &list[at], (info->memory_count - at) * sizeof(*list));
    list[at] = new;
    info->memory_count++;
    return OK;
}

enum err memory_map_finish(struct boot_info *info)
{
    struct boot_memory *list = info->memory;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < info->memory_count; i++) {
        if (kept > 0 && end_of(&list[kept - 1]) > list[i].base)
            return ERR_INVALID;
        if (kept > 0 && continues(&list[kept - 1], &list[i]))
            list[kept - 1].size += list[i].size;
        else
            list[kept++] = list[i];
    }
    memset(&list[kept], 0, (info->memory_count - kept) * sizeof(*list));
    info->memory_count = kept;
    return OK;
}
