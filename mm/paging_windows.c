/*
 * The parts of the kernel's address space that fill while it runs: stacks with guard pages, device registers, large blocks.
 * No address is given out twice but by the pool of stacks, which keeps frames and addresses together (paging.c says why).
 */
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "mm/page.h"
#include "mm/paging.h"
#include "mm/paging_tables.h"

/* Two halves of the VMAP window: in the lower one, all that is not mapped is a guard page. */
#define STACKS_BASE VMAP_BASE
#define MMIO_BASE (VMAP_BASE + (HEAP_BASE - VMAP_BASE) / 2)

/* Lies at the lowest address of a stack that waits for reuse. */
struct pooled_stack {
    struct pooled_stack *next;
    size_t size;
};

static uint64_t stacks_next = STACKS_BASE;
static uint64_t mmio_next = MMIO_BASE;
static uint64_t blocks_next = BLOCKS_BASE;
static struct pooled_stack *pool;
static uint64_t pooled_pages;

enum err paging_map_mmio(struct hpa phys, uint64_t size, volatile void **out)
{
    uint64_t offset = phys.raw & PAGE_MASK;
    uint64_t bytes = ALIGN_UP(offset + size, PAGE_SIZE);
    if (size == 0 || bytes < size || !paging_is_physical((struct hpa){ phys.raw - offset }, bytes))
        return ERR_INVALID;
    spinlock_acquire(&paging_lock);
    uint64_t virt = mmio_next;
    enum err e = paging_map_small(virt, (struct hpa){ phys.raw - offset }, bytes, PAGING_WRITE | PAGING_UNCACHED);
    mmio_next += bytes;
    spinlock_release(&paging_lock);
    *out = (volatile void *)(virt + offset);
    return e;
}

enum err paging_map_blocks(const struct hpa *blocks, uint32_t count, void **out)
{
    uint32_t mapped = 0;
    uint64_t done;
    spinlock_acquire(&paging_lock);
    uint64_t base = blocks_next;
    bool room = count <= (BLOCKS_BASE + BLOCKS_MAX_BYTES - base) / LARGE_PAGE_SIZE;
    if (room)
        blocks_next += count * LARGE_PAGE_SIZE;
    while (room && mapped < count && paging_map_range(base + mapped * LARGE_PAGE_SIZE, blocks[mapped].raw, LARGE_PAGE_SIZE,
                                               PAGING_WRITE, 2, &done) == OK)
        mapped++;
    spinlock_release(&paging_lock);
    if (mapped < count)
        paging_unmap_blocks((void *)base, mapped);
    *out = (void *)base;
    return mapped == count ? OK : ERR_NO_MEMORY;
}

void paging_unmap_blocks(void *base, uint32_t count)
{
    spinlock_acquire(&paging_lock);
    for (uint64_t virt = (uint64_t)base; count-- > 0; virt += LARGE_PAGE_SIZE) {
        *paging_find_entry(virt, 2) = 0;
        invlpg(virt);
    }
    spinlock_release(&paging_lock);
}

static void free_stack_pages(uint64_t bottom, uint64_t size)
{
    for (uint64_t virt = bottom; virt < bottom + size; virt += PAGE_SIZE) {
        struct hpa frame = { *paging_find_entry(virt, 1) & ENTRY_ADDRESS_MASK };
        paging_unmap_range(virt, PAGE_SIZE);
        page_free(frame, 0);
    }
}

static enum err map_new_stack(uint64_t bottom, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += PAGE_SIZE) {
        struct hpa frame;
        enum err e = page_alloc(0, &frame);
        if (e == OK && (e = paging_map_small(bottom + done, frame, PAGE_SIZE, PAGING_WRITE)) != OK)
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
    spinlock_acquire(&paging_lock);
    uint64_t bottom = (uint64_t)take_from_pool(size);
    if (bottom == 0) {
        bottom = stacks_next + PAGE_SIZE;       /* the guard page */
        stacks_next = bottom + size;            /* kept also on an error: no address is used twice */
        e = map_new_stack(bottom, size);
    }
    spinlock_release(&paging_lock);
    *top = (void *)(bottom + size);
    return e;
}

void paging_free_stack(void *top, size_t size)
{
    struct pooled_stack *stack = (struct pooled_stack *)((uint64_t)top - size);
    spinlock_acquire(&paging_lock);
    *stack = (struct pooled_stack){ .next = pool, .size = size };
    pool = stack;
    pooled_pages += size >> PAGE_SHIFT;
    spinlock_release(&paging_lock);
}

uint64_t paging_pooled_pages(void) { return pooled_pages; }

bool paging_is_guard(uint64_t virt)
{
    return virt >= STACKS_BASE && virt < stacks_next && !paging_is_mapped(virt, 1);
}
