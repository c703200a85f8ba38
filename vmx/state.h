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

#define VM_SECTION_NAME_MAX 16
#define VM_SECTION_BYTES_MAX 16384

/* One saved section: header, then `size` bytes of fields, padded with zeros to 8. */
struct vm_section_header {
    char name[VM_SECTION_NAME_MAX];  /* "gpr", "segments", "control", "msr", "xsave", "lapic", "uart", ... */
    uint32_t version;
    uint32_t instance;               /* vCPU or device index; a virtqueue's is device * 8 + queue */
    uint32_t size;                   /* bytes of fields that follow */
    uint32_t reserved;               /* 0 */
};

/* What vm_state_save writes, in bytes: follows from the machine's configuration and from whether it has ended. */
size_t vm_state_size(const struct vm *vm);
/* Saves all sections of a machine that is not running. ERR_RANGE: buffer too small. *used: bytes written. */
enum err vm_state_save(struct vm *vm, void *buffer, size_t size, size_t *used);
/*
 * Decodes and checks the whole buffer first, applies it only if all is right; otherwise ERR_* and the machine is
 * unchanged, with the reason in words (section, field) in why[why_size]. Each vCPU is loaded on its own CPU.
 * `ended`: the state of a machine that has ended, which has its console only.
 */
enum err vm_state_load(struct vm *vm, bool ended, const void *buffer, size_t size, char *why, size_t why_size);

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
