/* One loop for the three paging modes; a mode is a line in a table. */
#include "vmx/guest_walk.h"

#include "kernel/arch/msr.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

/* Bits of paging-structure entries (SDM Vol. 3A, Tables 4-4 to 4-20), the same in all modes. */
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITABLE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_EXECUTE_DISABLE BIT(63)
#define ENTRY_ADDRESS_64 0x000ffffffffff000ULL
#define ENTRY_ADDRESS_32 0xfffff000ULL

/* Page-fault error code (Vol. 3A, 4.7 "Page-Fault Exceptions"). */
#define FAULT_PRESENT 1u
#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define FAULT_FETCH 16u

#define RFLAGS_AC BIT(18)

struct mode {
    unsigned levels;            /* that are walked in memory */
    unsigned entry_bytes;
    unsigned index_bits;
    unsigned large_levels;      /* an entry of level 2 .. large_levels may map a page; 1: none may */
    uint64_t address_mask;
};

static struct mode choose_mode(const struct walk_state *s)
{
    if (s->efer & IA32_EFER_LMA)
        return (struct mode){ 4, 8, 9, 3, ENTRY_ADDRESS_64 };
    if (s->cr4 & CR4_PAE)
        return (struct mode){ 2, 8, 9, 2, ENTRY_ADDRESS_64 };
    return (struct mode){ 2, 4, 10, s->cr4 & CR4_PSE ? 2 : 1, ENTRY_ADDRESS_32 };
}

/* 32-bit paging has no execute-disable bits, whatever IA32_EFER.NXE says. */
static bool execute_disable_counts(const struct walk_state *s)
{
    return (s->efer & IA32_EFER_NXE) && (s->cr4 & CR4_PAE);
}

/* The fetch bit is there only where a fetch can differ from a read. */
static enum walk_result fault(const struct walk_state *s, enum walk_access access, bool present, uint32_t *error_code)
{
    bool tells_fetch = access == WALK_EXECUTE && (execute_disable_counts(s) || (s->cr4 & CR4_SMEP));
    *error_code = (present ? FAULT_PRESENT : 0) | (access == WALK_WRITE ? FAULT_WRITE : 0) | (s->user ? FAULT_USER : 0) |
                  (tells_fetch ? FAULT_FETCH : 0);
    return WALK_PAGE_FAULT;
}

/*
 * Vol. 3A, 4.6.1 "Determination of Access Rights". `rights`: the and of all entries, but for the execute-disable bit,
 * which is their or.
 */
static bool allowed(const struct walk_state *s, uint64_t rights, enum walk_access access)
{
    bool user_page = rights & ENTRY_USER, writable = rights & ENTRY_WRITABLE, write = access == WALK_WRITE;
    if (access == WALK_EXECUTE) {
        if ((rights & ENTRY_EXECUTE_DISABLE) && execute_disable_counts(s))
            return false;
        return s->user ? user_page : !(user_page && (s->cr4 & CR4_SMEP));
    }
    if (s->user)
        return user_page && (writable || !write);
    if (user_page && (s->cr4 & CR4_SMAP) && !(s->rflags & RFLAGS_AC))
        return false;
    return writable || !write || !(s->cr0 & CR0_WP);
}

#define UPDATES_MAX 8 /* a guest that changes an entry that often under one walk gets none of its flags */

/*
 * Sets these flags in the entry at `where`, which was `*entry`. False: it has changed meanwhile, and *entry is its present
 * value: the walk looks at it again.
 */
static bool set_flags(const struct walk_memory *memory, uint64_t where, uint64_t *entry, uint64_t flags, unsigned bytes,
                      unsigned *updates)
{
    uint64_t now = 0;
    if ((*entry & flags) == flags || memory->update(memory->context, where, *entry, *entry | flags, bytes))
        return true;
    if (++*updates > UPDATES_MAX || !memory->read(memory->context, where, &now, bytes) || now == *entry)
        return true;
    *entry = now;
    return false;
}

/* Where the walk begins. With PAE the first level is in the processor. */
static bool start_table(const struct walk_state *s, uint64_t linear, uint64_t *table)
{
    if ((s->efer & IA32_EFER_LMA) || !(s->cr4 & CR4_PAE)) {
        *table = s->cr3 & ENTRY_ADDRESS_64;
        return true;
    }
    uint64_t pdpte = s->pdpte[linear >> 30 & 3];
    *table = pdpte & ENTRY_ADDRESS_64;
    return pdpte & ENTRY_PRESENT;
}

/* The and of what the entries allow, and the or of what they forbid. */
static uint64_t add_rights(uint64_t rights, uint64_t entry)
{
    return (rights & entry & ~ENTRY_EXECUTE_DISABLE) | ((rights | entry) & ENTRY_EXECUTE_DISABLE);
}

enum walk_result guest_walk(const struct walk_state *s, const struct walk_memory *memory, uint64_t linear,
                            enum walk_access access, uint64_t *gpa, uint32_t *error_code)
{
    const struct mode mode = choose_mode(s);
    uint64_t table, rights = ENTRY_USER | ENTRY_WRITABLE;
    unsigned updates = 0;
    if (!(s->cr0 & CR0_PG)) {
        *gpa = (uint32_t)linear;
        return WALK_OK;
    }
    if (!start_table(s, linear, &table))
        return fault(s, access, false, error_code);
    for (unsigned level = mode.levels;; level--) {
        unsigned shift = PAGE_SHIFT + mode.index_bits * (level - 1);
        uint64_t where = table + (linear >> shift & (BIT(mode.index_bits) - 1)) * mode.entry_bytes;
        uint64_t entry = 0, page_mask = BIT(shift) - 1, flags;
        bool leaf;
        if (!memory->read(memory->context, where, &entry, mode.entry_bytes))
            return WALK_NO_RAM;
        do {
            leaf = level == 1 || ((entry & ENTRY_LARGE) && level <= mode.large_levels);
            flags = ENTRY_ACCESSED | (leaf && access == WALK_WRITE ? ENTRY_DIRTY : 0);
            if (!(entry & ENTRY_PRESENT))
                return fault(s, access, false, error_code);
            if (leaf && !allowed(s, add_rights(rights, entry), access))
                return fault(s, access, true, error_code);
        } while (!set_flags(memory, where, &entry, flags, mode.entry_bytes, &updates));
        rights = add_rights(rights, entry);
        if (leaf) {
            *gpa = (entry & mode.address_mask & ~page_mask) | (linear & page_mask);
            return WALK_OK;
        }
        table = entry & mode.address_mask;
    }
}
