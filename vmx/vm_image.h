/*
 * All the state of one machine but its memory, decoded: what vmx/state.c takes from a live machine and gives to one.
 * Only values. Which parts there are follows from the machine's configuration and from nothing else, so that a source
 * and a target of the same make agree on them before anything is sent. Pure.
 */
#ifndef TELEPOD_VM_IMAGE_H
#define TELEPOD_VM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "vmx/devices/lapic.h"
#include "vmx/platform.h"
#include "vmx/state_codec.h"
#include "vmx/vcpu_state.h"

struct vcpu_image {
    struct vcpu_state state;
    struct lapic_state lapic;
};

/* Where the guest's serial output stands: whoever reads it goes on at this byte on the target. */
struct state_console {
    uint64_t position;
};

struct vm_image {
    struct state_clock clock;
    struct state_console console;
    struct platform platform;
    uint32_t vcpu_count;
    struct vcpu_image vcpus[];
};

#define VCPU_PARTS 9u
#define VM_IMAGE_PARTS_MAX (2u + PLATFORM_PARTS_MAX + VCPU_PARTS * GUEST_VCPUS_MAX)

/* An image, all zero, for a machine of `vcpus`; NULL: no memory. For free(). */
struct vm_image *vm_image_new(uint32_t vcpus);
/*
 * The parts of a machine of this configuration, numbered, in the order of the stream; returns how many. A machine that has ended
 * has its console only: its processors and devices will be reset before they run again.
 */
uint32_t vm_image_parts(struct vm_image *image, const struct guest_config *config, bool ended,
                        struct state_part out[VM_IMAGE_PARTS_MAX]);

/* The kinds of sections among these parts, each once: what a source says of itself before it sends them. */
struct state_kind {
    const char *name;
    uint32_t version, instances;
};
#define STATE_KINDS_MAX 32
/* Returns how many, in the order of their numbers; those beyond STATE_KINDS_MAX are left out. */
uint32_t state_kinds(const struct state_part *parts, uint32_t count, struct state_kind out[STATE_KINDS_MAX]);

#endif
