/*
 * The memory type range registers of a vCPU (SDM Vol. 3A, 12.11 "Memory Type Range Registers (MTRRs)"). The guest's own
 * numbers, checked as the processor would and kept: they have no effect, because all of its memory is write-back
 * whatever it says (EPT entries with "ignore PAT"), and its devices are software. Pure.
 */
#ifndef TELEPOD_MTRR_H
#define TELEPOD_MTRR_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/fields.h"

#define MTRR_VARIABLE_RANGES 8
#define MTRR_FIXED_RANGES 11

struct state_mtrr {
    uint64_t def_type;                      /* IA32_MTRR_DEF_TYPE */
    uint64_t fixed[MTRR_FIXED_RANGES];      /* IA32_MTRR_FIX64K_00000 to IA32_MTRR_FIX4K_F8000 */
    uint64_t physbase[MTRR_VARIABLE_RANGES], physmask[MTRR_VARIABLE_RANGES];
};
extern const struct section mtrr_section;

/* As firmware leaves them on every processor: on, all memory write-back. */
void mtrr_reset(struct state_mtrr *mtrr);

bool mtrr_is_msr(uint32_t msr);             /* IA32_MTRRCAP too */
/* For MSRs of which mtrr_is_msr says so. False: #GP(0). address_bits: the guest's physical-address width. */
bool mtrr_read(const struct state_mtrr *mtrr, uint32_t msr, uint64_t *value);
bool mtrr_write(struct state_mtrr *mtrr, uint32_t msr, unsigned address_bits, uint64_t value);

#endif
