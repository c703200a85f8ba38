/*
 * The kernel's one address space, shared by all CPUs, and why no CPU ever uses a stale translation of it.
 *
 * There is no TLB shootdown: kernel code runs with interrupts closed for as long as it likes, so that waiting
 * for other CPUs would be slow, and could deadlock. Instead, **a virtual page keeps its frame**:
 *   - the direct map and the kernel's image are built once, before a second CPU runs;
 *   - heap and device mappings only grow: from not present to present, which needs no invalidation (SDM Vol.
 *     3A, 5.10.4.3 "Optional Invalidation");
 *   - a stack that is freed stays mapped and waits in a pool for the next thread. It may run there on another
 *     CPU: the translation is the same;
 *   - what paging_unmap() removes is never mapped to another frame later: a range whose mapping failed
 *     half-way and that nobody touched, or the identity mapping of the trampoline, which other CPUs may
 *     remember without harm; the window of blocks is so large that no address in it is used twice.
 *
 * W^X: no mapping is both writable and executable, and the frames of text and rodata are not writable through
 * the direct map either. All leaves are supervisor pages; with SMEP and SMAP, a stray user mapping would be
 * of no use.
 */
#include "mm/paging.h"

#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "mm/page.h"

/* Bits of paging-structure entries (SDM Vol. 3A, 5.5.4 "Linear-Address Translation with 4-Level Paging"). */
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_PWT BIT(3)
#define ENTRY_PCD BIT(4)
#define ENTRY_LARGE BIT(7)
#define ENTRY_GLOBAL BIT(8)
#define ENTRY_NO_EXECUTE BIT(63)
#define ENTRY_ADDRESS_MASK 0x000ffffffffff000ULL

#define ENTRIES 512u
#define INDEX_BITS 9u
#define LEVELS 4u /* 4: PML4, 3: page-directory-pointer table, 2: page directory, 1: page table */
#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_80000001_EDX_PAGE1GB BIT(26)
#define CPUID_ADDRESS_SIZES 0x80000008u
#define CPUID_80000008_EAX_PHYSICAL_BITS 0xffu

/* Two halves of the VMAP window: in the lower one, all that is not mapped is a guard page. */
#define STACKS_BASE VMAP_BASE
#define MMIO_BASE (VMAP_BASE + (HEAP_BASE - VMAP_BASE) / 2)

/* Provided by kernel/kernel.ld, page aligned. */
extern char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[], __kernel_end[];

/* Lies at the lowest address of a stack that waits for reuse. */
struct pooled_stack {
    struct pooled_stack *next;
    size_t size;
};

static struct spinlock lock = SPINLOCK_INIT;        /* tables, cursors and pool */
static struct hpa root;                             /* raw 0: the loader's tables are in use */
static unsigned largest_level = 2;                  /* 3 where the processor has 1 GiB pages */
static uint64_t physical_end; /* by MAXPHYADDR: an entry beyond it would fault as reserved */
static uint64_t stacks_next = STACKS_BASE;
static uint64_t mmio_next = MMIO_BASE;
static uint64_t blocks_next = BLOCKS_BASE;
static struct pooled_stack *pool;
static uint64_t pooled_pages;

static uint64_t level_size(unsigned level) { return PAGE_SIZE << (INDEX_BITS * (level - 1)); }

static uint64_t *entry_at(struct hpa table, uint64_t virt, unsigned level)
{
    uint64_t *entries = hpa_to_virt(table);
    return &entries[virt / level_size(level) % ENTRIES];
}

/* The entry for `virt` at `level`, or at a higher one if the walk ends there (large page, or not present). */
static uint64_t *find_entry(uint64_t virt, unsigned level)
{
    uint64_t *entry = entry_at(root, virt, LEVELS);
    for (unsigned l = LEVELS; l > level && (*entry & ENTRY_PRESENT) && !(*entry & ENTRY_LARGE); l--)
        entry = entry_at((struct hpa){ *entry & ENTRY_ADDRESS_MASK }, virt, l - 1);
    return entry;
}

/* The entry for `virt` at `level`; makes the tables above it. NULL: no memory for them. */
static uint64_t *make_entry(uint64_t virt, unsigned level)
{
    uint64_t *entry = entry_at(root, virt, LEVELS);
    for (unsigned l = LEVELS; l > level; l--) {
        if (!(*entry & ENTRY_PRESENT)) {
            struct hpa table;
            if (page_alloc_zeroed(0, &table) != OK)
                return NULL;
            *entry = table.raw | ENTRY_PRESENT | ENTRY_WRITE;
        }
        KERNEL_ASSERT(!(*entry & ENTRY_LARGE));
        entry = entry_at((struct hpa){ *entry & ENTRY_ADDRESS_MASK }, virt, l - 1);
    }
    return entry;
}

static uint64_t leaf_bits(unsigned flags)
{
    return ENTRY_PRESENT | (flags & PAGING_WRITE ? ENTRY_WRITE : 0) |
           (flags & PAGING_EXECUTE ? 0 : ENTRY_NO_EXECUTE) |
           (flags & PAGING_UNCACHED ? ENTRY_PCD | ENTRY_PWT : 0) | ENTRY_GLOBAL;
}

static unsigned level_for(uint64_t virt, uint64_t phys, uint64_t size, unsigned max_level)
{
    unsigned level = max_level;
    while (level > 1 && (((virt | phys) & (level_size(level) - 1)) || size < level_size(level)))
        level--;
    return level;
}

/*
 * Maps in pages as large as possible, up to max_level. *done: the bytes that were mapped, also on an error.
 */
static enum err map_range(uint64_t virt, uint64_t phys, uint64_t size, unsigned flags, unsigned max_level,
                          uint64_t *done)
{
    uint64_t bits = leaf_bits(flags);
    for (*done = 0; *done < size;) {
        unsigned level = level_for(virt + *done, phys + *done, size - *done, max_level);
        uint64_t *entry = make_entry(virt + *done, level);
        if (entry == NULL)
            return ERR_NO_MEMORY;
        if (*entry & ENTRY_PRESENT)
            return ERR_EXISTS;
        *entry = (phys + *done) | bits | (level > 1 ? ENTRY_LARGE : 0);
        *done += level_size(level);
    }
    return OK;
}

/* Only for ranges that were mapped with max_level 1. */
static void unmap_range(uint64_t virt, uint64_t size)
{
    for (uint64_t end = virt + size; virt < end; virt += PAGE_SIZE) {
        uint64_t *entry = find_entry(virt, 1);
        if (*entry & ENTRY_PRESENT) {
            *entry = 0;
            invlpg(virt);
        }
    }
}

static enum err map_small(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags)
{
    uint64_t done;
    enum err e = map_range(virt, phys.raw, size, flags, 1, &done);
    if (e != OK)
        unmap_range(virt, done);
    return e;
}

static bool is_physical(struct hpa phys, uint64_t size)
{
    return size <= physical_end && phys.raw <= physical_end - size;
}

enum err paging_map(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags)
{
    bool write_and_execute = (flags & PAGING_WRITE) && (flags & PAGING_EXECUTE);
    if (write_and_execute || ((virt | phys.raw | size) & PAGE_MASK) || !is_physical(phys, size))
        return ERR_INVALID;
    spinlock_acquire(&lock);
    enum err e = map_small(virt, phys, size, flags);
    spinlock_release(&lock);
    return e;
}

void paging_unmap(uint64_t virt, uint64_t size)
{
    spinlock_acquire(&lock);
    unmap_range(virt, size);
    spinlock_release(&lock);
}

bool paging_is_mapped(uint64_t virt, uint64_t size)
{
    if (root.raw == 0)
        return true;    /* the loader's tables map all that we could ask for */
    if (virt + size < virt)
        return false;
    for (uint64_t page = ALIGN_DOWN(virt, PAGE_SIZE); page < virt + size; page += PAGE_SIZE)
        if ((int64_t)(page << 16) >> 16 != (int64_t)page || !(*find_entry(page, 1) & ENTRY_PRESENT))
            return false;
    return true;
}

/* At start-up: there is no pod without these. */
static void map_at_start(uint64_t virt, uint64_t phys, uint64_t size, unsigned flags)
{
    uint64_t done;
    enum err e = map_range(virt, phys, size, flags, largest_level, &done);
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
    write_cr3(root.raw);
    write_cr4(cr4);
}

void paging_init(const struct boot_info *info)
{
    if (cpuid(CPUID_EXTENDED_FEATURES, 0).edx & CPUID_80000001_EDX_PAGE1GB)
        largest_level = 3;
    physical_end = BIT(cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_80000008_EAX_PHYSICAL_BITS);
    struct hpa pml4; /* below 4 GiB by the allocator's order if it can be; kernel/smp.c cares for the rest */
    if (page_alloc_zeroed(0, &pml4) != OK)
        panic("no memory for the kernel's page tables");
    root = pml4;
    build_direct_map(info);
    build_kernel_image(info);
    leave_loader_tables();
}

uint64_t paging_cr3(void) { return root.raw; }

enum err paging_map_mmio(struct hpa phys, uint64_t size, volatile void **out)
{
    uint64_t offset = phys.raw & PAGE_MASK;
    uint64_t bytes = ALIGN_UP(offset + size, PAGE_SIZE);
    if (size == 0 || bytes < size || !is_physical((struct hpa){ phys.raw - offset }, bytes))
        return ERR_INVALID;
    spinlock_acquire(&lock);
    uint64_t virt = mmio_next;
    enum err e = map_small(virt, (struct hpa){ phys.raw - offset }, bytes, PAGING_WRITE | PAGING_UNCACHED);
    mmio_next += bytes;
    spinlock_release(&lock);
    *out = (volatile void *)(virt + offset);
    return e;
}

enum err paging_map_blocks(const struct hpa *blocks, uint32_t count, void **out)
{
    uint32_t mapped = 0;
    uint64_t done;
    spinlock_acquire(&lock);
    uint64_t base = blocks_next;
    bool room = count <= (BLOCKS_BASE + BLOCKS_MAX_BYTES - base) / LARGE_PAGE_SIZE;
    if (room)
        blocks_next += count * LARGE_PAGE_SIZE;
    while (room && mapped < count && map_range(base + mapped * LARGE_PAGE_SIZE, blocks[mapped].raw, LARGE_PAGE_SIZE,
                                               PAGING_WRITE, 2, &done) == OK)
        mapped++;
    spinlock_release(&lock);
    if (mapped < count)
        paging_unmap_blocks((void *)base, mapped);
    *out = (void *)base;
    return mapped == count ? OK : ERR_NO_MEMORY;
}

void paging_unmap_blocks(void *base, uint32_t count)
{
    spinlock_acquire(&lock);
    for (uint64_t virt = (uint64_t)base; count-- > 0; virt += LARGE_PAGE_SIZE) {
        *find_entry(virt, 2) = 0;
        invlpg(virt);
    }
    spinlock_release(&lock);
}

static void free_stack_pages(uint64_t bottom, uint64_t size)
{
    for (uint64_t virt = bottom; virt < bottom + size; virt += PAGE_SIZE) {
        struct hpa frame = { *find_entry(virt, 1) & ENTRY_ADDRESS_MASK };
        unmap_range(virt, PAGE_SIZE);
        page_free(frame, 0);
    }
}

static enum err map_new_stack(uint64_t bottom, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += PAGE_SIZE) {
        struct hpa frame;
        enum err e = page_alloc(0, &frame);
        if (e == OK && (e = map_small(bottom + done, frame, PAGE_SIZE, PAGING_WRITE)) != OK)
            page_free(frame, 0);
        if (e != OK) {
            free_stack_pages(bottom, done);
            return e;
        }
    }
    return OK;
}

static struct pooled_stack *take_from_pool(size_t size)
{
    for (struct pooled_stack **p = &pool; *p; p = &(*p)->next) {
        struct pooled_stack *stack = *p;
        if (stack->size != size)
            continue;
        *p = stack->next;
        pooled_pages -= size >> PAGE_SHIFT;
        return stack;
    }
    return NULL;
}

enum err paging_alloc_stack(size_t size, void **top)
{
    enum err e = OK;
    if (size == 0 || (size & PAGE_MASK))
        return ERR_INVALID;
    spinlock_acquire(&lock);
    uint64_t bottom = (uint64_t)take_from_pool(size);
    if (bottom == 0) {
        bottom = stacks_next + PAGE_SIZE;       /* the guard page */
        stacks_next = bottom + size;            /* kept also on an error: no address is used twice */
        e = map_new_stack(bottom, size);
    }
    spinlock_release(&lock);
    *top = (void *)(bottom + size);
    return e;
}

void paging_free_stack(void *top, size_t size)
{
    struct pooled_stack *stack = (struct pooled_stack *)((uint64_t)top - size);
    spinlock_acquire(&lock);
    *stack = (struct pooled_stack){ .next = pool, .size = size };
    pool = stack;
    pooled_pages += size >> PAGE_SHIFT;
    spinlock_release(&lock);
}

uint64_t paging_pooled_pages(void) { return pooled_pages; }

bool paging_is_guard(uint64_t virt)
{
    return virt >= STACKS_BASE && virt < stacks_next && !paging_is_mapped(virt, 1);
}

enum err paging_identity_low(struct hpa frame, uint64_t size)
{
    if (size == 0) {
        paging_unmap(frame.raw, PAGE_SIZE);
        return OK;
    }
    return paging_map(frame.raw, frame, size, PAGING_EXECUTE);
}
