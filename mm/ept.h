/*
 * Extended page tables of one guest (SDM Vol. 3C, 29.3 "The Extended Page Table Mechanism (EPT)"), with
 * accessed and dirty bits on. The walker itself is pure: it reaches tables through struct ept_memory, so that
 * host tests run it on their own memory. Invalidation (INVEPT) is the caller's: every function says whether
 * it demands one.
 */
#ifndef TELEPOD_EPT_H
#define TELEPOD_EPT_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

/*
 * Where table pages come from: the kernel gives page_alloc and the direct map, a test gives its own arrays.
 */
struct ept_memory {
    enum err (*alloc_table)(void *context, struct hpa *out);   /* one zeroed frame */
    void (*free_table)(void *context, struct hpa table);
    void *(*to_virt)(void *context, struct hpa a);
    void *context;
};

struct ept {
    struct hpa root;               /* the PML4 table */
    struct ept_memory memory;
    uint64_t table_count;          /* table pages in use, the root included */
    uint64_t split_count;          /* 2 MiB pages that are split now */
};

/* Bits of EPT entries (SDM Vol. 3C, 29.3.2 "EPT Translation Mechanism", Tables 29-1 to 29-7). */
#define EPT_READ BIT(0)
#define EPT_WRITE BIT(1)
#define EPT_EXECUTE BIT(2)
#define EPT_MEMORY_TYPE_WB (6ULL << 3)
#define EPT_IGNORE_PAT BIT(6)
#define EPT_LARGE BIT(7)
#define EPT_ACCESSED BIT(8)
#define EPT_DIRTY BIT(9)
#define EPT_ADDRESS_MASK 0x000ffffffffff000ULL
#define EPT_KEEP BIT(52)       /* ours, ignored by the processor: a directory entry whose table no tracking touches */

enum err ept_init(struct ept *ept, const struct ept_memory *memory);
void ept_destroy(struct ept *ept);                 /* frees all tables; not the guest's frames */
uint64_t ept_pointer(const struct ept *ept);       /* the EPTP: WB, 4 levels, A/D enabled (SDM 25.6.11) */

/*
 * Maps one 2 MiB page read-write-execute. ERR_INVALID: an address is no multiple of 2 MiB or too wide;
 * ERR_EXISTS: something is mapped there; ERR_NO_MEMORY. No INVEPT needed (it was not present).
 */
enum err ept_map_large(struct ept *ept, struct gpa gpa, struct hpa hpa);
/*
 * Maps one 4 KiB page read-write, for the APIC-access page (SDM Vol. 3C, 30.4 "Virtualizing Memory-Mapped APIC
 * Accesses"), in a 2 MiB of guest-physical addresses where nothing else lies. It is no RAM: it is never split, merged
 * or harvested. The frame stays the caller's. Errors as ept_map_large; no INVEPT needed.
 */
enum err ept_map_apic_page(struct ept *ept, struct gpa gpa, struct hpa hpa);
/* Lets the guest at that page, which has been mapped, or not. True: the page is hidden now and was not; INVEPT. */
bool ept_show_apic_page(struct ept *ept, struct gpa gpa, bool shown);
#define EPT_APIC_TABLES 2u     /* table pages that it may need: a directory and a page table */
/* Table pages that a guest of `size` bytes from address 0 needs at most, split or not. */
uint64_t ept_tables_needed(uint64_t size);
/* Translates as the processor would; false if not mapped. What tests look by. */
bool ept_translate(const struct ept *ept, struct gpa gpa, struct hpa *out);

/*
 * Tracking. ept_split turns all 2 MiB pages into 4 KiB pages (D of the large page is inherited by each of the
 * 512, so that nothing written before is lost). ERR_NO_MEMORY leaves the tables valid (some split): call
 * ept_merge. ept_merge undoes it (the D bits are or-ed into the large page) and frees the tables. Both demand
 * INVEPT before the guest runs again.
 */
enum err ept_split(struct ept *ept);
void ept_merge(struct ept *ept);

/*
 * Calls mark(context, first, count) for every run of written 4 KiB frames and clears their D bits. Subtrees
 * whose non-leaf A bit is clear were not touched since the last harvest and are skipped; A bits that are seen
 * are cleared. A large page that is dirty is reported as 512 frames. The vCPUs must be out of guest mode, and
 * INVEPT must be done before they enter again: until then cached translations with D = 1 would let writes go
 * unrecorded (SDM 29.3.5).
 */
typedef void ept_mark_dirty(void *context, struct gfn first, uint64_t count);
void ept_harvest(struct ept *ept, ept_mark_dirty *mark, void *context);

#endif
