/*
 * All the state of a paused machine but its memory, as a list of typed, versioned sections: what a teleport puts on
 * the wire. A section is described once, by a table of fields (offset, size, name, check); size, save, load and the
 * dissector come from that table, so they cannot disagree. Everything is little-endian. No host pointer, no host
 * time.
 *
 * Times in here are guest TSC values at the pause: the machine's clocks stand still in the stream, and the target
 * moves them on by the measured downtime when it resumes (vm_set_guest_tsc).
 */
#ifndef TELEPOD_STATE_H
#define TELEPOD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

struct vm;

#define VM_SECTION_NAME_MAX 16      /* of a kind's name: "gpr", "segments", "control", "msr", "xsave", "lapic", "uart", ... */
#define VM_SECTION_BYTES_MAX 4096   /* fields of one section */

/* One saved section: header, then `size` bytes: the fields without their zeros (vmx/squeeze.h). */
struct vm_section_header {
    uint8_t kind;                    /* which of the machine's kinds of sections, which its peer knows in the same order */
    uint8_t instance;                /* vCPU or device index; a virtqueue's is device * 8 + queue */
    uint16_t size;
} __attribute__((packed));         /* sections follow each other at any address */

/*
 * What saving or loading the state of this machine takes: it is taken before the guest stands still. `ended`: the state of
 * a machine that has ended, which has its console only. NULL: no memory.
 */
struct vm_state_room;
struct vm_state_room *vm_state_room_new(struct vm *vm, bool ended);
void vm_state_room_free(struct vm_state_room *room);    /* NULL is fine */

/*
 * Saving: the machine's state as it is now, into the room. A machine that runs is held for it, and goes on: most of its
 * state will not have changed when it is captured again. ERR_STATE: it has ended, or has not.
 */
enum err vm_state_capture(struct vm *vm, struct vm_state_room *room);
#define VM_STATE_RECORD_MIN 8192    /* bytes */
/*
 * What was captured as sections, as many as fit into buffer[size] (at least VM_STATE_RECORD_MIN), but none that is as it
 * was when it was written last; returns the bytes, a multiple of 8. 0: that was all.
 */
size_t vm_state_write(struct vm_state_room *room, void *buffer, size_t size);

/*
 * Loading: sections as vm_state_write has made them, whole ones, decoded and checked into the room; the last of each counts.
 * ERR_RANGE, ERR_INVALID with the reason in words (section, field) in why[why_size]: the room is then of no more use.
 */
enum err vm_state_read(struct vm_state_room *room, const void *buffer, size_t size, char *why, size_t why_size);
/*
 * Checks what has come as a whole and against this host, and gives it to the machine only if all is right and nothing is
 * missing; otherwise ERR_* and the machine is unchanged, with the reason in words. Each vCPU is loaded on its own CPU.
 */
enum err vm_state_load(struct vm *vm, struct vm_state_room *room, char *why, size_t why_size);

/* Where the machine's guest TSC stood at its pause (the first vCPU's). */
uint64_t vm_guest_tsc_at_pause(const struct vm *vm);
/* Before vm_resume on the target: the guest TSC at host TSC `host_tsc` shall be guest_tsc. Never sets it back. */
void vm_set_guest_tsc(struct vm *vm, uint64_t guest_tsc, uint64_t host_tsc);

struct vm_policy_cpuid { uint32_t leaf, subleaf, eax, ebx, ecx, edx; };
#define VM_POLICY_CPUID_MAX 32

/*
 * What a host must offer to run this guest: the CPUID and MSR policy. Goes first in a teleport; a host that lacks
 * something refuses with the feature's name before a page is sent.
 */
struct vm_policy {
    uint32_t version;                /* VM_POLICY_VERSION */
    uint32_t cpuid_count;
    uint64_t tsc_hz;                 /* the guest's TSC frequency */
    uint64_t xcr0;                   /* XSAVE components that the guest may enable */
    uint32_t physical_address_bits;
    uint32_t reserved;
    struct vm_policy_cpuid cpuid[VM_POLICY_CPUID_MAX]; /* as the guest sees them, sorted by leaf and subleaf */
};
#define VM_POLICY_VERSION 1

void vm_policy_of(const struct vm *vm, struct vm_policy *out);
/* OK, or ERR_UNSUPPORTED and the lacking feature in words: "CPUID 7.0 EBX bit 5 (AVX2)". Pure but for CPUID itself. */
enum err vm_policy_check(const struct vm_policy *policy, char *why, size_t why_size);
/* Gives an incoming machine the policy of its source instead of this host's default. Call after a good check. */
enum err vm_policy_apply(struct vm *vm, const struct vm_policy *policy);

#endif
