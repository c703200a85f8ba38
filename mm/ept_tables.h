/* The tables of an EPT as ept.c (mapping) and ept_tracking.c (dirty frames) both see them. */
#ifndef TELEPOD_EPT_TABLES_H
#define TELEPOD_EPT_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/util.h"
#include "mm/ept.h"

#define ENTRIES 512u
#define LEVELS 4u /* 4: PML4, 3: page-directory-pointer table, 2: page directory, 1: page table */
#define LARGE_LEVEL 2u          /* an entry of this level with EPT_LARGE maps 2 MiB */
#define INDEX_BITS 9u
#define EPT_RWX (EPT_READ | EPT_WRITE | EPT_EXECUTE)
/*
 * Write-back, whatever the guest's PAT says (SDM 29.3.7.2 "Memory Type Used for Translated Guest-Physical Addresses"): it has
 * no device, we read its memory through a write-back mapping, and a locked access to uncached memory would lock the bus for all.
 */
#define LEAF_FLAGS (EPT_RWX | EPT_MEMORY_TYPE_WB | EPT_IGNORE_PAT)
#define LARGE_ADDRESS_MASK (EPT_ADDRESS_MASK & ~(LARGE_PAGE_SIZE - 1))

static inline bool is_present(uint64_t entry) { return entry & EPT_RWX; }
static inline bool is_large(uint64_t entry) { return entry & EPT_LARGE; }

/* Frames that one entry of a table of this level covers. */
static inline uint64_t frames_per_entry(unsigned level)
{
    return BIT(INDEX_BITS * (level - 1));
}

static inline uint64_t *table_at(const struct ept *ept, uint64_t entry)
{
    return ept->memory.to_virt(ept->memory.context, (struct hpa){ entry & EPT_ADDRESS_MASK });
}

static inline enum err new_table(struct ept *ept, struct hpa *table)
{
    enum err e = ept->memory.alloc_table(ept->memory.context, table);
    if (e == OK)
        ept->table_count++;
    return e;
}

static inline void drop_table(struct ept *ept, uint64_t entry)
{
    ept->memory.free_table(ept->memory.context, (struct hpa){ entry & EPT_ADDRESS_MASK });
    ept->table_count--;
}

#endif
