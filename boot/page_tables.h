/*
 * The page tables that the kernel starts on, as boot_info.h promises them: all RAM and the first 4 GiB at 0
 * and at DIRECT_MAP_BASE, the kernel's segments at their linked addresses with the rights that they ask for.
 * Pure: entries hold the arena's own addresses, which are physical ones in the loader. SDM volume 3, section
 * 4.5 "4-Level Paging and 5-Level Paging".
 */
#ifndef TELEPOD_BOOT_PAGE_TABLES_H
#define TELEPOD_BOOT_PAGE_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include "boot/boot_info.h"
#include "boot/elf.h"

struct page_arena {
    uint64_t base;  /* page aligned, readable and writable at this address */
    uint64_t size;  /* bytes */
    uint64_t used;  /* bytes, from the start */
};

/* Bytes that the tables of this machine and kernel need at most. Needs info->memory. */
uint64_t page_tables_size(const struct boot_info *info, const struct elf_image *image, bool gib_pages);
/*
 * Builds the tables in the arena and returns CR3's value; 0: the arena is too small. `gib_pages`: the
 * processor has 1 GiB pages (CPUID.80000001H:EDX[26]). Needs info->memory and info->kernel_base.
 */
uint64_t page_tables_build(struct page_arena *arena, const struct boot_info *info,
                           const struct elf_image *image, bool gib_pages);

#endif
