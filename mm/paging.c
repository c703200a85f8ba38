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
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/page.h"
#include "mm/paging_tables.h"

/* Bits of paging-structure entries (SDM Vol. 3A, 5.5.4 "Linear-Address Translation with 4-Level Paging"). */
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_PWT BIT(3)
#define ENTRY_PCD BIT(4)
#define ENTRY_LARGE BIT(7)
#define ENTRY_GLOBAL BIT(8)
#define ENTRY_NO_EXECUTE BIT(63)

#define ENTRIES 512u
#define INDEX_BITS 9u
#define LEVELS 4u /* 4: PML4, 3: page-directory-pointer table, 2: page directory, 1: page table */
#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_80000001_EDX_PAGE1GB BIT(26)
#define CPUID_ADDRESS_SIZES 0x80000008u
#define CPUID_80000008_EAX_PHYSICAL_BITS 0xffu

struct spinlock paging_lock = SPINLOCK_INIT;
static struct hpa root;             /* raw 0: the loader's tables are in use */
static uint64_t physical_end;       /* by MAXPHYADDR: an entry beyond it would fault as reserved */

static uint64_t level_size(unsigned level) { return PAGE_SIZE << (INDEX_BITS * (level - 1)); }

static uint64_t *entry_at(struct hpa table, uint64_t virt, unsigned level)
{
    uint64_t *entries = hpa_to_virt(table);
    return &entries[virt / level_size(level) % ENTRIES];
}

uint64_t *paging_find_entry(uint64_t virt, unsigned level)
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

enum err paging_map_range(uint64_t virt, uint64_t phys, uint64_t size, unsigned flags, unsigned max_level,
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

void paging_unmap_range(uint64_t virt, uint64_t size)
{
    for (uint64_t end = virt + size; virt < end; virt += PAGE_SIZE) {
        uint64_t *entry = paging_find_entry(virt, 1);
        if (*entry & ENTRY_PRESENT) {
            *entry = 0;
            invlpg(virt);
        }
    }
}

enum err paging_map_small(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags)
{
    uint64_t done;
    enum err e = paging_map_range(virt, phys.raw, size, flags, 1, &done);
    if (e != OK)
        paging_unmap_range(virt, done);
    return e;
}

bool paging_is_physical(struct hpa phys, uint64_t size)
{
    return size <= physical_end && phys.raw <= physical_end - size;
}

enum err paging_map(uint64_t virt, struct hpa phys, uint64_t size, unsigned flags)
{
    bool write_and_execute = (flags & PAGING_WRITE) && (flags & PAGING_EXECUTE);
    if (write_and_execute || ((virt | phys.raw | size) & PAGE_MASK) || !paging_is_physical(phys, size))
        return ERR_INVALID;
    spinlock_acquire(&paging_lock);
    enum err e = paging_map_small(virt, phys, size, flags);
    spinlock_release(&paging_lock);
    return e;
}

void paging_unmap(uint64_t virt, uint64_t size)
{
    spinlock_acquire(&paging_lock);
    paging_unmap_range(virt, size);
    spinlock_release(&paging_lock);
}

bool paging_is_mapped(uint64_t virt, uint64_t size)
{
    if (root.raw == 0)
        return true;    /* the loader's tables map all that we could ask for */
    if (virt + size < virt)
        return false;
    for (uint64_t page = ALIGN_DOWN(virt, PAGE_SIZE); page < virt + size; page += PAGE_SIZE)
        if ((int64_t)(page << 16) >> 16 != (int64_t)page || !(*paging_find_entry(page, 1) & ENTRY_PRESENT))
            return false;
    return true;
}

unsigned paging_tables_make(void)
{
    bool has_1gib_pages = cpuid(CPUID_EXTENDED_FEATURES, 0).edx & CPUID_80000001_EDX_PAGE1GB;
    physical_end = BIT(cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_80000008_EAX_PHYSICAL_BITS);
    struct hpa pml4; /* below 4 GiB by the allocator's order if it can be; kernel/smp.c cares for the rest */
    if (page_alloc_zeroed(0, &pml4) != OK)
        panic("no memory for the kernel's page tables");
    root = pml4;
    return has_1gib_pages ? 3 : 2;
}

uint64_t paging_cr3(void) { return root.raw; }

enum err paging_identity_low(struct hpa frame, uint64_t size)
{
    if (size == 0) {
        paging_unmap(frame.raw, PAGE_SIZE);
        return OK;
    }
    return paging_map(frame.raw, frame, size, PAGING_EXECUTE);
}
