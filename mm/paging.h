/*
 * The kernel's own address space, after the loader's tables are left behind:
 *   DIRECT_MAP_BASE   all RAM, never executable; writable but for ACPI tables and the kernel's text and rodata
 *   VMAP_BASE         stacks, each with an unmapped guard page below; device registers (uncached)
 *   HEAP_BASE         the kernel heap
 *   BLOCKS_BASE       large things that come and go: 2 MiB pages in a row, at addresses that are used once
 *   KERNEL_BASE       text read+execute, rodata read, data and bss read+write: W^X, nothing is both
 * The low half is empty: a NULL pointer faults.
 */
#ifndef TELEPOD_PAGING_H
#define TELEPOD_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define VMAP_BASE 0xffffc00000000000ULL
#define HEAP_BASE 0xffffd00000000000ULL
#define HEAP_MAX_BYTES (256 * MIB)
#define BLOCKS_BASE 0xffffe00000000000ULL
#define BLOCKS_MAX_BYTES (16 * 1024 * GIB)   /* ever, not at a time */

enum paging_flags { PAGING_READ = 0, PAGING_WRITE = 1, PAGING_EXECUTE = 2, PAGING_UNCACHED = 4 };

/* Builds the tables and loads CR3; on the bootstrap processor. */
void paging_init(const struct boot_info *info);
uint64_t paging_cr3(void);                             /* for the other CPUs and the VMCS host state */
/*
 * Maps size bytes (4 KiB multiples) that are not mapped; all or nothing. ERR_NO_MEMORY; ERR_INVALID: W+X,
 * alignment; ERR_EXISTS.
 */
enum err paging_map(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags);
/*
 * Flushes this CPU's TLB only. So the range must not be mapped to other frames again unless no other CPU
 * touched it; see the rule at the top of paging.c.
 */
void paging_unmap(uint64_t virt, uint64_t size);
/*
 * Maps blocks of 2 MiB, writable, one behind the other at an address that was never in use and never will be again.
 * ERR_NO_MEMORY: no tables, or the window is used up. The blocks stay the caller's.
 */
enum err paging_map_blocks(const struct hpa *blocks, uint32_t count, void **out);
void paging_unmap_blocks(void *base, uint32_t count);
/* Is every byte mapped? For code that follows pointers it cannot trust (firmware tables, backtraces). */
bool paging_is_mapped(uint64_t virt, uint64_t size);
/* Device registers, uncached; never unmapped. */
enum err paging_map_mmio(struct hpa phys, uint64_t size, volatile void **out);
/*
 * A stack of size bytes (4 KiB multiple) with a guard page below; *top is its highest address, 16-byte
 * aligned. A stack that is freed stays mapped, in a pool, and serves the next request of its size:
 * paging_pooled_pages() counts the frames of the pool; together with page_free_count() they tell whether all
 * came back. Content undefined.
 */
enum err paging_alloc_stack(size_t size, void **top);
void paging_free_stack(void *top, size_t size);
uint64_t paging_pooled_pages(void);
/* For the page fault handler: is this address in a guard page? */
bool paging_is_guard(uint64_t virt);
/* 1:1 read and execute mapping of a low frame for the AP trampoline; removed again by size 0. */
enum err paging_identity_low(struct hpa frame, uint64_t size);

#endif
