/*
 * The linear addresses of the guest that just exited: translated by its own paging, with its faults. On the vCPU's CPU, with its
 * VMCS current and its registers loaded.
 */
#ifndef TELEPOD_GUEST_ACCESS_H
#define TELEPOD_GUEST_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/guest_walk.h"

struct vcpu;

/* The guest's paging as it is now. */
void guest_paging(struct walk_state *paging);
/* False: the guest has been given a page fault, or it was stopped because its page tables lie outside its memory. */
bool guest_translate(struct vcpu *vcpu, const struct walk_state *paging, uint64_t linear, enum walk_access access,
                     uint64_t *gpa);
/* The base of a segment as an address in it is formed: 0 in 64-bit mode, but for FS and GS (SDM Vol. 1, 3.4.2.1). */
uint64_t guest_segment_base(struct vcpu *vcpu, unsigned segment);

#endif
