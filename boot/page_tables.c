/*
 * The loader's page tables. The low half and the direct map are one tree that two PML4 entries point to, so
 * that the two views cannot differ. That tree is executable, because the loader itself runs in it until the
 * kernel's first instruction; the kernel's own tables end this.
 */
#include <string.h>
#include "boot/page_tables.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_PAGE_SIZE BIT(7)
#define PTE_EXECUTE_DISABLE BIT(63)
#define PTE_ADDRESS_MASK 0x000ffffffffff000ULL
#define TABLE_ENTRIES 512
#define TABLE_INDEX_BITS 9

/* A level's entry maps 4 KiB << 9 * level: with a page of that size, or with a table of the level below. */
enum level { LEVEL_PT = 0, LEVEL_PD, LEVEL_PDPT, LEVEL_PML4 };

#define GIB_SHIFT 30
#define LOW_GIBS 4      /* always mapped: devices and firmware tables live there */
#define DIRECT_MAP_GIBS (64ULL * 1024) /* up to the next region of the kernel's address space */
#define DIRECT_MAP_SLOT (TABLE_ENTRIES / 2) /* in the PML4 */
_Static_assert((DIRECT_MAP_BASE >> 39) % TABLE_ENTRIES == DIRECT_MAP_SLOT,
               "the direct map starts the upper half");

static uint64_t *table_alloc(struct page_arena *arena)
{
    uint64_t *table = (uint64_t *)(arena->base + arena->used);

    if (arena->size - arena->used < PAGE_SIZE)
        return NULL;
    arena->used += PAGE_SIZE;
    return memset(table, 0, PAGE_SIZE);
}

/* Maps one page of the level's size. False: the arena is used up. */
static bool map_page(struct page_arena *arena, uint64_t *pml4, uint64_t virt, uint64_t entry, enum level leaf)
{
    uint64_t *table = pml4;

    for (unsigned level = LEVEL_PML4;; level--) {
        uint64_t *slot = &table[virt >> (PAGE_SHIFT + TABLE_INDEX_BITS * level) & (TABLE_ENTRIES - 1)];

        if (level == leaf) {
            *slot = entry | PTE_PRESENT | (leaf == LEVEL_PT ? 0 : PTE_PAGE_SIZE);
            return true;
        }
        if (!*slot) {
            table = table_alloc(arena);
            if (!table)
                return false;
            *slot = (uint64_t)table | PTE_PRESENT | PTE_WRITE;
        }
        table = (uint64_t *)(*slot & PTE_ADDRESS_MASK);
    }
}

/*
 * The first GiBs hold RAM and registers side by side, so 2 MiB pages keep the memory types of the MTRRs apart
 * (SDM volume 3, section 12.11.9 "Large Page Size Considerations"); 1 GiB pages serve above.
 */
static bool map_gib(struct page_arena *arena, uint64_t *pml4, uint64_t gib, bool gib_pages)
{
    uint64_t base = gib << GIB_SHIFT;

    if (gib_pages && gib >= LOW_GIBS)
        return map_page(arena, pml4, base, base | PTE_WRITE, LEVEL_PDPT);
    for (uint64_t at = base; at < base + GIB; at += LARGE_PAGE_SIZE) {
        if (!map_page(arena, pml4, at, at | PTE_WRITE, LEVEL_PD))
            return false;
    }
    return true;
}

static bool map_memory(struct page_arena *arena, uint64_t *pml4, const struct boot_info *info, bool gib_pages)
{
    for (uint64_t gib = 0; gib < LOW_GIBS; gib++) {
        if (!map_gib(arena, pml4, gib, gib_pages))
            return false;
    }
    for (uint32_t i = 0; i < info->memory_count; i++) {
        const struct boot_memory *m = &info->memory[i];
        uint64_t end = MIN((m->base + m->size - 1) >> GIB_SHIFT, DIRECT_MAP_GIBS - 1);

        if (m->type == BOOT_MEMORY_RESERVED)
            continue;
        for (uint64_t gib = MAX(m->base >> GIB_SHIFT, (uint64_t)LOW_GIBS); gib <= end; gib++) {
            if (!map_gib(arena, pml4, gib, gib_pages))
                return false;
        }
    }
    memcpy(&pml4[DIRECT_MAP_SLOT], pml4, DIRECT_MAP_GIBS / TABLE_ENTRIES * sizeof(*pml4));
    return true;
}

static bool map_kernel(struct page_arena *arena, uint64_t *pml4, uint64_t kernel_base,
                       const struct elf_image *image)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];
        uint64_t rights = s->flags & ELF_WRITE ? PTE_WRITE : 0;

        if (!(s->flags & ELF_EXECUTE))
            rights |= PTE_EXECUTE_DISABLE;
        for (uint64_t at = s->offset; at < s->offset + s->memory_size; at += PAGE_SIZE) {
            if (!map_page(arena, pml4, KERNEL_BASE + at, (kernel_base + at) | rights, LEVEL_PT))
                return false;
        }
    }
    return true;
}

uint64_t page_tables_size(const struct boot_info *info, const struct elf_image *image, bool gib_pages)
{
    uint64_t gibs = LOW_GIBS, directories, tables;

    for (uint32_t i = 0; i < info->memory_count; i++) {
        const struct boot_memory *m = &info->memory[i];

        if (m->type != BOOT_MEMORY_RESERVED)
            gibs = MAX(gibs, MIN(DIV_ROUND_UP(m->base + m->size, GIB), DIRECT_MAP_GIBS));
    }
    directories = gib_pages ? LOW_GIBS : gibs;
    tables = DIV_ROUND_UP(image->size, LARGE_PAGE_SIZE);
    /* The PML4; memory's page-directory-pointer tables and directories; the kernel's, and its page tables. */
    return (1 + DIV_ROUND_UP(gibs, TABLE_ENTRIES) + directories + 2 + tables) * PAGE_SIZE;
}

uint64_t page_tables_build(struct page_arena *arena, const struct boot_info *info,
                           const struct elf_image *image, bool gib_pages)
{
    uint64_t *pml4 = table_alloc(arena);

    if (!pml4 || !map_memory(arena, pml4, info, gib_pages) ||
        !map_kernel(arena, pml4, info->kernel_base, image))
        return 0;
    return (uint64_t)pml4;
}
