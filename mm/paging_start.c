/*
 * What the kernel's address space holds from the start: the direct map of all RAM and the kernel's image, with the rights that
 * W^X asks for. Built once, before a second CPU runs; what cannot be built is the end of the boot.
 */
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/paging.h"
#include "mm/paging_tables.h"

/* Provided by kernel/kernel.ld, page aligned. */
extern char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[], __kernel_end[];

static unsigned largest_level;          /* of a page */

/* At start-up: there is no pod without these. */
static void map_at_start(uint64_t virt, uint64_t phys, uint64_t size, unsigned flags)
{
    uint64_t done;
    enum err e = paging_map_range(virt, phys, size, flags, largest_level, &done);
    if (e != OK)
        panic("kernel page tables, 0x%llx: %s", (unsigned long long)virt, err_name(e));
}

static void map_direct(uint64_t base, uint64_t end, unsigned flags)
{
    if (base < end)
        map_at_start(DIRECT_MAP_BASE + base, base, end - base, flags);
}

/* [base, end) is RAM; [hole, hole_end) in it, if it is there, must not be written. */
static void map_ram(uint64_t base, uint64_t end, uint64_t hole, uint64_t hole_end)
{
    hole = MIN(MAX(hole, base), end);
    hole_end = MIN(MAX(hole_end, base), end);
    map_direct(base, hole, PAGING_WRITE);
    map_direct(hole, hole_end, PAGING_READ);
    map_direct(hole_end, end, PAGING_WRITE);
}

static bool is_ram(const struct boot_memory *m)
{
    return m->type == BOOT_MEMORY_USABLE || m->type == BOOT_MEMORY_LOADER;
}

static void build_direct_map(const struct boot_info *info)
{
    uint64_t read_only_end = info->kernel_base + ((uint64_t)__data_start - KERNEL_BASE);
    for (uint32_t i = 0; i < info->memory_count;) {
        const struct boot_memory *m = &info->memory[i++];
        uint64_t end = m->base + m->size;
        if (m->type == BOOT_MEMORY_ACPI)
            map_direct(m->base, end, PAGING_READ);
        if (!is_ram(m))
            continue;
        /* Neighbours as one span: a large page need not end where an owner's part does. */
        for (; i < info->memory_count && is_ram(&info->memory[i]) && info->memory[i].base == end; i++)
            end += info->memory[i].size;
        map_ram(m->base, end, info->kernel_base, read_only_end);
    }
}

static void build_kernel_image(const struct boot_info *info)
{
    const struct { const char *start, *end; unsigned flags; } segments[] = {
        { __text_start, __text_end, PAGING_EXECUTE },
        { __rodata_start, __rodata_end, PAGING_READ },
        { __data_start, __kernel_end, PAGING_WRITE },
    };
    for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
        uint64_t start = (uint64_t)segments[i].start;
        uint64_t size = ALIGN_UP((uint64_t)segments[i].end, PAGE_SIZE) - start;
        if (size)
            map_at_start(start, info->kernel_base + (start - KERNEL_BASE), size, segments[i].flags);
    }
}

/* To our tables. PGE off and on: all translations of the loader go, global ones too (SDM 5.10.4.1). The bits that make the
   tables mean what they say (NXE, WP, SMEP, SMAP) were set by kernel/cpu.c, on every CPU. */
static void leave_loader_tables(void)
{
    uint64_t cr4 = read_cr4();
    write_cr4(cr4 & ~CR4_PGE);
    write_cr3(paging_cr3());
    write_cr4(cr4);
}

void paging_init(const struct boot_info *info)
{
    largest_level = paging_tables_make();
    build_direct_map(info);
    build_kernel_image(info);
    leave_loader_tables();
}
