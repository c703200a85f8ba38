/*
 * The physical page allocator: buddies of 4 KiB to 2 MiB (order 0 to 9). Every frame under its care is free
 * or has exactly one owner. All RAM is reachable through the direct map. Any CPU may call (one spinlock
 * inside). The lowest addresses are handed out first, so that early allocations lie below 4 GiB.
 */
#ifndef TELEPOD_PAGE_H
#define TELEPOD_PAGE_H

#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define PAGE_ORDER_MAX 9 /* 2 MiB */

/* Takes all USABLE memory above 1 MiB; what is below is kept for the start of other CPUs. */
void page_init(const struct boot_info *info);
/* Gives LOADER memory back when its content is used up. Whole frames; size 0 is nothing. */
void page_add_range(struct hpa base, uint64_t size);

/* 2^order frames, naturally aligned, content undefined. ERR_NO_MEMORY. The caller owns them. */
enum err page_alloc(unsigned order, struct hpa *out);
/* The same, filled with zeros. */
enum err page_alloc_zeroed(unsigned order, struct hpa *out);
/* Freeing what is not allocated as exactly this block is our bug: panic. */
void page_free(struct hpa base, unsigned order);
/* The order of the allocated block that begins at `base`; no such block: panic. */
unsigned page_block_order(struct hpa base);

uint64_t page_free_count(void);      /* frames of 4 KiB that are free now */
uint64_t page_free_large_count(void);/* free blocks of 2 MiB (each counts as 512 in page_free_count too) */
uint64_t page_total_count(void);     /* frames under the allocator's care */
/* One free frame below 1 MiB for the AP trampoline, chosen at page_init; raw 0: none. */
struct hpa page_low_frame(void);

/* Host tests define this as 0: there, host-physical addresses are pointers. */
#ifndef PAGE_DIRECT_MAP
#define PAGE_DIRECT_MAP DIRECT_MAP_BASE
#endif
static inline void *hpa_to_virt(struct hpa a) { return (void *)(PAGE_DIRECT_MAP + a.raw); }
/* Only for addresses in the direct map. */
static inline struct hpa virt_to_hpa(const void *p) { return (struct hpa){ (uint64_t)p - PAGE_DIRECT_MAP }; }

#endif
