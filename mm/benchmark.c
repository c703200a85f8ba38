/* The harvest's price: see benchmark.h. The processor's part, setting A and D bits on a walk, is played here. */
#include "mm/benchmark.h"

#include <stdlib.h>
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "mm/guest_memory.h"
#include "mm/page.h"

#define GUEST_SIZE (256 * MIB)
#define DIRTY_FRAMES 100
#define LEVELS 4
#define ENTRY_BITS 9
#define ENTRY_MASK (BIT(ENTRY_BITS) - 1)

/* What the processor does for a write to a frame of a split EPT: A in each entry on the way, A and D in the last. */
static void play_write(const struct ept *ept, struct gfn gfn)
{
    struct hpa table = ept->root;
    for (unsigned level = LEVELS; level >= 1; level--) {
        uint64_t *entries = hpa_to_virt(table);
        uint64_t *entry = &entries[gfn.raw >> (ENTRY_BITS * (level - 1)) & ENTRY_MASK];
        *entry |= EPT_ACCESSED | (level == 1 ? EPT_DIRTY : 0);
        table.raw = *entry & EPT_ADDRESS_MASK;
    }
}

/* 100 page tables of the 128 get one written frame each, never at the same index. */
static struct gfn dirty_frame(unsigned i)
{
    return (struct gfn){ i * PAGES_PER_LARGE_PAGE + (i * 37) % PAGES_PER_LARGE_PAGE };
}

static enum err check(const struct bitmap *found)
{
    bool all = bitmap_count(found) == DIRTY_FRAMES;
    for (unsigned i = 0; i < DIRTY_FRAMES; i++)
        all = all && bitmap_test(found, dirty_frame(i).raw);
    return all ? OK : ERR_CORRUPT;
}

static enum err measure(struct guest_memory *memory, struct bitmap *found, uint64_t *ticks)
{
    enum err e = guest_memory_track_start(memory);
    if (e != OK)
        return e;
    for (unsigned i = 0; i < DIRTY_FRAMES; i++)
        play_write(&memory->ept, dirty_frame(i));
    uint64_t start = rdtsc();
    guest_memory_harvest(memory, found);
    *ticks = rdtsc() - start;
    guest_memory_track_stop(memory);
    return check(found);
}

enum err mm_benchmark_harvest(uint64_t *ticks)
{
    struct guest_memory memory;
    struct bitmap found = { .bit_count = GUEST_SIZE >> PAGE_SHIFT };
    found.words = calloc(bitmap_word_count(found.bit_count), sizeof *found.words);
    if (!found.words)
        return ERR_NO_MEMORY;
    enum err e = guest_memory_create(&memory, GUEST_SIZE, 0);
    if (e == OK) {
        e = measure(&memory, &found, ticks);
        guest_memory_destroy(&memory);
    }
    free(found.words);
    return e;
}
