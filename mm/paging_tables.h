/*
 * The kernel's page tables, for the files of paging.h: paging.c (the tables), paging_start.c (what is mapped at boot), and
 * paging_windows.c (stacks, device registers, blocks). Callers hold paging_lock, but at boot.
 */
#ifndef TELEPOD_PAGING_TABLES_H
#define TELEPOD_PAGING_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"
#include "kernel/spinlock.h"

#define ENTRY_ADDRESS_MASK 0x000ffffffffff000ULL

extern struct spinlock paging_lock;     /* the tables, and the windows' cursors and pool */

/* An empty address space, not in use yet; returns the highest level that may map pages: 2 (2 MiB) or 3 (1 GiB). */
unsigned paging_tables_make(void);
/* The entry for `virt` at `level`, or at a higher one if the walk ends there (large page, or not present). */
uint64_t *paging_find_entry(uint64_t virt, unsigned level);
/* Maps in pages as large as possible, up to max_level. *done: the bytes that were mapped, also on an error. */
enum err paging_map_range(uint64_t virt, uint64_t phys, uint64_t size, unsigned flags, unsigned max_level, uint64_t *done);
/* In pages of 4 KiB; all or nothing. */
enum err paging_map_small(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags);
/* Only for ranges that were mapped with max_level 1. */
void paging_unmap_range(uint64_t virt, uint64_t size);
/* Can the processor address it? */
bool paging_is_physical(struct hpa phys, uint64_t size);

#endif
