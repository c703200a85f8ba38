/*
 * Executes one decoded instruction on a guest's registers, flags, RAM and devices. Pure: what it needs of the machine is
 * in struct mmio_machine. Nothing is read or written before all operands are known to be accessible, so that an
 * instruction that faults has had no effect on a device.
 */
#ifndef TELEPOD_MMIO_EXECUTE_H
#define TELEPOD_MMIO_EXECUTE_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/mmio_instruction.h"

/* An operand in guest-physical memory; the second piece is there if it crosses into another page. */
struct mmio_place {
    uint64_t gpa[2];
    uint8_t size[2];        /* bytes; together the operand's */
};

struct mmio_machine {
    uint64_t *gpr;          /* GPR_COUNT of them, RSP too */
    uint64_t rflags;
    uint64_t next_rip;      /* of the instruction that follows */
    bool mode64;
    /* False: the guest was given a fault, or it was stopped. */
    bool (*locate)(void *context, uint64_t linear, unsigned size, bool write, struct mmio_place *out);
    uint64_t (*read)(void *context, const struct mmio_place *place);
    void (*write)(void *context, const struct mmio_place *place, uint64_t value);
    uint64_t (*segment_base)(void *context, unsigned segment);
    void *context;
};

enum mmio_executed {
    MMIO_DONE,              /* on to next_rip */
    MMIO_AGAIN,             /* one element of a repeated string instruction; there are more */
    MMIO_FAULTED,           /* locate() has seen to it */
};

enum mmio_executed mmio_execute(const struct mmio_instruction *instruction, struct mmio_machine *machine);

#endif
