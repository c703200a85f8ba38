/*
 * What CPUID tells a guest: on a processor that claims everything, on a modest one, and on odd ones. The bits
 * that must be hidden or forced are written out here once more, from the manual (SDM Vol. 2A, "CPUID - CPU
 * Identification").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/cpuid_features.h"

#define HZ 2500000000ull
#define CR4_OSXSAVE BIT(18)

/* A recorded processor: its answers, and zeros elsewhere. */
struct recording {
    uint32_t count;
    struct vm_policy_cpuid entries[40];
};

static void read_recording(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    const struct recording *r = context;

    memset(out, 0, CPUID_REGISTERS * sizeof(out[0]));
    for (uint32_t i = 0; i < r->count; i++) {
        const struct vm_policy_cpuid *e = &r->entries[i];

        if (e->leaf == leaf && e->subleaf == subleaf)
            memcpy(out, &e->eax, CPUID_REGISTERS * sizeof(out[0]));
    }
}

/* Every feature bit set; sizes and offsets as on real processors with AVX-512. */
static const struct recording rich = { 28, {
    { 0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69 },
    { 1, 0, 0x606a6, 0x07200800, 0xffffffff, 0xffffffff },
    { 2, 0, 0x00feff01, 0xf0, 0, 0 },
    { 4, 0, 0xfc004121, 0x02c0003f, 0x3f, 0 },
    { 4, 1, 0xfc004122, 0x01c0003f, 0x3f, 0 },
    { 4, 2, 0xfc01c143, 0x04c0003f, 0x3ff, 0 },
    { 4, 3, 0xfc1fc163, 0x0ec0003f, 0xffff, 4 },
    { 6, 0, 0xffffffff, 2, 9, 0 },
    { 7, 0, 2, 0xffffffff, 0xffffffff, 0xffffffff },
    { 7, 1, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
    { 0xa, 0, 0x08300805, 0, 0xf, 0x8604 },
    { 0xb, 0, 1, 2, 0x100, 7 },
    { 0xb, 1, 6, 64, 0x201, 7 },
    { 0xd, 0, 0x602e7, 0xa80, 0x2b00, 0 },
    { 0xd, 1, 0x1f, 0x9d8, 0x1900, 0 },
    { 0xd, 2, 256, 576, 0, 0 },
    { 0xd, 5, 64, 1088, 0, 0 },
    { 0xd, 6, 512, 1152, 0, 0 },
    { 0xd, 7, 1024, 1664, 6, 0 },
    { 0xd, 9, 8, 2688, 0, 0 },
    { 0x15, 0, 2, 200, 25000000, 0 },
    { 0x80000000, 0, 0x80000008, 0, 0, 0 },
    { 0x80000001, 0, 0, 0, 0xffffffff, 0xffffffff },
    { 0x80000002, 0, 0x65746e49, 0x2952286c, 0x6f655820, 0x2952286e },
    { 0x80000003, 0, 1, 2, 3, 4 },
    { 0x80000006, 0, 1, 2, 0x05007040, 4 },
    { 0x80000007, 0, 0xff, 0xff, 0xff, 0xffffffff },
    { 0x80000008, 0, 0x00343934, 0xffffffff, 0xff, 0xff },
} };

static struct vm_policy policy;
static struct recording host;
static struct cpuid_constraints constraints;

static struct vm_policy_cpuid *host_entry(uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < host.count; i++)
        if (host.entries[i].leaf == leaf && host.entries[i].subleaf == subleaf)
            return &host.entries[i];
    fail_msg("no such entry in the recording");
    return NULL;
}

static void build(void)
{
    const struct cpuid_source source = { read_recording, &host };

    cpuid_policy_build(&policy, &source, &constraints);
}

static int setup(void **state)
{
    (void)state;
    host = rich;
    constraints = (struct cpuid_constraints){ .tsc_hz = HZ, .rdtscp = true, .invpcid = true };
    build();
    return 0;
}

static uint32_t ask(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    uint32_t out[CPUID_REGISTERS];

    cpuid_policy_lookup(&policy, leaf, subleaf, 0, XCR0_X87, out);
    return out[reg];
}

static void expect(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    const uint32_t wanted[CPUID_REGISTERS] = { eax, ebx, ecx, edx };
    uint32_t out[CPUID_REGISTERS];

    cpuid_policy_lookup(&policy, leaf, subleaf, 0, XCR0_X87, out);
    for (unsigned i = 0; i < CPUID_REGISTERS; i++)
        if (out[i] != wanted[i])
            fail_msg("CPUID %x.%x register %u is %#x, not %#x", leaf, subleaf, i, out[i], wanted[i]);
}

/* ---- building ---- */

static void test_sorted_and_room_left(void **state)
{
    (void)state;
    assert_in_range(policy.cpuid_count, 20, VM_POLICY_CPUID_MAX - 1);
    for (uint32_t i = 1; i < policy.cpuid_count; i++)
        assert_true(policy.cpuid[i - 1].leaf < policy.cpuid[i].leaf ||
                    (policy.cpuid[i - 1].leaf == policy.cpuid[i].leaf &&
                     policy.cpuid[i - 1].subleaf < policy.cpuid[i].subleaf));
    assert_int_equal(policy.version, VM_POLICY_VERSION);
    assert_int_equal(policy.tsc_hz, HZ);
    assert_int_equal(policy.reserved, 0);
}

/*
 * Even where the host claims everything: nothing that would need nesting, unknown MSRs or state that is not
 * moved.
 */
static void test_hidden(void **state)
{
    (void)state;
    /* DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, CNXT-ID, SDBG, xTPR, PDCM, bit 16, DCA, OSXSAVE */
    assert_int_equal(ask(1, 0, CPUID_ECX), ~(0x000001fcu | 0x0005cc00u | BIT(27)) & 0xffffffff);
    /* MCE, bit 10, MCA, PSN, bit 20, DS, ACPI, HTT, TM, bit 30, PBE */
    assert_int_equal(ask(1, 0, CPUID_EDX), 0x0f8bbb7fu);
    /* SGX, HLE, FDP_EXCPTN_ONLY, RTM, RDT-M, FCS/FDS, MPX, RDT-A, bit 22, PT */
    assert_int_equal(ask(7, 0, CPUID_EBX), 0xffffffffu & ~(0x54u | 0xf800u | BIT(22) | BIT(25)));
    /* PKU, OSPKE, WAITPKG, CET_SS, TME, LA57, KL, SGX_LC, ENQCMD, PKS and what has no name */
    assert_int_equal(ask(7, 0, CPUID_ECX), 0x1a405f47u);
    /* UINTR, CET_IBT, AMX, L1D_FLUSH, ARCH_CAPABILITIES, CORE_CAPABILITIES ... */
    assert_int_equal(ask(7, 0, CPUID_EDX), 0x8c80451cu);
    expect(6, 0, 1u << 2, 0, 0, 0); /* ARAT only */
    expect(0xa, 0, 0, 0, 0, 0);     /* performance monitoring */
    expect(7, 0, 0, ask(7, 0, CPUID_EBX), ask(7, 0, CPUID_ECX), ask(7, 0, CPUID_EDX));
    expect(7, 1, 0, 0, 0, 0);
    for (uint32_t leaf = 0xe; leaf < 0x15; leaf++)
        expect(leaf, 0, 0, 0, 0, 0); /* RDT, SGX, PT */
    assert_int_equal(ask(0x80000001, 0, CPUID_ECX), 0x121);
    assert_int_equal(ask(0x80000001, 0, CPUID_EDX), BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29));
    expect(0x80000007, 0, 0, 0, 0, 1u << 8);
}

static void test_forced(void **state)
{
    (void)state;
    host_entry(1, 0)->ecx = host_entry(1, 0)->edx = 0;
    build();
    assert_int_equal(ask(1, 0, CPUID_ECX), BIT(21) | BIT(24) | BIT(31)); /* x2APIC, TSC-Deadline, hypervisor */
    assert_int_equal(ask(1, 0, CPUID_EDX), BIT(9) | BIT(12));            /* APIC, MTRR */
}

/* Each offered bit comes from the host's: clear it there, and it is clear here. */
static void test_passed_bit_by_bit(void **state)
{
    static const struct { uint32_t leaf, subleaf; unsigned reg; uint32_t forced; } words[] = {
        { 1, 0, CPUID_ECX, 1u << 21 | 1u << 24 | 1u << 31 }, { 1, 0, CPUID_EDX, 1u << 9 | 1u << 12 },
        { 7, 0, CPUID_EBX, 1u << 1 },
        { 7, 0, CPUID_ECX, 0 }, { 7, 0, CPUID_EDX, 0 }, { 0xd, 1, CPUID_EAX, 0 }, { 0x80000001, 0, CPUID_ECX, 0 },
        { 0x80000001, 0, CPUID_EDX, 0 }, { 0x80000007, 0, CPUID_EDX, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        for (unsigned bit = 0; bit < 32; bit++) {
            setup(NULL);
            (&host_entry(words[i].leaf, words[i].subleaf)->eax)[words[i].reg] &= ~(1u << bit);
            build();
            assert_int_equal(ask(words[i].leaf, words[i].subleaf, words[i].reg) >> bit & 1,
                             words[i].forced >> bit & 1);
        }
}

static void test_constraints(void **state)
{
    (void)state;
    constraints.rdtscp = false;
    build();
    assert_int_equal(ask(0x80000001, 0, CPUID_EDX) & BIT(27), 0); /* RDTSCP */
    assert_int_equal(ask(7, 0, CPUID_ECX) & BIT(22), 0);          /* RDPID: same control */
    assert_int_not_equal(ask(7, 0, CPUID_EBX) & BIT(10), 0);
    constraints.invpcid = false;
    build();
    assert_int_equal(ask(7, 0, CPUID_EBX) & BIT(10), 0);
}

static void test_one_thread(void **state)
{
    (void)state;
    assert_int_equal(ask(1, 0, CPUID_EBX), 0x00010800); /* APIC ID 0, one logical processor */
    expect(0xb, 0, 0, 1, 0x100, 0);
    expect(0xb, 1, 0, 1, 0x201, 0);
    /* "other input values with ECX > n also return 0 in ECX[15:8]"; ECX[7:0] repeats the input */
    expect(0xb, 2, 0, 0, 2, 0);
    expect(0xb, 0x1ff, 0, 0, 0xff, 0);
    expect(4, 0, 0x121, 0x02c0003f, 0x3f, 0); /* nothing is shared */
    expect(4, 3, 0x163, 0x0ec0003f, 0xffff, 4);
    expect(4, 4, 0, 0, 0, 0);
}

static void expect_for(uint32_t id, uint32_t count, uint32_t leaf, uint32_t subleaf, unsigned reg, uint32_t expected)
{
    const struct cpuid_processor processor = { id, count };
    uint32_t out[CPUID_REGISTERS];

    cpuid_policy_lookup(&policy, leaf, subleaf, 0, XCR0_X87, out);
    cpuid_complete_processor(&policy, leaf, subleaf, &processor, out);
    assert_int_equal(out[reg], expected);
}

static void test_several_processors(void **state)
{
    (void)state;
    expect_for(0, 1, 1, 0, CPUID_EBX, 0x00010800);
    expect_for(0, 1, 1, 0, CPUID_EDX, ask(1, 0, CPUID_EDX)); /* no HTT */
    expect_for(1, 2, 1, 0, CPUID_EBX, 0x01020800);
    expect_for(1, 2, 1, 0, CPUID_EDX, ask(1, 0, CPUID_EDX) | BIT(28));
    expect_for(2, 3, 1, 0, CPUID_EBX, 0x02040800); /* IDs, not processors */
    expect_for(15, 16, 1, 0, CPUID_EBX, 0x0f100800);
    expect_for(1, 2, 4, 0, CPUID_EAX, 0x121 | 1u << 26);
    expect_for(1, 16, 4, 3, CPUID_EAX, 0x163 | 15u << 26);
    expect_for(1, 16, 4, 4, CPUID_EAX, 0);
    for (uint32_t subleaf = 0; subleaf < 4; subleaf++)
        expect_for(5, 6, 0xb, subleaf, CPUID_EDX, 5);
    expect_for(5, 6, 0xb, 0, CPUID_EAX, 0); /* one thread a core */
    expect_for(5, 6, 0xb, 0, CPUID_EBX, 1);
    expect_for(5, 6, 0xb, 1, CPUID_EAX, 3);
    expect_for(5, 6, 0xb, 1, CPUID_EBX, 6);
    expect_for(5, 6, 0xb, 2, CPUID_EBX, 0);
    expect_for(5, 6, 7, 0, CPUID_EBX, ask(7, 0, CPUID_EBX));
    /* Beyond the highest leaf stands another one's answer: nothing is put in there. */
    policy.cpuid[0].eax = 3;
    expect_for(5, 6, 0xb, 0, CPUID_EDX, ask(0xb, 0, CPUID_EDX));
}

static void test_identity(void **state)
{
    (void)state;
    expect(0, 0, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69);
    assert_int_equal(ask(1, 0, CPUID_EAX), 0x606a6);
    expect(0x80000000, 0, 0x80000008, 0, 0, 0);
    expect(0x80000002, 0, 0x65746e49, 0x2952286c, 0x6f655820, 0x2952286e);
    expect(0x80000008, 0, 0x3034, 0, 0, 0); /* 52 physical, 48 linear */
    assert_int_equal(policy.physical_address_bits, 52);
}

static void test_hypervisor_leaves(void **state)
{
    uint32_t out[CPUID_REGISTERS];
    char signature[13] = "";

    (void)state;
    cpuid_policy_lookup(&policy, 0x40000000, 0, 0, 1, out);
    assert_int_equal(out[CPUID_EAX], 0x40000010);
    memcpy(signature, &out[CPUID_EBX], 12);
    assert_string_equal(signature, "TelepodTelep");
    expect(0x40000010, 0, HZ / 1000, HZ / 1000, 0, 0);
    expect(0x40000001, 0, 0, 0, 0, 0);
    expect(0x40000100, 0, 0, 0, 0, 0);
}

/* 15h: TSC = ECX * EBX / EAX, and the APIC timer runs at ECX; our virtual one runs at the TSC's rate. */
static void test_frequencies(void **state)
{
    (void)state;
    expect(0x15, 0, 1, 1, (uint32_t)HZ, 0);
    expect(0x16, 0, 2500, 2500, 0, 0);
    constraints.tsc_hz = 5000000000ull; /* ECX cannot say it */
    build();
    expect(0x15, 0, 1, 1, 0, 0);
    expect(0x40000010, 0, 5000000, 5000000, 0, 0);
}

/* ---- XSAVE ---- */

static void test_xsave_components(void **state)
{
    (void)state;
    assert_int_equal(policy.xcr0, 0xe7); /* no MPX, PKRU, AMX */
    expect(0xd, 0, 0xe7, 576, 2688, 0);
    assert_int_equal(ask(0xd, 1, CPUID_EAX), 7); /* no XSAVES, no XFD */
    assert_int_equal(ask(0xd, 1, CPUID_ECX), 0); /* no supervisor state */
    expect(0xd, 2, 256, 576, 0, 0);
    expect(0xd, 7, 1024, 1664, 2, 0);
    expect(0xd, 9, 0, 0, 0, 0);
    expect(0xd, 63, 0, 0, 0, 0);
    expect(0xd, 0xffffffff, 0, 0, 0, 0);
}

static void test_xsave_current_size(void **state)
{
    static const struct { uint64_t xcr0; uint32_t standard, compacted; } sizes[] = {
        { 0x1, 576, 576 }, { 0x3, 576, 576 }, { 0x7, 832, 832 }, { 0xe7, 2688, 832 + 64 + 512 + 1024 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t out[CPUID_REGISTERS];

        cpuid_policy_lookup(&policy, 0xd, 0, CR4_OSXSAVE, sizes[i].xcr0, out);
        assert_int_equal(out[CPUID_EBX], sizes[i].standard);
        cpuid_policy_lookup(&policy, 0xd, 1, CR4_OSXSAVE, sizes[i].xcr0, out);
        assert_int_equal(out[CPUID_EBX], sizes[i].compacted);
    }
}

/* CPUID.(EAX=0DH,ECX=n):ECX[1]: the component begins at a multiple of 64. */
static void test_xsave_alignment(void **state)
{
    (void)state;
    host_entry(0xd, 5)->eax = 8;
    host_entry(0xd, 6)->ecx = 2;
    build();
    assert_int_equal(cpuid_xsave_size(&policy, 0xe7, true), 832 + 64 + 512 + 1024);
}

static void test_osxsave_follows_cr4(void **state)
{
    uint32_t out[CPUID_REGISTERS];

    (void)state;
    cpuid_policy_lookup(&policy, 1, 0, CR4_OSXSAVE, 7, out);
    assert_int_not_equal(out[CPUID_ECX] & BIT(27), 0);
    cpuid_policy_lookup(&policy, 1, 0, ~CR4_OSXSAVE, 7, out);
    assert_int_equal(out[CPUID_ECX] & BIT(27), 0);
}

/* Without AVX-512's three components, or without AVX, the features that need them go too. */
static void test_features_follow_xcr0(void **state)
{
    const uint32_t avx512_ebx = 0xdc230000u, avx2 = 1u << 5;

    (void)state;
    host_entry(0xd, 0)->eax = 0xa7; /* Hi16_ZMM without ZMM_Hi256 */
    build();
    assert_int_equal(policy.xcr0, 7);
    assert_int_equal(ask(7, 0, CPUID_EBX) & avx512_ebx, 0);
    assert_int_not_equal(ask(7, 0, CPUID_EBX) & avx2, 0);
    host_entry(0xd, 0)->eax = 0xe3; /* AVX-512 without AVX */
    build();
    assert_int_equal(policy.xcr0, 3);
    assert_int_equal(ask(7, 0, CPUID_EBX) & avx2, 0);
    assert_int_equal(ask(1, 0, CPUID_ECX) & (BIT(28) | BIT(12) | BIT(29)), 0);
    host_entry(1, 0)->ecx &= ~(1u << 26); /* no XSAVE at all */
    build();
    assert_int_equal(policy.xcr0, 0);
    expect(0xd, 0, 0, 0, 0, 0);
    expect(0xd, 1, 0, 0, 0, 0);
}

/* SDM Vol. 2, "XSETBV": what raises #GP(0). */
static void test_xcr0_valid(void **state)
{
    static const struct { uint64_t value; bool valid; } values[] = {
        { 0, false }, { 1, true }, { 2, false }, { 3, true }, { 5, false }, { 7, true }, { 0xe7, true },
        { 0xe3, false }, { 0x27, false }, { 0xa7, false }, { 0xc7, false }, { 0x107, false }, { 0x1f, false },
        { 0x8000000000000001, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        assert_int_equal(cpuid_xcr0_valid(values[i].value, 0xe7), values[i].valid);
    assert_false(cpuid_xcr0_valid(0xe7, 7));
}

/* ---- leaves out of range ---- */

/* "... then the data for the highest basic information leaf is returned", and ECX is honoured. */
static void test_out_of_range(void **state)
{
    static const uint32_t leaves[] = { 0x17, 0x20, 0x3fffffff, 0x50000000, 0x7fffffff, 0x80000009, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
        expect(leaves[i], 0, 2500, 2500, 0, 0);
        expect(leaves[i], 77, 2500, 2500, 0, 0);
    }
    policy.cpuid[0].eax = 0xd; /* were 0Dh the highest, its subleaves would answer */
    expect(0x17, 2, 256, 576, 0, 0);
}

/* In range, but without an entry: zeros. ECX has no meaning for leaves without subleaves. */
static void test_holes_and_ignored_ecx(void **state)
{
    (void)state;
    expect(3, 0, 0, 0, 0, 0);
    expect(5, 0, 0, 0, 0, 0);
    expect(0x80000005, 0, 0, 0, 0, 0);
    assert_int_equal(ask(1, 0xffffffff, CPUID_EAX), 0x606a6);
    assert_int_equal(ask(0x80000008, 5, CPUID_EAX), 0x3034);
}

/* ---- odd processors and odd policies ---- */

/* Leaves beyond the host's highest repeat another leaf: they must not be taken for features. */
static void test_old_host(void **state)
{
    (void)state;
    host_entry(0, 0)->eax = 3;
    host_entry(0x80000000, 0)->eax = 0x80000001;
    build();
    assert_int_equal(ask(7, 0, CPUID_EBX), 1u << 1); /* TSC_ADJUST, which the pod provides */
    assert_int_equal(ask(7, 0, CPUID_ECX) | ask(7, 0, CPUID_EDX), 0);
    expect(4, 0, 0, 0, 0, 0);
    assert_int_equal(policy.xcr0, 0);
    assert_int_equal(policy.physical_address_bits, 36);
    expect(0x80000002, 0, 0, 0, 0, 0);
    expect(0x80000007, 0, 0, 0, 0, 0);
}

/* Any bytes as a policy: an answer, and no access out of bounds. */
static void test_malformed_policy(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t out[CPUID_REGISTERS];

        for (size_t i = 0; i < sizeof(policy) / 4; i++) {
            random = random * 1664525 + 1013904223;
            ((uint32_t *)&policy)[i] = random >> (random >> 28);
        }
        for (uint32_t leaf = 0; leaf < 0x20; leaf++)
            cpuid_policy_lookup(&policy, leaf, random & 15, random, random, out);
        cpuid_policy_lookup(&policy, random, random, random, random, out);
        cpuid_policy_lookup(&policy, 0x80000000 | (random & 15), 0, 0, 0, out);
    }
    memset(&policy, 0, sizeof(policy));
    expect(1, 0, 0, 0, 0, 0);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sorted_and_room_left), T(test_hidden), T(test_forced), T(test_passed_bit_by_bit), T(test_constraints),
        T(test_one_thread), T(test_several_processors), T(test_identity), T(test_hypervisor_leaves), T(test_frequencies),
        T(test_xsave_components), T(test_xsave_current_size), T(test_xsave_alignment), T(test_osxsave_follows_cr4),
        T(test_features_follow_xcr0), T(test_xcr0_valid),
        T(test_out_of_range), T(test_holes_and_ignored_ecx), T(test_old_host), T(test_malformed_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
