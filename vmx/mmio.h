/*
 * A guest's access to memory that is no RAM: the instruction is fetched and decoded (with a small cache, because a driver's
 * few instructions come again and again), executed, and its accesses go to the bus.
 */
#ifndef TELEPOD_MMIO_H
#define TELEPOD_MMIO_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/mmio_instruction.h"

struct vcpu;

/*
 * Where 64-bit code was found: the paging that led to it, each paging-structure entry as it was then, and the bytes. As long
 * as all of them are the same, a walk would end at the same place; and that the code may be fetched, the processor has
 * just shown by fetching it.
 */
#define MMIO_LEVELS_MAX 5
struct mmio_code {
    uint64_t linear, cr0, cr3, cr4, efer;
    const uint8_t *bytes;               /* in the direct map, 16 of them; NULL: not known */
    unsigned levels;
    const uint64_t *entry[MMIO_LEVELS_MAX];     /* in the direct map */
    uint64_t value[MMIO_LEVELS_MAX];
};

/* An entry counts only if its bytes are those in the guest's memory now: the cache saves decoding, and can be never wrong. */
#define MMIO_CACHE_ENTRIES 16
struct mmio_cache_entry {
    uint8_t bytes[16];
    uint8_t mode;                       /* enum mmio_mode */
    struct mmio_instruction instruction;        /* length 0: empty */
    struct mmio_code code;
};
struct mmio_cache {
    struct mmio_cache_entry entry[MMIO_CACHE_ENTRIES];
};

/* vmx/mmio_code.c. Is 64-bit code at `linear` what this entry holds? Then it is decoded there already. */
bool mmio_code_is_known(const struct mmio_cache_entry *entry, uint64_t linear);
/* Notes where the entry's instruction lies; it was fetched from `linear` just now. */
void mmio_code_note(struct vcpu *vcpu, struct mmio_cache_entry *entry, uint64_t linear);

#define MMIO_NO_LINEAR (1ULL << 63)     /* no canonical address */
/*
 * Executes the instruction at the guest's RIP, which touched `gpa`, at linear address `linear` (MMIO_NO_LINEAR: the exit did
 * not tell). The guest then is past it, or has a fault, or is stopped with a sentence that shows the instruction.
 */
void mmio_emulate(struct vcpu *vcpu, uint64_t linear, uint64_t gpa);

#endif
