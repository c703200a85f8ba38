/*
 * See mm/guest_memory.h for the contract. The EPT side is mm/ept.c's; here are the frames, the bounds, and
 * the bitmap of what the hypervisor itself wrote. That bitmap is kept whether tracking is on or not: one
 * instruction a frame is cheaper than a rule about when to call what.
 */
#include "mm/guest_memory.h"

#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "mm/page.h"

/* The kernel's page tables for guests come from its page allocator. */
static enum err alloc_table(void *context, struct hpa *out)
{
    (void)context;
    return page_alloc_zeroed(0, out);
}

static void free_table(void *context, struct hpa table)
{
    (void)context;
    page_free(table, 0);
}

static void *table_to_virt(void *context, struct hpa a)
{
    (void)context;
    return hpa_to_virt(a);
}

static const struct ept_memory kernel_ept_memory = { alloc_table, free_table, table_to_virt, NULL };

static uint64_t large_page_count(uint64_t size) { return size >> LARGE_PAGE_SHIFT; }

/*
 * Two needs, and the larger lack counts: whole 2 MiB pages, which free memory in pieces cannot give; and
 * tables, those of the split EPT included, so that a guest which starts can also be teleported.
 */
uint64_t guest_memory_missing_mib(uint64_t size)
{
    uint64_t large_wanted = large_page_count(size), large_free = page_free_large_count();
    uint64_t frames_wanted = (size >> PAGE_SHIFT) + ept_tables_needed(size), frames_free = page_free_count();
    uint64_t missing_whole = large_wanted > large_free ? (large_wanted - large_free) * LARGE_PAGE_SIZE : 0;
    uint64_t missing_frames = frames_wanted > frames_free ? (frames_wanted - frames_free) * PAGE_SIZE : 0;
    return DIV_ROUND_UP(MAX(missing_whole, missing_frames), MIB);
}

static enum err say_what_is_missing(uint64_t size)
{
    uint64_t wanted = size / MIB, missing = guest_memory_missing_mib(size);
    log_error("memory", "guest memory: %llu MiB wanted, %llu MiB free, %llu MiB missing",
              (unsigned long long)wanted, (unsigned long long)(wanted > missing ? wanted - missing : 0),
              (unsigned long long)missing);
    return ERR_NO_MEMORY;
}

static enum err add_large_page(struct guest_memory *memory, uint64_t index)
{
    struct hpa page;
    enum err e = page_alloc_zeroed(PAGE_ORDER_MAX, &page);
    if (e != OK)
        return e;
    memory->large_pages[index] = page;
    memory->size = (index + 1) << LARGE_PAGE_SHIFT;         /* from here on, destroy frees it */
    return ept_map_large(&memory->ept, (struct gpa){ index << LARGE_PAGE_SHIFT }, page);
}

static enum err create_parts(struct guest_memory *memory, uint64_t size)
{
    uint64_t pages = large_page_count(size), frames = size >> PAGE_SHIFT;
    memory->large_pages = calloc(pages, sizeof memory->large_pages[0]);
    memory->written = (struct bitmap){ calloc(bitmap_word_count(frames), sizeof(uint64_t)), frames };
    if (memory->large_pages == NULL || memory->written.words == NULL)
        return ERR_NO_MEMORY;
    enum err e = ept_init(&memory->ept, &kernel_ept_memory);
    for (uint64_t i = 0; e == OK && i < pages; i++) {
        e = add_large_page(memory, i);
        thread_yield();     /* zeroing GiBs takes seconds: others on this CPU go on meanwhile */
    }
    return e;
}

enum err guest_memory_create(struct guest_memory *memory, uint64_t size)
{
    *memory = (struct guest_memory){ 0 };
    if (size == 0 || size % LARGE_PAGE_SIZE || size > GUEST_MEMORY_MAX) {
        log_error("memory", "guest memory: %llu bytes is no multiple of 2 MiB up to %llu MiB",
                  (unsigned long long)size, (unsigned long long)(GUEST_MEMORY_MAX / MIB));
        return ERR_INVALID;
    }
    if (guest_memory_missing_mib(size))
        return say_what_is_missing(size);
    enum err e = create_parts(memory, size);
    if (e != OK) { /* somebody took memory meanwhile, or the heap is full */
        guest_memory_destroy(memory);
        return say_what_is_missing(size);
    }
    return OK;
}

void guest_memory_destroy(struct guest_memory *memory)
{
    ept_destroy(&memory->ept);
    for (uint64_t i = 0; i < large_page_count(memory->size); i++)
        page_free(memory->large_pages[i], PAGE_ORDER_MAX);
    free(memory->large_pages);
    free(memory->written.words);
    *memory = (struct guest_memory){ 0 };
}

static uint8_t *frame_at(const struct guest_memory *memory, uint64_t frame)
{
    struct hpa page = memory->large_pages[frame / PAGES_PER_LARGE_PAGE];
    return (uint8_t *)hpa_to_virt(page) + frame % PAGES_PER_LARGE_PAGE * PAGE_SIZE;
}

const void *guest_memory_frame(const struct guest_memory *memory, struct gfn gfn)
{
    return frame_at(memory, gfn.raw);
}

static bool in_bounds(const struct guest_memory *memory, struct gpa gpa, size_t size)
{
    return size <= memory->size && gpa.raw <= memory->size - size;
}

/* Bytes from here to the end of the 2 MiB page: as far as memory is contiguous for us. */
static size_t contiguous(struct gpa gpa, size_t size)
{
    return MIN(size, LARGE_PAGE_SIZE - gpa.raw % LARGE_PAGE_SIZE);
}

static uint8_t *byte_at(const struct guest_memory *memory, struct gpa gpa)
{
    return frame_at(memory, gpa.raw >> PAGE_SHIFT) + (gpa.raw & PAGE_MASK);
}

enum err guest_memory_read(const struct guest_memory *memory, struct gpa gpa, void *out, size_t size)
{
    if (!in_bounds(memory, gpa, size))
        return ERR_RANGE;
    for (uint8_t *to = out; size > 0;) {
        size_t chunk = contiguous(gpa, size);
        memcpy(to, byte_at(memory, gpa), chunk);
        to += chunk;
        gpa.raw += chunk;
        size -= chunk;
    }
    return OK;
}

enum err guest_memory_write(struct guest_memory *memory, struct gpa gpa, const void *data, size_t size)
{
    if (!in_bounds(memory, gpa, size))
        return ERR_RANGE;
    if (size == 0)
        return OK;
    uint64_t first = gpa.raw >> PAGE_SHIFT, last = (gpa.raw + size - 1) >> PAGE_SHIFT;
    for (const uint8_t *from = data; size > 0;) {
        size_t chunk = contiguous(gpa, size);
        memcpy(byte_at(memory, gpa), from, chunk);
        from += chunk;
        gpa.raw += chunk;
        size -= chunk;
    }
    bitmap_set_range(&memory->written, first, last - first + 1);
    return OK;
}

enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn gfn, const void *data)
{
    if (gfn.raw >= guest_memory_frames(memory))
        return ERR_RANGE;
    if (data)
        memcpy(frame_at(memory, gfn.raw), data, PAGE_SIZE);
    else
        memset(frame_at(memory, gfn.raw), 0, PAGE_SIZE);
    return OK;
}

static void mark_dirty(void *context, struct gfn first, uint64_t count)
{
    struct bitmap *out = context;
    if (count == 1)
        bitmap_set(out, first.raw);
    else
        bitmap_set_range(out, first.raw, count);
}

static void mark_nothing(void *context, struct gfn first, uint64_t count)
{
    (void)context;
    (void)first;
    (void)count;
}

/* D bits from before go first: the split would hand those of a large page on to each of its 512 frames. */
enum err guest_memory_track_start(struct guest_memory *memory)
{
    ept_harvest(&memory->ept, mark_nothing, NULL);
    enum err e = ept_split(&memory->ept);
    if (e != OK) {
        ept_merge(&memory->ept);
        log_error("memory", "dirty tracking: no memory for %llu page tables",
                  (unsigned long long)large_page_count(memory->size));
        return e;
    }
    bitmap_clear_all(&memory->written);
    memory->tracking = true;
    return OK;
}

void guest_memory_harvest(struct guest_memory *memory, struct bitmap *out)
{
    uint64_t *written = memory->written.words, words = bitmap_word_count(memory->written.bit_count);
    ept_harvest(&memory->ept, mark_dirty, out);
    for (uint64_t i = 0; i < words; i++) {
        if (written[i]) {
            out->words[i] |= written[i];
            written[i] = 0;
        }
    }
}

void guest_memory_track_stop(struct guest_memory *memory)
{
    ept_merge(&memory->ept);
    memory->tracking = false;
}
