/*
 * Builds a guest's CPUID table from the host's CPUID and what the pod can virtualize. Once a guest: nothing
 * is asked of the hardware while it runs, so the answers cannot change when it moves to another pod.
 */
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/cpuid_features.h"

#define BASIC_LEAF_MAX CPUID_LEAF_FREQUENCY
#define EXTENDED_LEAF_MAX CPUID_LEAF_ADDRESS_SIZES
#define HYPERVISOR_LEAF_MAX CPUID_LEAF_HYPERVISOR_TIMING
#define HYPERVISOR_SIGNATURE "TelepodTelep"

#define CACHE_SUBLEAVES_MAX 4
#define CACHE_TYPE_MASK 0x1fu             /* CPUID.4:EAX[4:0]; 0: no more caches */
#define CACHE_UNSHARED_MASK 0x3fffu       /* clears EAX[25:14] and EAX[31:26]: one thread, one core */
#define FEATURES_EBX_KEPT 0xffffu         /* brand index, CLFLUSH line size */
#define FEATURES_EBX_ONE_LOGICAL (1u << 16)
#define XSAVE_COMPONENTS 63
#define XSAVE_FIRST_EXTENDED 2            /* components 0 and 1, x87 and SSE, lie in the legacy region */
#define ADDRESS_BITS_MASK 0xffu

#define LINEAR_ADDRESS_BITS 48            /* LA57 is hidden */
#define PHYSICAL_ADDRESS_BITS_DEFAULT 36  /* of a processor without leaf 80000008h */
#define HZ_PER_KHZ 1000
#define HZ_PER_MHZ 1000000

struct builder {
    struct vm_policy *policy;
    const struct cpuid_source *host;
    const struct cpuid_constraints *constraints;
    uint32_t basic_max, extended_max; /* the host's */
};

/* The host's answer; zeros beyond its highest leaf, where the instruction would repeat another leaf. */
static void host_read(const struct builder *b, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    uint32_t maximum = leaf >= CPUID_LEAF_EXTENDED_MAX ? b->extended_max : b->basic_max;

    memset(out, 0, CPUID_REGISTERS * sizeof(out[0]));
    if (leaf <= maximum)
        b->host->read(b->host->context, leaf, subleaf, out);
}

/*
 * Appends; callers go up in leaf and subleaf. What finds no room stays zero to the guest, which means "not
 * offered".
 */
static void add(const struct builder *b, uint32_t leaf, uint32_t subleaf,
                const uint32_t regs[CPUID_REGISTERS])
{
    struct vm_policy *policy = b->policy;

    if (policy->cpuid_count < ARRAY_SIZE(policy->cpuid))
        policy->cpuid[policy->cpuid_count++] = (struct vm_policy_cpuid){
            leaf, subleaf, regs[CPUID_EAX], regs[CPUID_EBX], regs[CPUID_ECX], regs[CPUID_EDX],
        };
}

static uint32_t offered(const struct builder *b, enum cpuid_word word, const uint32_t regs[CPUID_REGISTERS])
{
    return cpuid_features_offered(word, regs[cpuid_word_places[word].reg], b->constraints, b->policy->xcr0);
}

static void add_basic_max(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];

    b->host->read(b->host->context, CPUID_LEAF_BASIC_MAX, 0, regs); /* the vendor's name is passed on */
    regs[CPUID_EAX] = BASIC_LEAF_MAX;
    add(b, CPUID_LEAF_BASIC_MAX, 0, regs);
}

static void add_features(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];

    host_read(b, CPUID_LEAF_FEATURES, 0, regs);
    /* EBX: brand index and CLFLUSH size as on the host; one logical processor, initial APIC ID 0. */
    regs[CPUID_EBX] = (regs[CPUID_EBX] & FEATURES_EBX_KEPT) | FEATURES_EBX_ONE_LOGICAL;
    regs[CPUID_ECX] = offered(b, CPUID_WORD_1_ECX, regs);
    regs[CPUID_EDX] = offered(b, CPUID_WORD_1_EDX, regs);
    add(b, CPUID_LEAF_FEATURES, 0, regs);
}

static void add_caches(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];

    host_read(b, CPUID_LEAF_CACHE_DESCRIPTORS, 0, regs);
    add(b, CPUID_LEAF_CACHE_DESCRIPTORS, 0, regs);
    for (uint32_t i = 0; i < CACHE_SUBLEAVES_MAX; i++) {
        host_read(b, CPUID_LEAF_CACHE_PARAMETERS, i, regs);
        if ((regs[CPUID_EAX] & CACHE_TYPE_MASK) == 0)
            break;
        regs[CPUID_EAX] &= CACHE_UNSHARED_MASK;
        add(b, CPUID_LEAF_CACHE_PARAMETERS, i, regs);
    }
}

static void add_thermal_power(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS] = { 0 };

    regs[CPUID_EAX] = offered(b, CPUID_WORD_6_EAX, regs);
    add(b, CPUID_LEAF_THERMAL_POWER, 0, regs);
}

static void add_extended_features(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];

    host_read(b, CPUID_LEAF_EXTENDED_FEATURES, 0, regs);
    regs[CPUID_EAX] = 0; /* no subleaf but this one */
    regs[CPUID_EBX] = offered(b, CPUID_WORD_7_0_EBX, regs);
    regs[CPUID_ECX] = offered(b, CPUID_WORD_7_0_ECX, regs);
    regs[CPUID_EDX] = offered(b, CPUID_WORD_7_0_EDX, regs);
    add(b, CPUID_LEAF_EXTENDED_FEATURES, 0, regs);
}

/* One thread (level type 1) in one core (level type 2); x2APIC ID 0 needs no bits. */
static void add_topology(const struct builder *b)
{
    for (uint32_t level = 0; level < CPUID_TOPOLOGY_LEVELS; level++)
        add(b, CPUID_LEAF_TOPOLOGY, level, (uint32_t[CPUID_REGISTERS]){ 0, 1, level | (level + 1) << 8, 0 });
}

/* The XSAVE components that a guest may have: user state, in the standard format, that the pod moves. */
static uint64_t offered_xcr0(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];
    uint64_t xcr0;

    host_read(b, CPUID_LEAF_FEATURES, 0, regs);
    if ((regs[CPUID_ECX] & CPUID_01_ECX_XSAVE) == 0)
        return 0;
    host_read(b, CPUID_LEAF_XSAVE, 0, regs);
    xcr0 = (regs[CPUID_EAX] | (uint64_t)regs[CPUID_EDX] << 32) & XCR0_OFFERED;
    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || (xcr0 & XCR0_AVX) == 0)
        xcr0 &= ~XCR0_AVX512;
    return xcr0;
}

static void add_xsave(const struct builder *b)
{
    uint64_t xcr0 = b->policy->xcr0;
    uint32_t regs[CPUID_REGISTERS];
    uint32_t first = b->policy->cpuid_count;

    if (xcr0 == 0)
        return;
    add(b, CPUID_LEAF_XSAVE, 0, (uint32_t[CPUID_REGISTERS]){ (uint32_t)xcr0, 0, 0, (uint32_t)(xcr0 >> 32) });
    host_read(b, CPUID_LEAF_XSAVE, 1, regs);
    add(b, CPUID_LEAF_XSAVE, 1, (uint32_t[CPUID_REGISTERS]){ offered(b, CPUID_WORD_D_1_EAX, regs), 0, 0, 0 });
    for (uint32_t i = XSAVE_FIRST_EXTENDED; i < XSAVE_COMPONENTS; i++) {
        if ((xcr0 >> i & 1) == 0)
            continue;
        host_read(b, CPUID_LEAF_XSAVE, i, regs);
        regs[CPUID_ECX] &= CPUID_XSAVE_ECX_ALIGN;
        regs[CPUID_EDX] = 0;
        add(b, CPUID_LEAF_XSAVE, i, regs);
    }
    b->policy->cpuid[first].ecx = cpuid_xsave_size(b->policy, xcr0, false);
}

/*
 * The TSC and the APIC timer run at one rate: a core crystal clock of tsc_hz and a ratio of 1/1. The virtual
 * local APIC counts so too (struct lapic's bus_divisor is 1). A rate that does not fit ECX is left out, as
 * the manual allows.
 */
static void add_frequencies(const struct builder *b)
{
    uint64_t hz = b->constraints->tsc_hz;
    uint32_t mhz = (uint32_t)MIN(hz / HZ_PER_MHZ, 0xffffu);

    add(b, CPUID_LEAF_TSC, 0, (uint32_t[CPUID_REGISTERS]){ 1, 1, hz <= UINT32_MAX ? (uint32_t)hz : 0, 0 });
    add(b, CPUID_LEAF_FREQUENCY, 0, (uint32_t[CPUID_REGISTERS]){ mhz, mhz, 0, 0 });
}

/*
 * Leaf 40000010h is the timing leaf that VMware defined and Linux reads: EAX the TSC, EBX the APIC timer, in
 * kHz.
 */
static void add_hypervisor(const struct builder *b)
{
    uint32_t khz = (uint32_t)MIN(b->constraints->tsc_hz / HZ_PER_KHZ, UINT32_MAX);
    uint32_t regs[CPUID_REGISTERS] = { HYPERVISOR_LEAF_MAX };

    _Static_assert(sizeof(HYPERVISOR_SIGNATURE) - 1 == 3 * sizeof(uint32_t), "EBX, ECX and EDX");
    memcpy(&regs[CPUID_EBX], HYPERVISOR_SIGNATURE, 3 * sizeof(uint32_t));
    add(b, CPUID_LEAF_HYPERVISOR, 0, regs);
    add(b, CPUID_LEAF_HYPERVISOR_TIMING, 0, (uint32_t[CPUID_REGISTERS]){ khz, khz, 0, 0 });
}

static void add_address_sizes(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];
    uint32_t bits = PHYSICAL_ADDRESS_BITS_DEFAULT;

    host_read(b, CPUID_LEAF_ADDRESS_SIZES, 0, regs);
    if ((regs[CPUID_EAX] & ADDRESS_BITS_MASK) != 0)
        bits = regs[CPUID_EAX] & ADDRESS_BITS_MASK;
    b->policy->physical_address_bits = bits;
    add(b, CPUID_LEAF_ADDRESS_SIZES, 0,
        (uint32_t[CPUID_REGISTERS]){ bits | LINEAR_ADDRESS_BITS << 8, 0, 0, 0 });
}

static void add_extended(const struct builder *b)
{
    uint32_t regs[CPUID_REGISTERS];

    add(b, CPUID_LEAF_EXTENDED_MAX, 0, (uint32_t[CPUID_REGISTERS]){ EXTENDED_LEAF_MAX, 0, 0, 0 });
    host_read(b, CPUID_LEAF_EXTENDED_SIGNATURE, 0, regs);
    regs[CPUID_EAX] = regs[CPUID_EBX] = 0; /* reserved */
    regs[CPUID_ECX] = offered(b, CPUID_WORD_80000001_ECX, regs);
    regs[CPUID_EDX] = offered(b, CPUID_WORD_80000001_EDX, regs);
    add(b, CPUID_LEAF_EXTENDED_SIGNATURE, 0, regs);
    for (uint32_t leaf = CPUID_LEAF_BRAND_FIRST; leaf <= CPUID_LEAF_BRAND_LAST; leaf++) {
        host_read(b, leaf, 0, regs);
        add(b, leaf, 0, regs);
    }
    host_read(b, CPUID_LEAF_L2_CACHE, 0, regs);
    add(b, CPUID_LEAF_L2_CACHE, 0, (uint32_t[CPUID_REGISTERS]){ 0, 0, regs[CPUID_ECX], 0 });
    host_read(b, CPUID_LEAF_INVARIANT_TSC, 0, regs);
    add(b, CPUID_LEAF_INVARIANT_TSC, 0,
        (uint32_t[CPUID_REGISTERS]){ 0, 0, 0, offered(b, CPUID_WORD_80000007_EDX, regs) });
    add_address_sizes(b);
}

void cpuid_policy_build(struct vm_policy *out, const struct cpuid_source *host,
                        const struct cpuid_constraints *constraints)
{
    struct builder b = { .policy = out, .host = host, .constraints = constraints };
    uint32_t regs[CPUID_REGISTERS];

    memset(out, 0, sizeof(*out));
    out->version = VM_POLICY_VERSION;
    out->tsc_hz = constraints->tsc_hz;
    host->read(host->context, CPUID_LEAF_BASIC_MAX, 0, regs);
    b.basic_max = regs[CPUID_EAX];
    host->read(host->context, CPUID_LEAF_EXTENDED_MAX, 0, regs);
    b.extended_max = regs[CPUID_EAX];
    out->xcr0 = offered_xcr0(&b);

    add_basic_max(&b);
    add_features(&b);
    add_caches(&b);
    add_thermal_power(&b);
    add_extended_features(&b);
    add_topology(&b);
    add_xsave(&b);
    add_frequencies(&b);
    add_hypervisor(&b);
    add_extended(&b);
}
