/*
 * What this file guarantees: a frame that the guest wrote since the last harvest is reported by the next one.
 *
 * The leaf's D bit alone would be enough to say so, if each harvest read every leaf. Ours reads only the
 * tables whose non-leaf entry has its A bit set, so that the cost follows what the guest touched and not its
 * size. That is sound by this invariant, true whenever no vCPU of the guest is in guest mode and INVEPT
 * followed the last change of ours:
 *
 *      a leaf entry with D = 1 has A = 1 in each non-leaf entry above it.
 *
 * Why it holds (SDM Vol. 3C, 29.3.5 "Accessed and Dirty Flags for EPT" and 29.4 "Caching Translation
 * Information"):
 *   1. The processor sets A in every EPT entry that it uses in a translation and D in the leaf that it uses
 *      for a write. It may use a cached copy instead of the entry in memory; a copy with A (or D) set is used
 *      without another look at memory. Copies are the only way in which a write can pass without setting A
 *      and D where we cleared them.
 *   2. A harvest runs while no vCPU is in guest mode. It clears A on its way down and D in the leaves below,
 *      never a D whose path it left unread: an entry with A = 0 has no D below it, by the invariant.
 *   3. INVEPT follows before the next VM entry (29.4.3.4 "Guidelines for Use of the INVEPT Instruction"), and
 *      with it all copies that were made of this EPT's entries are gone, those of non-leaf entries
 *      (paging-structure caches) too. The first write to a frame after it must therefore read each entry of
 *      the path from memory, or from a copy made after the INVEPT, and the making of that copy set A in
 *      memory. So D = 1 in the leaf comes with A = 1 above it again.
 *   4. Split and merge keep it: split gives the new non-leaf entry A when the large page had A or D; merge
 *      moves D from the 512 leaves to the large page, whose path above is the same.
 * Without step 3 a write to a frame whose copy still says D = 1 would be lost: this is the bug to look for in
 * any caller.
 */
#include <stddef.h>
#include "kernel/lib/util.h"
#include "mm/ept_tables.h"

#define GROUP 16u               /* entries that are looked at together first */

/* Calls visit for each page directory until it fails. */
static enum err for_each_directory(struct ept *ept, uint64_t *table, unsigned level,
                                   enum err (*visit)(struct ept *ept, uint64_t *directory))
{
    if (level == LARGE_LEVEL)
        return visit(ept, table);
    enum err e = OK;
    for (unsigned i = 0; e == OK && i < ENTRIES; i++)
        if (is_present(table[i]))
            e = for_each_directory(ept, table_at(ept, table[i]), level - 1, visit);
    return e;
}

/*
 * The table gets written whole, so that its earlier content does not matter. Unrolled: a split is part of a
 * teleport's start.
 */
static void fill_leaves(uint64_t *table, uint64_t first_leaf)
{
    for (unsigned i = 0; i < ENTRIES; i += 4, first_leaf += 4 * PAGE_SIZE) {
        table[i] = first_leaf;
        table[i + 1] = first_leaf + PAGE_SIZE;
        table[i + 2] = first_leaf + 2 * PAGE_SIZE;
        table[i + 3] = first_leaf + 3 * PAGE_SIZE;
    }
}

static enum err split_directory(struct ept *ept, uint64_t *directory)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t large = directory[i];
        if (!is_present(large) || !is_large(large))
            continue;
        struct hpa table;
        enum err e = new_table(ept, &table);
        if (e != OK)
            return e;
        uint64_t used = large & (EPT_ACCESSED | EPT_DIRTY);
        fill_leaves(table_at(ept, table.raw), (large & LARGE_ADDRESS_MASK) | LEAF_FLAGS | used);
        directory[i] = table.raw | EPT_RWX | (used ? EPT_ACCESSED : 0);
        ept->split_count++;
    }
    return OK;
}

enum err ept_split(struct ept *ept)
{
    return for_each_directory(ept, table_at(ept, ept->root.raw), LEVELS, split_directory);
}

static enum err merge_directory(struct ept *ept, uint64_t *directory)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!is_present(directory[i]) || is_large(directory[i]) || (directory[i] & EPT_KEEP))
            continue;
        const uint64_t *table = table_at(ept, directory[i]);
        uint64_t large = (table[0] & EPT_ADDRESS_MASK) | LEAF_FLAGS | EPT_LARGE;
        uint64_t used = 0;
#pragma GCC unroll 8
        for (unsigned k = 0; k < ENTRIES; k++)
            used |= table[k];
        drop_table(ept, directory[i]);
        directory[i] = large | (used & (EPT_ACCESSED | EPT_DIRTY));
        ept->split_count--;
    }
    return OK;
}

void ept_merge(struct ept *ept)
{
    (void)for_each_directory(ept, table_at(ept, ept->root.raw), LEVELS, merge_directory);
}

/* Written frames that follow each other, not yet reported. */
struct run {
    ept_mark_dirty *mark;
    void *context;
    uint64_t first, count;
};

static void run_flush(struct run *run)
{
    if (run->count)
        run->mark(run->context, (struct gfn){ run->first }, run->count);
}

static inline void run_add(struct run *run, uint64_t first, uint64_t count)
{
    if (run->first + run->count == first) {
        run->count += count;
        return;
    }
    run_flush(run);
    run->first = first;
    run->count = count;
}

/*
 * The inner loop of every pre-copy round: one OR an entry, one branch for sixteen. The run is kept in
 * registers meanwhile.
 */
static void harvest_leaves(uint64_t *table, uint64_t first, struct run *run)
{
    struct run r = *run;
    for (uint64_t *group = table; group < table + ENTRIES; group += GROUP) {
        uint64_t any = 0;
#pragma GCC unroll 16
        for (unsigned k = 0; k < GROUP; k++)
            any |= group[k];
        if (!(any & EPT_DIRTY))
            continue;
        for (uint64_t *entry = group; entry < group + GROUP; entry++) {
            if (*entry & EPT_DIRTY) {
                *entry &= ~EPT_DIRTY;
                run_add(&r, first + (uint64_t)(entry - table), 1);
            }
        }
    }
    *run = r;
}

/* Which of a group of entries were used: a table of few of them costs an instruction or two an entry. */
static bool any_used(const uint64_t *group)
{
    uint64_t any = 0;
#pragma GCC unroll 16
    for (unsigned k = 0; k < GROUP; k++)
        any |= group[k];
    return any & (EPT_ACCESSED | EPT_DIRTY);
}

static void harvest_table(const struct ept *ept, uint64_t *table, unsigned level, uint64_t first,
                          struct run *run)
{
    if (level == 1) {
        harvest_leaves(table, first, run);
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t entry = table[i];
        if (i % GROUP == 0 && !any_used(&table[i])) {
            i += GROUP - 1;
            continue;
        }
        if (!(entry & (EPT_ACCESSED | EPT_DIRTY)) || (entry & EPT_KEEP))
            continue;
        uint64_t entry_first = first + i * frames_per_entry(level);
        table[i] = entry & ~(EPT_ACCESSED | EPT_DIRTY);
        if (level > LARGE_LEVEL || !is_large(entry))
            harvest_table(ept, table_at(ept, entry), level - 1, entry_first, run);
        else if (entry & EPT_DIRTY)
            run_add(run, entry_first, PAGES_PER_LARGE_PAGE);
    }
}

void ept_harvest(struct ept *ept, ept_mark_dirty *mark, void *context)
{
    struct run run = { .mark = mark, .context = context };
    harvest_table(ept, table_at(ept, ept->root.raw), LEVELS, 0, &run);
    run_flush(&run);
}
