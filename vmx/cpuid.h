/*
 * What CPUID tells a guest, as a pure function of what the host's CPUID says and of what the pod can
 * virtualize. A feature is offered only if it is named in the table of vmx/cpuid_features.c: what nobody
 * thought about stays hidden. No globals.
 *
 * The table in struct vm_policy is sorted by (leaf, subleaf), holds no entry twice, and holds no bit that
 * depends on the guest's registers (OSXSAVE, the sizes of the enabled XSAVE area): cpuid_policy_lookup puts
 * those in.
 */
#ifndef TELEPOD_VMX_CPUID_H
#define TELEPOD_VMX_CPUID_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/state.h"

/* Indices into the four result registers, in the order of the instruction's description. */
enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX, CPUID_REGISTERS };

#define CPUID_LEAF_BASIC_MAX 0x00000000u
#define CPUID_LEAF_FEATURES 0x00000001u
#define CPUID_LEAF_CACHE_DESCRIPTORS 0x00000002u
#define CPUID_LEAF_CACHE_PARAMETERS 0x00000004u
#define CPUID_LEAF_THERMAL_POWER 0x00000006u
#define CPUID_LEAF_EXTENDED_FEATURES 0x00000007u
#define CPUID_LEAF_TOPOLOGY 0x0000000bu
#define CPUID_LEAF_XSAVE 0x0000000du
#define CPUID_LEAF_TSC 0x00000015u
#define CPUID_LEAF_FREQUENCY 0x00000016u
#define CPUID_LEAF_HYPERVISOR 0x40000000u
#define CPUID_LEAF_HYPERVISOR_TIMING 0x40000010u
#define CPUID_LEAF_EXTENDED_MAX 0x80000000u
#define CPUID_LEAF_EXTENDED_SIGNATURE 0x80000001u
#define CPUID_LEAF_BRAND_FIRST 0x80000002u
#define CPUID_LEAF_BRAND_LAST 0x80000004u
#define CPUID_LEAF_L2_CACHE 0x80000006u
#define CPUID_LEAF_INVARIANT_TSC 0x80000007u
#define CPUID_LEAF_ADDRESS_SIZES 0x80000008u

#define CPUID_XSAVE_ECX_ALIGN (1u << 1)  /* the component starts at a multiple of 64 in compacted format */
#define CPUID_TOPOLOGY_LEVELS 2          /* thread, core */

/* XCR0 bits (SDM Vol. 1, section 13.1 "XSAVE-Supported Features and State-Component Bitmaps"). */
#define XCR0_X87 (1ull << 0)
#define XCR0_SSE (1ull << 1)
#define XCR0_AVX (1ull << 2)
#define XCR0_AVX512 (7ull << 5)      /* opmask, ZMM_Hi256, Hi16_ZMM: all or none */
#define XCR0_OFFERED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

/* Where the host's CPUID comes from: the instruction itself, or a recording in a test. */
struct cpuid_source {
    void (*read)(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS]);
    const void *context;
};

/* What the pod found that it can or cannot virtualize, besides the host's CPUID. */
struct cpuid_constraints {
    uint64_t tsc_hz;    /* measured, not CPUID's; > 0 */
    bool rdtscp;        /* VM-execution control "enable RDTSCP" may be 1 (governs RDPID too) */
    bool invpcid;       /* VM-execution control "enable INVPCID" may be 1 */
};

/* Fills *out wholly with this host's default policy, as the first of one processor sees it. */
void cpuid_policy_build(struct vm_policy *out, const struct cpuid_source *host,
                        const struct cpuid_constraints *constraints);

/*
 * What CPUID returns to a guest whose control registers are these. Any leaf and subleaf, any policy (also a
 * malformed one) is safe. Under 100 instructions for the leaves that guests ask in loops.
 */
void cpuid_policy_lookup(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf, uint64_t cr4,
                         uint64_t xcr0, uint32_t out[CPUID_REGISTERS]);

/* Which of a machine's processors asks: one package, a core each, x2APIC IDs from 0 on. id < count. */
struct cpuid_processor { uint32_t id, count; };
/* What a lookup found, for this one: APIC IDs and topology (SDM Vol. 2A, leaves 1, 4, 0BH). */
void cpuid_complete_processor(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf,
                              const struct cpuid_processor *processor, uint32_t out[CPUID_REGISTERS]);

/* The stored entry, without what depends on registers; NULL if there is none. */
const struct vm_policy_cpuid *cpuid_policy_find(const struct vm_policy *policy, uint32_t leaf,
                                                uint32_t subleaf);

/* One register of the stored entry; 0 if there is none. */
uint32_t cpuid_policy_word(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf, unsigned reg);

/* Whether ECX selects among several answers of the leaf (of those that Telepod offers). */
bool cpuid_leaf_has_subleaves(uint32_t leaf);

/*
 * Whether XSETBV may set XCR0 to `value` when `supported` is offered; false: #GP(0) (SDM Vol. 2, "XSETBV").
 */
bool cpuid_xcr0_valid(uint64_t value, uint64_t supported);

/*
 * Bytes of an XSAVE area in standard format (compacted: in compacted format) that holds the components of
 * xcr0.
 */
uint32_t cpuid_xsave_size(const struct vm_policy *policy, uint64_t xcr0, bool compacted);

#endif
