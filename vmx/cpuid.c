/*
 * What the guest's CPUID instruction answers: the policy's table, and the few bits that follow the guest's
 * own registers. Any policy, leaf and subleaf is safe.
 */
#include <stddef.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"

#define HYPERVISOR_RANGE_END 0x50000000u  /* 40000000h .. 4FFFFFFFh: no processor will ever use them */

/* As bits: leaves in which ECX selects. */
#define LEAVES_WITH_SUBLEAVES \
    (BIT(CPUID_LEAF_CACHE_PARAMETERS) | BIT(CPUID_LEAF_EXTENDED_FEATURES) | BIT(CPUID_LEAF_TOPOLOGY) | \
     BIT(CPUID_LEAF_XSAVE))

#define XSAVE_LEGACY_AND_HEADER_BYTES 576 /* SDM Vol. 1, section 13.4 "XSAVE Area" */
#define XSAVE_COMPACTED_ALIGNMENT 64
#define XSAVE_EAX_XSAVEC (1u << 1)

#define TOPOLOGY_ECX_INPUT_MASK 0xffu

/*
 * Basic leaves lie at the start of the sorted table, the others at its end: from there it is a few steps to
 * any of them. The first loop looks at the leaf alone, which makes it four instructions a step.
 */
static inline const struct vm_policy_cpuid *find(const struct vm_policy *policy, uint32_t leaf,
                                                 uint32_t subleaf)
{
    const struct vm_policy_cpuid *first = policy->cpuid, *entry = first;
    const struct vm_policy_cpuid *end = first + MIN(policy->cpuid_count, (uint32_t)ARRAY_SIZE(policy->cpuid));

    if (leaf < CPUID_LEAF_HYPERVISOR) {
        while (entry < end && entry->leaf < leaf)
            entry++;
    } else {
        for (entry = end; entry > first && entry[-1].leaf >= leaf; entry--)
            ;
    }
    while (entry < end && entry->leaf == leaf && entry->subleaf < subleaf)
        entry++;
    return entry < end && entry->leaf == leaf && entry->subleaf == subleaf ? entry : NULL;
}

const struct vm_policy_cpuid *cpuid_policy_find(const struct vm_policy *policy, uint32_t leaf,
                                                uint32_t subleaf)
{
    return find(policy, leaf, subleaf);
}

uint32_t cpuid_policy_word(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    const struct vm_policy_cpuid *entry = cpuid_policy_find(policy, leaf, subleaf);

    if (entry == NULL)
        return 0;
    switch (reg) {
    case CPUID_EAX: return entry->eax;
    case CPUID_EBX: return entry->ebx;
    case CPUID_ECX: return entry->ecx;
    default: return entry->edx;
    }
}

bool cpuid_xcr0_valid(uint64_t value, uint64_t supported)
{
    if ((value & ~supported) != 0 || (value & XCR0_X87) == 0)
        return false;
    if ((value & XCR0_AVX) != 0 && (value & XCR0_SSE) == 0)
        return false;
    if ((value & XCR0_AVX512) != 0)
        return (value & XCR0_AVX512) == XCR0_AVX512 && (value & XCR0_AVX) != 0;
    return true;
}

uint32_t cpuid_xsave_size(const struct vm_policy *policy, uint64_t xcr0, bool compacted)
{
    uint32_t size = XSAVE_LEGACY_AND_HEADER_BYTES;

    for (uint64_t left = xcr0 & XCR0_OFFERED & ~(XCR0_X87 | XCR0_SSE); left != 0; left &= left - 1) {
        const struct vm_policy_cpuid *entry;

        entry = cpuid_policy_find(policy, CPUID_LEAF_XSAVE, (uint32_t)__builtin_ctzll(left));
        if (entry == NULL)
            continue;
        if (!compacted) {
            size = MAX(size, entry->ebx + entry->eax);
            continue;
        }
        if ((entry->ecx & CPUID_XSAVE_ECX_ALIGN) != 0)
            size = ALIGN_UP(size, XSAVE_COMPACTED_ALIGNMENT);
        size += entry->eax;
    }
    return size;
}

static inline bool has_subleaves(uint32_t leaf)
{
    return leaf <= CPUID_LEAF_XSAVE && (LEAVES_WITH_SUBLEAVES >> leaf & 1) != 0;
}

bool cpuid_leaf_has_subleaves(uint32_t leaf)
{
    return has_subleaves(leaf);
}

/*
 * For a leaf that is not in the table: "If a value entered for CPUID.EAX is higher than the maximum input
 * value for basic or extended function for that processor then the data for the highest basic information
 * leaf is returned." The hypervisor's range is ours: zeros where it is empty.
 */
static bool leaf_in_range(const struct vm_policy *policy, uint32_t leaf)
{
    if (leaf >= CPUID_LEAF_EXTENDED_MAX)
        return leaf <= cpuid_policy_word(policy, CPUID_LEAF_EXTENDED_MAX, 0, CPUID_EAX);
    return leaf <= policy->cpuid[0].eax || (leaf >= CPUID_LEAF_HYPERVISOR && leaf < HYPERVISOR_RANGE_END);
}

/* Beyond the last level: level type 0, ECX[7:0] repeats the input, EDX is the x2APIC ID all the same. */
static void complete_topology(const struct vm_policy *policy, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    if (subleaf < CPUID_TOPOLOGY_LEVELS)
        return;
    out[CPUID_ECX] = subleaf & TOPOLOGY_ECX_INPUT_MASK;
    out[CPUID_EDX] = cpuid_policy_word(policy, CPUID_LEAF_TOPOLOGY, 0, CPUID_EDX);
}

/*
 * Subleaf 0: bytes for what XCR0 enables. Subleaf 1, without XSAVES: the same in compacted format, if there
 * is XSAVEC.
 */
static void complete_xsave(const struct vm_policy *policy, uint32_t subleaf, uint64_t xcr0,
                           uint32_t out[CPUID_REGISTERS])
{
    if (policy->xcr0 == 0)
        return;
    if (subleaf == 0)
        out[CPUID_EBX] = cpuid_xsave_size(policy, xcr0, false);
    else if (subleaf == 1 && (out[CPUID_EAX] & XSAVE_EAX_XSAVEC) != 0)
        out[CPUID_EBX] = cpuid_xsave_size(policy, xcr0, true);
}

_Static_assert(offsetof(struct vm_policy_cpuid, edx) - offsetof(struct vm_policy_cpuid, eax) ==
                   CPUID_EDX * sizeof(uint32_t),
               "the registers of an entry lie in the order of CPUID_EAX .. CPUID_EDX");

void cpuid_policy_lookup(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf, uint64_t cr4,
                         uint64_t xcr0, uint32_t out[CPUID_REGISTERS])
{
    const struct vm_policy_cpuid *entry = find(policy, leaf, has_subleaves(leaf) ? subleaf : 0);

    if (entry == NULL && !leaf_in_range(policy, leaf)) {
        leaf = policy->cpuid[0].eax;
        entry = find(policy, leaf, has_subleaves(leaf) ? subleaf : 0);
    }
    if (entry != NULL)
        memcpy(out, &entry->eax, CPUID_REGISTERS * sizeof(out[0]));
    else
        memset(out, 0, CPUID_REGISTERS * sizeof(out[0]));

    if (leaf == CPUID_LEAF_FEATURES && (cr4 & CR4_OSXSAVE) != 0)
        out[CPUID_ECX] |= CPUID_01_ECX_OSXSAVE;
    else if (leaf == CPUID_LEAF_TOPOLOGY)
        complete_topology(policy, subleaf, out);
    else if (leaf == CPUID_LEAF_XSAVE)
        complete_xsave(policy, subleaf, xcr0, out);
}

/* Leaf 1: EBX[31:24] initial APIC ID, EBX[23:16] logical processors; EDX.HTT: that number counts. */
#define FEATURES_EBX_ID_SHIFT 24
#define FEATURES_EBX_COUNT_SHIFT 16
#define FEATURES_EBX_LOW 0xffffu
#define FEATURES_EDX_HTT (1u << 28)
/* Leaf 4: EAX[4:0] 0 says that there is no such cache; EAX[31:26] cores' IDs in the package, less one. */
#define CACHE_EAX_TYPE 0x1fu
#define CACHE_EAX_CORES_SHIFT 26
#define CACHE_EAX_CORES_MAX 0x3fu
#define TOPOLOGY_CORE_LEVEL 1

/* Bits of an APIC ID that tell `count` cores apart. */
static uint32_t id_bits(uint32_t count)
{
    return count > 1 ? 32 - (uint32_t)__builtin_clz(count - 1) : 0;
}

void cpuid_complete_processor(const struct vm_policy *policy, uint32_t leaf, uint32_t subleaf,
                              const struct cpuid_processor *processor, uint32_t out[CPUID_REGISTERS])
{
    uint32_t ids = 1u << id_bits(processor->count);
    if (leaf > policy->cpuid[0].eax || processor->count < 2)
        return;
    if (leaf == CPUID_LEAF_FEATURES) {
        out[CPUID_EBX] = (out[CPUID_EBX] & FEATURES_EBX_LOW) | processor->id << FEATURES_EBX_ID_SHIFT |
                         ids << FEATURES_EBX_COUNT_SHIFT;
        out[CPUID_EDX] |= FEATURES_EDX_HTT;
    } else if (leaf == CPUID_LEAF_CACHE_PARAMETERS && (out[CPUID_EAX] & CACHE_EAX_TYPE) != 0) {
        out[CPUID_EAX] = (out[CPUID_EAX] & ~(CACHE_EAX_CORES_MAX << CACHE_EAX_CORES_SHIFT)) |
                         (ids - 1) << CACHE_EAX_CORES_SHIFT;
    } else if (leaf == CPUID_LEAF_TOPOLOGY) {
        out[CPUID_EDX] = processor->id;
        if (subleaf == TOPOLOGY_CORE_LEVEL) {
            out[CPUID_EAX] = id_bits(processor->count);
            out[CPUID_EBX] = processor->count;
        }
    }
}
