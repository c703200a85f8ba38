/*
 * A guest's extended page tables: made, mapped, asked, thrown away. Guarantees: nothing that is mapped is mapped again, and
 * all tables come back. What is written through them is ept_tracking.c's.
 */
#include "kernel/lib/util.h"
#include "mm/ept_tables.h"

#define GPA_BITS 48u

/* EPTP (SDM 25.6.11 "Extended-Page-Table Pointer (EPTP)"). */
#define EPTP_MEMORY_TYPE_WB 6ULL
#define EPTP_WALK_LENGTH_4 (3ULL << 3)
#define EPTP_ACCESSED_DIRTY BIT(6)

static unsigned index_at(struct gpa gpa, unsigned level)
{
    return gpa.raw >> (PAGE_SHIFT + INDEX_BITS * (level - 1)) & (ENTRIES - 1);
}

enum err ept_init(struct ept *ept, const struct ept_memory *memory)
{
    *ept = (struct ept){ .memory = *memory };
    return new_table(ept, &ept->root);
}

static void destroy_below(struct ept *ept, uint64_t entry, unsigned level)
{
    uint64_t *table = table_at(ept, entry);
    for (unsigned i = 0; level > 1 && i < ENTRIES; i++)
        if (is_present(table[i]) && !is_large(table[i]))
            destroy_below(ept, table[i], level - 1);
    drop_table(ept, entry);
}

void ept_destroy(struct ept *ept)
{
    if (ept->table_count)
        destroy_below(ept, ept->root.raw, LEVELS);
    ept->split_count = 0;
}

uint64_t ept_pointer(const struct ept *ept)
{
    return ept->root.raw | EPTP_MEMORY_TYPE_WB | EPTP_WALK_LENGTH_4 | EPTP_ACCESSED_DIRTY;
}

uint64_t ept_tables_needed(uint64_t size)
{
    uint64_t tables = 1;
    for (unsigned level = 1; level < LEVELS; level++)
        tables += DIV_ROUND_UP(size, frames_per_entry(level + 1) * PAGE_SIZE);
    return tables;
}

/* The page directory over gpa, with the tables above it; made where they are missing. */
static enum err directory_over(struct ept *ept, struct gpa gpa, uint64_t **directory)
{
    uint64_t *table = table_at(ept, ept->root.raw);
    for (unsigned level = LEVELS; level > LARGE_LEVEL; level--) {
        uint64_t *entry = &table[index_at(gpa, level)];
        if (!is_present(*entry)) {
            struct hpa below;
            enum err e = new_table(ept, &below);
            if (e != OK)
                return e;
            *entry = below.raw | EPT_RWX;
        }
        table = table_at(ept, *entry);
    }
    *directory = table;
    return OK;
}

enum err ept_map_large(struct ept *ept, struct gpa gpa, struct hpa hpa)
{
    if (gpa.raw % LARGE_PAGE_SIZE || gpa.raw >> GPA_BITS || hpa.raw & ~LARGE_ADDRESS_MASK)
        return ERR_INVALID;
    uint64_t *directory;
    enum err e = directory_over(ept, gpa, &directory);
    if (e != OK)
        return e;
    uint64_t *entry = &directory[index_at(gpa, LARGE_LEVEL)];
    if (is_present(*entry))
        return ERR_EXISTS;
    *entry = hpa.raw | LEAF_FLAGS | EPT_LARGE;
    return OK;
}

enum err ept_map_apic_page(struct ept *ept, struct gpa gpa, struct hpa hpa)
{
    if (gpa.raw % PAGE_SIZE || gpa.raw >> GPA_BITS || hpa.raw & ~EPT_ADDRESS_MASK)
        return ERR_INVALID;
    uint64_t *directory;
    struct hpa table;
    enum err e = directory_over(ept, gpa, &directory);
    if (e != OK)
        return e;
    uint64_t *entry = &directory[index_at(gpa, LARGE_LEVEL)];
    if (is_present(*entry))
        return ERR_EXISTS;
    e = new_table(ept, &table);
    if (e != OK)
        return e;
    uint64_t *leaves = table_at(ept, table.raw);
    leaves[index_at(gpa, 1)] = hpa.raw | EPT_READ | EPT_WRITE | EPT_MEMORY_TYPE_WB | EPT_IGNORE_PAT;
    *entry = table.raw | EPT_RWX | EPT_KEEP;
    return OK;
}

bool ept_show_apic_page(struct ept *ept, struct gpa gpa, bool shown)
{
    uint64_t *entry = &table_at(ept, ept->root.raw)[index_at(gpa, LEVELS)];
    for (unsigned level = LEVELS - 1; level >= 1; level--)
        entry = &table_at(ept, *entry)[index_at(gpa, level)];
    bool was_shown = is_present(*entry);
    *(volatile uint64_t *)entry = (*entry & ~EPT_RWX) | (shown ? EPT_READ | EPT_WRITE : 0);
    return was_shown && !shown;
}

bool ept_translate(const struct ept *ept, struct gpa gpa, struct hpa *out)
{
    if (gpa.raw >> GPA_BITS)
        return false;
    uint64_t entry = ept->root.raw;
    for (unsigned level = LEVELS; level >= 1; level--) {
        entry = table_at(ept, entry)[index_at(gpa, level)];
        if (!is_present(entry))
            return false;
        if (level == LARGE_LEVEL && is_large(entry)) {
            out->raw = (entry & LARGE_ADDRESS_MASK) | (gpa.raw & (LARGE_PAGE_SIZE - 1));
            return true;
        }
    }
    out->raw = (entry & EPT_ADDRESS_MASK) | (gpa.raw & PAGE_MASK);
    return true;
}
