/*
 * A guest's own paging, walked in software, for the instructions that the pod emulates: their operands in memory,
 * and their own bytes. SDM Vol. 3A, chapter 4 "Paging": 32-bit, PAE and 4-level paging. Pure: reaches guest
 * memory through two functions. Sets accessed and dirty flags as the processor would.
 */
#ifndef TELEPOD_GUEST_WALK_H
#define TELEPOD_GUEST_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct walk_memory {
    /* size: 4 or 8 bytes, aligned. false: not RAM. */
    bool (*read)(void *context, uint64_t gpa, void *out, size_t size);
    /* In one step, because other vCPUs change their tables meanwhile: `new` if it is still `old`, else false. */
    bool (*update)(void *context, uint64_t gpa, uint64_t old, uint64_t new, size_t size);
    void *context;
};

struct walk_state {
    uint64_t cr0, cr3, cr4, efer, rflags;
    uint64_t pdpte[4];      /* with PAE paging: what the processor holds */
    bool user;              /* CPL = 3 */
};

enum walk_access { WALK_READ, WALK_WRITE, WALK_EXECUTE };

enum walk_result {
    WALK_OK,
    WALK_PAGE_FAULT,        /* *error_code: for #PF */
    WALK_NO_RAM,            /* a paging structure lies outside the guest's memory */
};

enum walk_result guest_walk(const struct walk_state *state, const struct walk_memory *memory, uint64_t linear,
                            enum walk_access access, uint64_t *gpa, uint32_t *error_code);

#endif
