/*
 * The page allocator's one instance: mm/buddy.c under a spinlock, fed from the loader's memory map. Its
 * metadata, 9 bytes a frame, lies in the RAM that it describes; of it only one byte a frame is cleared at
 * start.
 */
#include "mm/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "mm/buddy.h"

_Static_assert(PAGE_ORDER_MAX == BUDDY_ORDER_MAX, "one notion of the largest block");
_Static_assert(PAGE_SIZE << PAGE_ORDER_MAX == LARGE_PAGE_SIZE, "the largest block is a large page");

#define LOW_MEMORY_END MIB              /* real mode reaches no further */
#define LOW_USABLE_END (640 * KIB)      /* above it: video memory and firmware */

static struct spinlock lock = SPINLOCK_INIT;
static struct buddy buddy;
static struct hpa low_frame;

/* The part of a range that the allocator may have; false: none. */
static bool usable_part(const struct boot_memory *m, uint64_t *base, uint64_t *end)
{
    *base = MAX(m->base, LOW_MEMORY_END);
    *end = m->base + m->size;
    return m->type == BOOT_MEMORY_USABLE && *base < *end;
}

static uint64_t ram_end(const struct boot_info *info)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < info->memory_count; i++) {
        const struct boot_memory *m = &info->memory[i];
        if (m->type == BOOT_MEMORY_USABLE || m->type == BOOT_MEMORY_LOADER)
            end = MAX(end, m->base + m->size);
    }
    return end;
}

/* The smallest range that holds the metadata: the large ones are worth more whole. */
static uint32_t choose_metadata_range(const struct boot_info *info, uint64_t size)
{
    uint32_t best = info->memory_count;
    uint64_t best_size = UINT64_MAX, base, end;
    for (uint32_t i = 0; i < info->memory_count; i++) {
        if (!usable_part(&info->memory[i], &base, &end) || end - base < size || end - base >= best_size)
            continue;
        best = i;
        best_size = end - base;
    }
    return best;
}

static void choose_low_frame(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->memory_count; i++) {
        const struct boot_memory *m = &info->memory[i];
        uint64_t end = MIN(m->base + m->size, LOW_USABLE_END);
        /* The last frame of a range, and never frame 0: raw 0 means "none", and NULL must stay unmapped. */
        if (m->type == BOOT_MEMORY_USABLE && end > m->base && end >= 2 * PAGE_SIZE)
            low_frame.raw = end - PAGE_SIZE;
    }
}

void page_init(const struct boot_info *info)
{
    uint64_t frames = ram_end(info) >> PAGE_SHIFT;
    uint64_t metadata_size = ALIGN_UP(buddy_metadata_size(frames), PAGE_SIZE);
    uint32_t metadata_range = choose_metadata_range(info, metadata_size);
    if (metadata_range == info->memory_count)
        panic("no free memory range holds the %llu KiB that describe memory",
              (unsigned long long)metadata_size / KIB);
    const struct boot_memory *m = &info->memory[metadata_range];
    struct hpa metadata = { m->base + m->size - metadata_size };
    buddy_init(&buddy, frames, hpa_to_virt(metadata));

    /* From the top down, so that the lowest range is used first. */
    for (uint32_t i = info->memory_count; i-- > 0;) {
        uint64_t base, end;
        if (!usable_part(&info->memory[i], &base, &end))
            continue;
        if (i == metadata_range)
            end = metadata.raw;
        page_add_range((struct hpa){ base }, end - base);
    }
    choose_low_frame(info);
    log_info("memory", "%llu MiB free", (unsigned long long)(buddy.free_count * PAGE_SIZE / MIB));
}

void page_add_range(struct hpa base, uint64_t size)
{
    if (size == 0)
        return;
    spinlock_acquire(&lock);
    bool ok = !((base.raw | size) & PAGE_MASK) &&
              buddy_add(&buddy, base.raw >> PAGE_SHIFT, size >> PAGE_SHIFT);
    spinlock_release(&lock);
    if (!ok)
        panic("page_add_range: 0x%llx, 0x%llx bytes", (unsigned long long)base.raw, (unsigned long long)size);
}

enum err page_alloc(unsigned order, struct hpa *out)
{
    uint64_t first;
    spinlock_acquire(&lock);
    bool ok = buddy_alloc(&buddy, order, &first);
    spinlock_release(&lock);
    if (!ok)
        return ERR_NO_MEMORY;
    out->raw = first << PAGE_SHIFT;
    return OK;
}

enum err page_alloc_zeroed(unsigned order, struct hpa *out)
{
    enum err e = page_alloc(order, out);
    if (e == OK)
        memset(hpa_to_virt(*out), 0, PAGE_SIZE << order);
    return e;
}

void page_free(struct hpa base, unsigned order)
{
    spinlock_acquire(&lock);
    bool ok = !(base.raw & PAGE_MASK) && buddy_free(&buddy, base.raw >> PAGE_SHIFT, order);
    spinlock_release(&lock);
    if (!ok)
        panic("page_free: 0x%llx of order %u is no allocated block", (unsigned long long)base.raw, order);
}

unsigned page_block_order(struct hpa base)
{
    unsigned order;
    spinlock_acquire(&lock);
    bool ok = !(base.raw & PAGE_MASK) && buddy_order(&buddy, base.raw >> PAGE_SHIFT, &order);
    spinlock_release(&lock);
    if (!ok)
        panic("0x%llx is no allocated block", (unsigned long long)base.raw);
    return order;
}

uint64_t page_free_count(void) { return buddy.free_count; }
uint64_t page_free_large_count(void) { return buddy.free_blocks[BUDDY_ORDER_MAX]; }
uint64_t page_total_count(void) { return buddy.total_count; }
struct hpa page_low_frame(void) { return low_frame; }
