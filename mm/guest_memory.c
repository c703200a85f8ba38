/*
 * See mm/guest_memory.h for the contract. The EPT side is mm/ept.h's; here are the frames, their indexes,
 * the bounds, and the bitmap of what the hypervisor itself wrote. That bitmap is kept whether tracking is on or not:
 * one instruction a frame is cheaper than a rule about when to call what.
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

/* Where the guest sees a byte of RAM, and which byte of RAM it sees there. */
static struct gpa ram_to_gpa(uint64_t offset)
{
    bool high = offset >= GUEST_LOW_RAM_END;
    return (struct gpa){ high ? offset - GUEST_LOW_RAM_END + GUEST_HIGH_RAM_BASE : offset };
}

static uint64_t gpa_to_ram(struct gpa gpa)
{
    bool high = gpa.raw >= GUEST_HIGH_RAM_BASE;
    return high ? gpa.raw - GUEST_HIGH_RAM_BASE + GUEST_LOW_RAM_END : gpa.raw;
}

static bool in_bounds(uint64_t start, uint64_t size, uint64_t limit)
{
    return size <= limit && start <= limit - size;
}

bool guest_memory_contains(const struct guest_memory *memory, struct gpa gpa, uint64_t size)
{
    if (gpa.raw < GUEST_HIGH_RAM_BASE)
        return in_bounds(gpa.raw, size, guest_memory_low_bytes(memory->size));
    return in_bounds(gpa.raw - GUEST_HIGH_RAM_BASE, size, guest_memory_high_bytes(memory->size));
}

/*
 * Two needs, and the larger lack counts: whole 2 MiB pages, which free memory in pieces cannot give; and
 * tables, those of the split EPT included, so that a guest which starts can also be teleported.
 */
uint64_t guest_memory_missing_mib(uint64_t ram_bytes, uint64_t disk_bytes)
{
    uint64_t bytes = ram_bytes + disk_bytes;
    uint64_t large_wanted = bytes >> LARGE_PAGE_SHIFT, large_free = page_free_large_count();
    uint64_t tables = ept_tables_needed(ram_bytes) + EPT_APIC_TABLES;
    uint64_t frames_wanted = (bytes >> PAGE_SHIFT) + tables, frames_free = page_free_count();
    uint64_t missing_whole = large_wanted > large_free ? (large_wanted - large_free) * LARGE_PAGE_SIZE : 0;
    uint64_t missing_frames = frames_wanted > frames_free ? (frames_wanted - frames_free) * PAGE_SIZE : 0;
    return DIV_ROUND_UP(MAX(missing_whole, missing_frames), MIB);
}

static enum err say_what_is_missing(uint64_t ram_bytes, uint64_t disk_bytes)
{
    uint64_t wanted = (ram_bytes + disk_bytes) / MIB, missing = guest_memory_missing_mib(ram_bytes, disk_bytes);
    log_error("memory", "guest memory: %llu MiB wanted, %llu MiB free, %llu MiB missing",
              (unsigned long long)wanted, (unsigned long long)(wanted > missing ? wanted - missing : 0),
              (unsigned long long)missing);
    return ERR_NO_MEMORY;
}

/* The next page in the order of the indexes; RAM is mapped, the disk is not. */
static enum err add_large_page(struct guest_memory *memory)
{
    uint64_t offset = memory->large_page_count << LARGE_PAGE_SHIFT;
    struct hpa page;
    enum err e = page_alloc_zeroed(PAGE_ORDER_MAX, &page);
    if (e != OK)
        return e;
    memory->large_pages[memory->large_page_count++] = page;  /* from here on, destroy frees it */
    return offset < memory->size ? ept_map_large(&memory->ept, ram_to_gpa(offset), page) : OK;
}

static enum err create_parts(struct guest_memory *memory)
{
    uint64_t frames = guest_memory_frames(memory), pages = frames / PAGES_PER_LARGE_PAGE;
    memory->large_pages = calloc(pages, sizeof memory->large_pages[0]);
    memory->written = (struct bitmap){ calloc(bitmap_word_count(frames), sizeof(uint64_t)), frames };
    if (memory->large_pages == NULL || memory->written.words == NULL)
        return ERR_NO_MEMORY;
    enum err e = ept_init(&memory->ept, &kernel_ept_memory);
    for (uint64_t i = 0; e == OK && i < pages; i++) {
        e = add_large_page(memory);
        thread_yield();     /* zeroing GiBs takes seconds: others on this CPU go on meanwhile */
    }
    return e;
}

static bool valid_size(uint64_t bytes, uint64_t maximum)
{
    return bytes % LARGE_PAGE_SIZE == 0 && bytes <= maximum;
}

enum err guest_memory_create(struct guest_memory *memory, uint64_t ram_bytes, uint64_t disk_bytes)
{
    *memory = (struct guest_memory){ 0 };
    if (ram_bytes == 0 || !valid_size(ram_bytes, GUEST_MEMORY_MAX) || !valid_size(disk_bytes, GUEST_DISK_MAX)) {
        log_error("memory", "guest memory: %llu bytes of RAM or %llu of disk are no multiple of 2 MiB up to %llu MiB",
                  (unsigned long long)ram_bytes, (unsigned long long)disk_bytes,
                  (unsigned long long)(GUEST_MEMORY_MAX / MIB));
        return ERR_INVALID;
    }
    if (guest_memory_missing_mib(ram_bytes, disk_bytes))
        return say_what_is_missing(ram_bytes, disk_bytes);
    memory->size = ram_bytes;
    memory->disk_size = disk_bytes;
    enum err e = create_parts(memory);
    if (e != OK) { /* somebody took memory meanwhile, or the heap is full */
        guest_memory_destroy(memory);
        return say_what_is_missing(ram_bytes, disk_bytes);
    }
    return OK;
}

void guest_memory_destroy(struct guest_memory *memory)
{
    ept_destroy(&memory->ept);
    for (uint64_t i = 0; i < memory->large_page_count; i++)
        page_free(memory->large_pages[i], PAGE_ORDER_MAX);
    free(memory->large_pages);
    free(memory->written.words);
    *memory = (struct guest_memory){ 0 };
}

/* A byte of RAM, then disk; memory is contiguous for us up to the end of the 2 MiB page. */
static uint8_t *byte_at(const struct guest_memory *memory, uint64_t offset)
{
    struct hpa page = memory->large_pages[offset >> LARGE_PAGE_SHIFT];
    return (uint8_t *)hpa_to_virt(page) + (offset & (LARGE_PAGE_SIZE - 1));
}

static size_t contiguous(uint64_t offset, size_t size)
{
    return MIN(size, LARGE_PAGE_SIZE - (offset & (LARGE_PAGE_SIZE - 1)));
}

const void *guest_memory_frame(const struct guest_memory *memory, struct gfn index)
{
    return byte_at(memory, index.raw << PAGE_SHIFT);
}

const void *guest_memory_at(const struct guest_memory *memory, struct gpa gpa, size_t size)
{
    if (!guest_memory_contains(memory, gpa, size) || contiguous(gpa_to_ram(gpa), size) < size)
        return NULL;
    return byte_at(memory, gpa_to_ram(gpa));
}

static void copy_out(const struct guest_memory *memory, uint64_t offset, uint8_t *to, size_t size)
{
    while (size > 0) {
        size_t chunk = contiguous(offset, size);
        memcpy(to, byte_at(memory, offset), chunk);
        to += chunk;
        offset += chunk;
        size -= chunk;
    }
}

/* Each word by one locked OR, after the copy: see the header on why in this order, and why any CPU may. */
static void mark_written(struct guest_memory *memory, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++)
        __atomic_fetch_or(&memory->written.words[i / 64], BIT(i % 64), __ATOMIC_SEQ_CST);
}

static void copy_in(struct guest_memory *memory, uint64_t offset, const uint8_t *from, size_t size)
{
    uint64_t first = offset >> PAGE_SHIFT, last = (offset + size - 1) >> PAGE_SHIFT;
    if (size == 0)
        return;
    while (size > 0) {
        size_t chunk = contiguous(offset, size);
        memcpy(byte_at(memory, offset), from, chunk);
        from += chunk;
        offset += chunk;
        size -= chunk;
    }
    mark_written(memory, first, last);
}

enum err guest_memory_read(const struct guest_memory *memory, struct gpa gpa, void *out, size_t size)
{
    if (!guest_memory_contains(memory, gpa, size))
        return ERR_RANGE;
    copy_out(memory, gpa_to_ram(gpa), out, size);
    return OK;
}

enum err guest_memory_write(struct guest_memory *memory, struct gpa gpa, const void *data, size_t size)
{
    if (!guest_memory_contains(memory, gpa, size))
        return ERR_RANGE;
    copy_in(memory, gpa_to_ram(gpa), data, size);
    return OK;
}

static bool is_word(const struct guest_memory *memory, struct gpa gpa)
{
    return gpa.raw % sizeof(uint16_t) == 0 && guest_memory_contains(memory, gpa, sizeof(uint16_t));
}

enum err guest_memory_load16(const struct guest_memory *memory, struct gpa gpa, uint16_t *value)
{
    if (!is_word(memory, gpa))
        return ERR_RANGE;
    *value = __atomic_load_n((const uint16_t *)byte_at(memory, gpa_to_ram(gpa)), __ATOMIC_ACQUIRE);
    return OK;
}

enum err guest_memory_store16(struct guest_memory *memory, struct gpa gpa, uint16_t value)
{
    if (!is_word(memory, gpa))
        return ERR_RANGE;
    uint64_t offset = gpa_to_ram(gpa);
    __atomic_store_n((uint16_t *)byte_at(memory, offset), value, __ATOMIC_RELEASE);
    mark_written(memory, offset >> PAGE_SHIFT, offset >> PAGE_SHIFT);
    return OK;
}

bool guest_memory_exchange(struct guest_memory *memory, struct gpa gpa, uint64_t old, uint64_t new, size_t size)
{
    uint32_t old32 = (uint32_t)old;
    uint64_t offset = gpa_to_ram(gpa);
    if (gpa.raw % size != 0 || !guest_memory_contains(memory, gpa, size))
        return false;
    void *word = byte_at(memory, offset);
    bool done = size == sizeof(uint64_t)
                    ? __atomic_compare_exchange_n((uint64_t *)word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
                    : __atomic_compare_exchange_n((uint32_t *)word, &old32, (uint32_t)new, false, __ATOMIC_SEQ_CST,
                                                  __ATOMIC_RELAXED);
    if (done)
        mark_written(memory, offset >> PAGE_SHIFT, offset >> PAGE_SHIFT);
    return done;
}

enum err guest_memory_disk_read(const struct guest_memory *memory, uint64_t offset, void *out, size_t size)
{
    if (!in_bounds(offset, size, memory->disk_size))
        return ERR_RANGE;
    copy_out(memory, memory->size + offset, out, size);
    return OK;
}

enum err guest_memory_disk_write(struct guest_memory *memory, uint64_t offset, const void *data, size_t size)
{
    if (!in_bounds(offset, size, memory->disk_size))
        return ERR_RANGE;
    copy_in(memory, memory->size + offset, data, size);
    return OK;
}

enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn index, const void *data)
{
    if (index.raw >= guest_memory_frames(memory))
        return ERR_RANGE;
    uint8_t *frame = byte_at(memory, index.raw << PAGE_SHIFT);
    if (data)
        memcpy(frame, data, PAGE_SIZE);
    else
        memset(frame, 0, PAGE_SIZE);
    return OK;
}

/* The EPT knows the guest's frame numbers; no run of them reaches over the hole between low and high RAM. */
static void mark_dirty(void *context, struct gfn first, uint64_t count)
{
    struct bitmap *out = context;
    uint64_t index = gpa_to_ram(gfn_to_gpa(first)) >> PAGE_SHIFT;
    if (count == 1)
        bitmap_set(out, index);
    else
        bitmap_set_range(out, index, count);
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
                  (unsigned long long)(memory->size >> LARGE_PAGE_SHIFT));
        return e;
    }
    uint64_t words = bitmap_word_count(memory->written.bit_count);
    for (uint64_t i = 0; i < words; i++)
        __atomic_store_n(&memory->written.words[i], 0, __ATOMIC_RELAXED);
    memory->tracking = true;
    return OK;
}

void guest_memory_harvest(struct guest_memory *memory, struct bitmap *out)
{
    uint64_t *written = memory->written.words, words = bitmap_word_count(memory->written.bit_count);
    ept_harvest(&memory->ept, mark_dirty, out);
    for (uint64_t i = 0; i < words; i = bitmap_skip_zeros(written, i + 1, words))
        if (__atomic_load_n(&written[i], __ATOMIC_RELAXED))
            out->words[i] |= __atomic_exchange_n(&written[i], 0, __ATOMIC_SEQ_CST);
}

void guest_memory_track_stop(struct guest_memory *memory)
{
    ept_merge(&memory->ept);
    memory->tracking = false;
}
