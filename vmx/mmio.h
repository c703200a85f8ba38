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

/* An entry counts only if its bytes are those in the guest's memory now: the cache saves decoding, and can be never wrong. */
#define MMIO_CACHE_ENTRIES 16
struct mmio_cache {
    struct {
        uint8_t bytes[16];
        uint8_t mode;                   /* enum mmio_mode */
        struct mmio_instruction instruction;    /* length 0: empty */
    } entry[MMIO_CACHE_ENTRIES];
};

#define MMIO_NO_LINEAR (1ULL << 63)     /* no canonical address */
/*
 * Executes the instruction at the guest's RIP, which touched `gpa`, at linear address `linear` (MMIO_NO_LINEAR: the exit did
 * not tell). The guest then is past it, or has a fault, or is stopped with a sentence that shows the instruction.
 */
void mmio_emulate(struct vcpu *vcpu, uint64_t linear, uint64_t gpa);

#endif
