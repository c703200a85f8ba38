/*
 * Every bit that the guest was promised must be offered here; the first that is not is named. Order of the
 * checks: the form of the policy, features, XSAVE state (its layout too: the guest's own save areas are laid
 * out by it), address widths, clock.
 */
#include <inttypes.h>
#include <stdio.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/cpuid_features.h"
#include "vmx/policy.h"

#define TSC_HZ_MIN 1000000ull        /* 1 MHz: below it the pod's own clocks have no meaning */
#define TSC_HZ_MAX 100000000000ull   /* 100 GHz: no TSC runs so fast */
#define PHYSICAL_BITS_MIN 32
#define PHYSICAL_BITS_MAX 52         /* SDM Vol. 3A, section 4.1.4: MAXPHYADDR is at most 52 */
#define XSAVE_FIRST_EXTENDED 2
#define PPM 1000000ull

static const char *const xcr0_names[] = {
    "x87", "SSE", "AVX", NULL, NULL, "opmask", "ZMM_Hi256", "Hi16_ZMM"
};

/* ---- form ---- */

static bool leaf_within_maximum(const struct vm_policy *policy, uint32_t leaf)
{
    if (leaf < CPUID_LEAF_HYPERVISOR)
        return leaf <= policy->cpuid[0].eax;
    return leaf < CPUID_LEAF_EXTENDED_MAX ||
           leaf <= cpuid_policy_word(policy, CPUID_LEAF_EXTENDED_MAX, 0, CPUID_EAX);
}

static enum err check_table(const struct vm_policy *policy, char *why, size_t why_size)
{
    uint64_t previous = 0;

    if (policy->cpuid_count == 0 || policy->cpuid_count > ARRAY_SIZE(policy->cpuid)) {
        snprintf(why, why_size, "a policy of %" PRIu32 " CPUID entries (1 to %zu are possible)",
                 policy->cpuid_count, ARRAY_SIZE(policy->cpuid));
        return ERR_INVALID;
    }
    if (policy->cpuid[0].leaf != CPUID_LEAF_BASIC_MAX) {
        snprintf(why, why_size, "a policy that does not start with CPUID 0");
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < policy->cpuid_count; i++) {
        const struct vm_policy_cpuid *entry = &policy->cpuid[i];
        uint64_t key = (uint64_t)entry->leaf << 32 | entry->subleaf;
        const char *fault = NULL;

        if (i > 0 && key == previous)
            fault = "is there twice";
        else if (i > 0 && key < previous)
            fault = "is out of order";
        else if (entry->subleaf != 0 && !cpuid_leaf_has_subleaves(entry->leaf))
            fault = "has no subleaves";
        else if (!leaf_within_maximum(policy, entry->leaf))
            fault = "is beyond the highest leaf";
        if (fault != NULL) {
            snprintf(why, why_size, "a policy in which CPUID %" PRIX32 ".%" PRIX32 " %s", entry->leaf,
                     entry->subleaf, fault);
            return ERR_INVALID;
        }
        previous = key;
    }
    return OK;
}

static enum err check_xcr0(const struct vm_policy *policy, char *why, size_t why_size)
{
    bool xsave = (cpuid_policy_word(policy, CPUID_LEAF_FEATURES, 0, CPUID_ECX) & CPUID_01_ECX_XSAVE) != 0;
    uint64_t leaf = cpuid_policy_word(policy, CPUID_LEAF_XSAVE, 0, CPUID_EAX) |
                    (uint64_t)cpuid_policy_word(policy, CPUID_LEAF_XSAVE, 0, CPUID_EDX) << 32;

    if (policy->xcr0 != leaf || xsave != (policy->xcr0 != 0)) {
        snprintf(why, why_size,
                 "a policy whose XCR0 0x%" PRIx64 " contradicts its CPUID D.0 (0x%" PRIx64
                 ") or XSAVE bit (%d)",
                 policy->xcr0, leaf, xsave);
        return ERR_INVALID;
    }
    if (xsave && ((policy->xcr0 & XCR0_SSE) == 0 || !cpuid_xcr0_valid(policy->xcr0, policy->xcr0))) {
        snprintf(why, why_size, "a policy whose XCR0 0x%" PRIx64 " no processor accepts", policy->xcr0);
        return ERR_INVALID;
    }
    return OK;
}

static enum err check_numbers(const struct vm_policy *policy, char *why, size_t why_size)
{
    uint32_t sizes = cpuid_policy_word(policy, CPUID_LEAF_ADDRESS_SIZES, 0, CPUID_EAX);

    if (policy->reserved != 0) {
        snprintf(why, why_size, "a policy whose reserved field is 0x%" PRIx32, policy->reserved);
        return ERR_INVALID;
    }
    if (policy->tsc_hz < TSC_HZ_MIN || policy->tsc_hz > TSC_HZ_MAX) {
        snprintf(why, why_size, "a policy with a TSC of %" PRIu64 " Hz", policy->tsc_hz);
        return ERR_INVALID;
    }
    if (policy->physical_address_bits < PHYSICAL_BITS_MIN ||
        policy->physical_address_bits > PHYSICAL_BITS_MAX ||
        policy->physical_address_bits != (sizes & 0xff)) {
        snprintf(why, why_size,
                 "a policy of %" PRIu32 " physical-address bits (CPUID 80000008 says %" PRIu32 ")",
                 policy->physical_address_bits, sizes & 0xff);
        return ERR_INVALID;
    }
    return OK;
}

enum err policy_check_shape(const struct vm_policy *policy, char *why, size_t why_size)
{
    enum err e;

    if (policy->version != VM_POLICY_VERSION) {
        snprintf(why, why_size, "policy version %" PRIu32 " (this pod speaks %d)", policy->version,
                 VM_POLICY_VERSION);
        return ERR_VERSION;
    }
    e = check_table(policy, why, why_size);
    if (e == OK)
        e = check_numbers(policy, why, why_size);
    if (e == OK)
        e = check_xcr0(policy, why, why_size);
    return e;
}

/* ---- comparison ---- */

static void name_feature(enum cpuid_word word, unsigned bit, char *why, size_t why_size)
{
    const char *name = cpuid_feature_name(word, bit);

    if (name != NULL)
        snprintf(why, why_size, "CPUID %s bit %u (%s)", cpuid_word_places[word].name, bit, name);
    else
        snprintf(why, why_size, "CPUID %s bit %u", cpuid_word_places[word].name, bit);
}

static enum err compare_features(const struct vm_policy *guest, const struct vm_policy *host, char *why,
                                 size_t why_size)
{
    for (unsigned word = 0; word < CPUID_WORDS; word++) {
        const struct cpuid_word_place *place = &cpuid_word_places[word];
        uint32_t promised = cpuid_policy_word(guest, place->leaf, place->subleaf, place->reg);
        uint32_t lacking = promised & ~cpuid_policy_word(host, place->leaf, place->subleaf, place->reg);

        if (lacking != 0) {
            name_feature(word, (unsigned)__builtin_ctz(lacking), why, why_size);
            return ERR_UNSUPPORTED;
        }
    }
    return OK;
}

static enum err compare_xcr0(const struct vm_policy *guest, const struct vm_policy *host, char *why,
                             size_t why_size)
{
    for (uint64_t left = guest->xcr0; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        const char *name = i < ARRAY_SIZE(xcr0_names) && xcr0_names[i] != NULL ? xcr0_names[i] : "unnamed";
        const struct vm_policy_cpuid *ours = cpuid_policy_find(host, CPUID_LEAF_XSAVE, i);
        const struct vm_policy_cpuid *theirs = cpuid_policy_find(guest, CPUID_LEAF_XSAVE, i);

        if ((host->xcr0 >> i & 1) == 0) {
            snprintf(why, why_size, "XCR0 bit %" PRIu32 " (%s)", i, name);
            return ERR_UNSUPPORTED;
        }
        if (i < XSAVE_FIRST_EXTENDED)
            continue;
        if (ours == NULL || theirs == NULL || ours->eax != theirs->eax || ours->ebx != theirs->ebx ||
            ours->ecx != theirs->ecx) {
            snprintf(why, why_size,
                     "the guest's layout of XSAVE component %" PRIu32 " (%s): %" PRIu32 " bytes at %" PRIu32
                     ", here %" PRIu32 " at %" PRIu32,
                     i, name, theirs ? theirs->eax : 0, theirs ? theirs->ebx : 0, ours ? ours->eax : 0,
                     ours ? ours->ebx : 0);
            return ERR_UNSUPPORTED;
        }
    }
    return OK;
}

static uint32_t linear_address_bits(const struct vm_policy *policy)
{
    return cpuid_policy_word(policy, CPUID_LEAF_ADDRESS_SIZES, 0, CPUID_EAX) >> 8 & 0xff;
}

static enum err compare_addresses(const struct vm_policy *guest, const struct vm_policy *host, char *why,
                                  size_t why_size)
{
    if (guest->physical_address_bits > host->physical_address_bits) {
        snprintf(why, why_size, "%" PRIu32 " physical-address bits (this processor has %" PRIu32 ")",
                 guest->physical_address_bits, host->physical_address_bits);
        return ERR_UNSUPPORTED;
    }
    if (linear_address_bits(guest) > linear_address_bits(host)) {
        snprintf(why, why_size, "%" PRIu32 " linear-address bits (this pod offers %" PRIu32 ")",
                 linear_address_bits(guest), linear_address_bits(host));
        return ERR_UNSUPPORTED;
    }
    return OK;
}

bool policy_tsc_needs_scaling(uint64_t guest_tsc_hz, uint64_t host_tsc_hz)
{
    uint64_t difference =
        guest_tsc_hz > host_tsc_hz ? guest_tsc_hz - host_tsc_hz : host_tsc_hz - guest_tsc_hz;

    return difference > mul_div_u64(guest_tsc_hz, POLICY_TSC_TOLERANCE_PPM, PPM);
}

enum err policy_compatible(const struct vm_policy *guest, const struct vm_policy *host_can,
                           bool host_has_tsc_scaling, char *why, size_t why_size)
{
    enum err e = policy_check_shape(guest, why, why_size);

    if (e == OK)
        e = compare_features(guest, host_can, why, why_size);
    if (e == OK)
        e = compare_xcr0(guest, host_can, why, why_size);
    if (e == OK)
        e = compare_addresses(guest, host_can, why, why_size);
    if (e == OK && !host_has_tsc_scaling && policy_tsc_needs_scaling(guest->tsc_hz, host_can->tsc_hz)) {
        snprintf(why, why_size,
                 "a TSC of %" PRIu64 " Hz (this one runs at %" PRIu64 " Hz, and there is no TSC scaling)",
                 guest->tsc_hz, host_can->tsc_hz);
        e = ERR_UNSUPPORTED;
    }
    return e;
}
