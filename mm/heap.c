/*
 * malloc and its kin. Two sources:
 *   - blocks from 128 KiB to 2 MiB are the page allocator's, in the direct map, and go back to it when they
 *     are freed;
 *   - all others are newlib's allocator's (its _r functions), under one lock. It takes memory through
 *     _sbrk_r, which maps page after page into the heap's window and never gives any back: so no address
 *     there ever changes its frame (see mm/paging.c), and what the window holds at its peak it keeps.
 * What is in use is counted here, block by block.
 *
 * This kernel's only way to the allocator is this file: the functions of libc that would go round it (strdup)
 * are here too. So the allocator's own hooks need not lock, and the lock need not be recursive.
 */
#include "mm/heap.h"

#include <errno.h>
#include <malloc.h>
#include <reent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "mm/paging.h"

#define LARGE_BLOCK_MIN (128 * KIB)
#define COMPLAINT_INTERVAL_MS 1000

static struct spinlock lock = SPINLOCK_INIT;
static uint64_t used_bytes, block_count;
static uint64_t break_offset, mapped_bytes;     /* from HEAP_BASE; mapped_bytes >= break_offset */
static uint64_t quiet_until;                    /* TSC: lack of memory is not reported again before */

void __malloc_lock(struct _reent *reent);
void __malloc_unlock(struct _reent *reent);
void __malloc_lock(struct _reent *reent) { (void)reent; }
void __malloc_unlock(struct _reent *reent) { (void)reent; }

static bool map_up_to(uint64_t end)
{
    while (mapped_bytes < end) {
        struct hpa frame;
        if (page_alloc(0, &frame) != OK)
            return false;
        if (paging_map(HEAP_BASE + mapped_bytes, frame, PAGE_SIZE, PAGING_WRITE) != OK) {
            page_free(frame, 0);
            return false;
        }
        mapped_bytes += PAGE_SIZE;
    }
    return true;
}

void *_sbrk_r(struct _reent *reent, ptrdiff_t increment)
{
    uint64_t old = break_offset;
    if (increment < 0 || (uint64_t)increment > HEAP_MAX_BYTES - old ||
        !map_up_to(old + (uint64_t)increment)) {
        reent->_errno = ENOMEM;
        return (void *)-1;
    }
    break_offset += (uint64_t)increment;
    return (void *)(HEAP_BASE + old);
}

static unsigned order_for(size_t size)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < size)
        order++;
    return order;
}

static bool is_large_size(size_t size) { return size >= LARGE_BLOCK_MIN && size <= LARGE_PAGE_SIZE; }
static bool is_in_window(const void *block) { return (uint64_t)block - HEAP_BASE < HEAP_MAX_BYTES; }

static size_t block_size(void *block)
{
    if (is_in_window(block))
        return _malloc_usable_size_r(_REENT, block);
    return PAGE_SIZE << page_block_order(virt_to_hpa(block));
}

static void *allocate(size_t alignment, size_t size)
{
    struct hpa frames;
    if (is_large_size(size))
        return page_alloc(order_for(size), &frames) == OK ? hpa_to_virt(frames) : NULL;
    return alignment ? _memalign_r(_REENT, alignment, size) : _malloc_r(_REENT, size);
}

static void release(void *block)
{
    if (is_in_window(block))
        _free_r(_REENT, block);
    else
        page_free(virt_to_hpa(block), page_block_order(virt_to_hpa(block)));
}

/* Once a second at most; called with the lock held. */
static bool may_complain(void)
{
    if (time_now() < quiet_until)
        return false;
    quiet_until = time_after_ms(COMPLAINT_INTERVAL_MS);
    return true;
}

/* alignment 0: as malloc. */
static void *allocate_counted(size_t alignment, size_t size)
{
    spinlock_acquire(&lock);
    void *block = allocate(alignment, size);
    if (block) {
        used_bytes += block_size(block);
        block_count++;
    }
    bool complain = block == NULL && may_complain();
    spinlock_release(&lock);
    if (complain)
        log_error("memory", "heap: no memory for %llu bytes; %llu bytes in %llu blocks in use, %llu KiB free",
                  (unsigned long long)size, (unsigned long long)used_bytes, (unsigned long long)block_count,
                  (unsigned long long)(page_free_count() * PAGE_SIZE / KIB));
    return block;
}

void *malloc(size_t size)
{
    return allocate_counted(0, size);
}

/* Large blocks are aligned to their size anyway. */
void *memalign(size_t alignment, size_t size)
{
    return allocate_counted(alignment, size);
}

void free(void *block)
{
    if (block == NULL)
        return;
    spinlock_acquire(&lock);
    used_bytes -= block_size(block);
    block_count--;
    release(block);
    spinlock_release(&lock);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

static size_t block_size_locked(void *block)
{
    spinlock_acquire(&lock);
    size_t size = block_size(block);
    spinlock_release(&lock);
    return size;
}

/* Shrinks in place; grows by moving: rare enough here that the allocator's own way would not pay. */
void *realloc(void *block, size_t size)
{
    if (block == NULL)
        return malloc(size);
    size_t old_size = block_size_locked(block);
    if (size <= old_size)
        return block;
    void *moved = malloc(size);
    if (moved) {
        memcpy(moved, block, old_size);
        free(block);
    }
    return moved;
}

char *strndup(const char *text, size_t max)
{
    size_t length = strnlen(text, max);
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *strdup(const char *text)
{
    return strndup(text, strlen(text));
}

uint64_t heap_used_bytes(void) { return used_bytes; }
uint64_t heap_block_count(void) { return block_count; }
uint64_t heap_mapped_bytes(void) { return mapped_bytes; }
