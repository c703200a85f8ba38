/*
 * May this host run that guest: equal hosts say yes; each thing taken away is named; a malformed policy is
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/cpuid_features.h"
#include "vmx/policy.h"

#define HZ 2000000000ull

static struct vm_policy guest, host;
static char why[POLICY_WHY_SIZE];

/* A processor with all feature bits, and AVX-512's XSAVE layout. */
static void read_all(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    static const uint32_t components[8][2] = {
        [2] = { 256, 576 }, [5] = { 64, 1088 }, [6] = { 512, 1152 }, [7] = { 1024, 1664 }
    };

    (void)context;
    for (unsigned i = 0; i < CPUID_REGISTERS; i++)
        out[i] = 0xffffffff;
    if (leaf == CPUID_LEAF_ADDRESS_SIZES)
        out[CPUID_EAX] = 39 | 48 << 8;
    if (leaf == CPUID_LEAF_XSAVE && subleaf >= 2) {
        out[CPUID_EAX] = subleaf < 8 ? components[subleaf][0] : 0;
        out[CPUID_EBX] = subleaf < 8 ? components[subleaf][1] : 0;
        out[CPUID_ECX] = 0;
    }
}

static int setup(void **state)
{
    const struct cpuid_source source = { read_all, NULL };
    const struct cpuid_constraints constraints = { HZ, true, true };

    (void)state;
    cpuid_policy_build(&host, &source, &constraints);
    guest = host;
    return 0;
}

static struct vm_policy_cpuid *entry(struct vm_policy *policy, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < policy->cpuid_count; i++)
        if (policy->cpuid[i].leaf == leaf && policy->cpuid[i].subleaf == subleaf)
            return &policy->cpuid[i];
    fail_msg("no such entry");
    return NULL;
}

static enum err compare(bool scaling)
{
    why[0] = '\0';
    return policy_compatible(&guest, &host, scaling, why, sizeof(why));
}

static void refuse(enum err expected, const char *words)
{
    assert_int_equal(compare(false), expected);
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, words);
    assert_true(strlen(why) < sizeof(why) - 1);
}

static void test_equal(void **state)
{
    (void)state;
    assert_int_equal(compare(false), OK);
    assert_int_equal(policy_check_shape(&guest, why, sizeof(why)), OK);
}

/* A guest that was told of less runs here too. */
static void test_modest_guest(void **state)
{
    (void)state;
    entry(&guest, 7, 0)->ebx = entry(&guest, 7, 0)->ecx = entry(&guest, 7, 0)->edx = 0;
    entry(&guest, 1, 0)->ecx = 1u << 26;
    guest.xcr0 = 3;
    entry(&guest, 0xd, 0)->eax = 3;
    guest.physical_address_bits = 36;
    entry(&guest, 0x80000008, 0)->eax = 0x3024;
    assert_int_equal(compare(false), OK);
}

/* Every feature bit that the guest has, taken from the host: refused, and that bit named. */
static void test_features_bit_by_bit(void **state)
{
    (void)state;
    for (unsigned word = 0; word < CPUID_WORDS; word++) {
        const struct cpuid_word_place *place = &cpuid_word_places[word];

        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t *reg;
            char words[32];

            setup(NULL);
            reg = &entry(&host, place->leaf, place->subleaf)->eax + place->reg;
            if ((*reg >> bit & 1) == 0)
                continue;
            *reg &= ~(1u << bit);
            snprintf(words, sizeof(words), "CPUID %s bit %u (", place->name, bit);
            refuse(ERR_UNSUPPORTED, words);
        }
    }
}

static void test_feature_words(void **state)
{
    (void)state;
    entry(&host, 7, 0)->ebx &= ~(1u << 5);
    refuse(ERR_UNSUPPORTED, "CPUID 7.0 EBX bit 5 (AVX2)");
    setup(NULL);
    entry(&host, 0x80000001, 0)->edx &= ~(1u << 27);
    refuse(ERR_UNSUPPORTED, "CPUID 80000001 EDX bit 27 (RDTSCP)");
}

/*
 * What no pod offers, a peer may still claim: hidden features, features without a name, OSXSAVE that belongs
 * to CR4.
 */
static void test_features_that_nobody_has(void **state)
{
    (void)state;
    entry(&guest, 1, 0)->ecx |= 1u << 5;
    refuse(ERR_UNSUPPORTED, "CPUID 1 ECX bit 5 (VMX)");
    setup(NULL);
    entry(&guest, 1, 0)->ecx |= 1u << 27;
    refuse(ERR_UNSUPPORTED, "OSXSAVE");
    setup(NULL);
    entry(&guest, 7, 0)->edx |= 1u << 0;
    refuse(ERR_UNSUPPORTED, "CPUID 7.0 EDX bit 0");
    assert_null(strchr(why, '('));
}

static void test_xcr0(void **state)
{
    (void)state;
    host.xcr0 = 7;
    entry(&host, 0xd, 0)->eax = 7;
    refuse(ERR_UNSUPPORTED, "XCR0 bit 5 (opmask)");
    host.xcr0 = 3;
    refuse(ERR_UNSUPPORTED, "XCR0 bit 2 (AVX)");
}

/* The guest keeps areas in this layout in its own memory: another layout is another machine. */
static void test_xsave_layout(void **state)
{
    (void)state;
    entry(&host, 0xd, 6)->ebx = 1216;
    refuse(ERR_UNSUPPORTED, "XSAVE component 6 (ZMM_Hi256): 512 bytes at 1152, here 512 at 1216");
    setup(NULL);
    entry(&guest, 0xd, 7)->eax = 0xffffffff;
    refuse(ERR_UNSUPPORTED, "XSAVE component 7");
}

static void test_addresses(void **state)
{
    (void)state;
    host.physical_address_bits = 36;
    refuse(ERR_UNSUPPORTED, "39 physical-address bits (this processor has 36)");
    setup(NULL);
    entry(&guest, 0x80000008, 0)->eax = 39 | 57 << 8;
    refuse(ERR_UNSUPPORTED, "57 linear-address bits");
}

static void test_tsc(void **state)
{
    (void)state;
    host.tsc_hz = HZ + HZ / 2000;
    assert_int_equal(compare(false), OK);
    host.tsc_hz = HZ - HZ / 2000;
    assert_int_equal(compare(false), OK);
    host.tsc_hz = HZ + HZ / 2000 + 1;
    refuse(ERR_UNSUPPORTED,
           "a TSC of 2000000000 Hz (this one runs at 2001000001 Hz, and there is no TSC scaling)");
    assert_int_equal(compare(true), OK);
    host.tsc_hz = HZ - HZ / 2000 - 1;
    refuse(ERR_UNSUPPORTED, "TSC scaling");
    host.tsc_hz = HZ * 3;
    assert_int_equal(compare(true), OK);
}

/* ---- malformed policies ---- */

static void test_version(void **state)
{
    (void)state;
    guest.version = VM_POLICY_VERSION + 1;
    refuse(ERR_VERSION, "policy version 2");
    guest.version = 0;
    refuse(ERR_VERSION, "policy version 0");
}

static void test_count(void **state)
{
    static const uint32_t counts[] = { 0, VM_POLICY_CPUID_MAX + 1, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        guest.cpuid_count = counts[i];
        refuse(ERR_INVALID, "CPUID entries");
    }
}

static void test_order(void **state)
{
    (void)state;
    guest.cpuid[2] = guest.cpuid[1];
    refuse(ERR_INVALID, "CPUID 1.0 is there twice");
    setup(NULL);
    guest.cpuid[2] = host.cpuid[1];
    guest.cpuid[1] = host.cpuid[2];
    refuse(ERR_INVALID, "out of order");
    setup(NULL);
    entry(&guest, 2, 0)->subleaf = 1;
    refuse(ERR_INVALID, "CPUID 2.1 has no subleaves");
    setup(NULL);
    memmove(&guest.cpuid[0], &guest.cpuid[1], (guest.cpuid_count - 1) * sizeof(guest.cpuid[0]));
    guest.cpuid_count--;
    refuse(ERR_INVALID, "does not start with CPUID 0");
    setup(NULL);
    guest.cpuid[0].eax = 0x15;
    refuse(ERR_INVALID, "CPUID 16.0 is beyond the highest leaf");
    setup(NULL);
    entry(&guest, 0x80000000, 0)->eax = 0x80000007;
    refuse(ERR_INVALID, "CPUID 80000008.0 is beyond the highest leaf");
}

static void test_numbers(void **state)
{
    static const uint64_t frequencies[] = { 0, 999999, 100000000001ull, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(frequencies); i++) {
        guest.tsc_hz = frequencies[i];
        refuse(ERR_INVALID, "a policy with a TSC of");
    }
    setup(NULL);
    guest.reserved = 1;
    refuse(ERR_INVALID, "reserved");
    setup(NULL);
    guest.physical_address_bits = 38; /* CPUID says 39 */
    refuse(ERR_INVALID, "38 physical-address bits");
    guest.physical_address_bits = entry(&guest, 0x80000008, 0)->eax = 53;
    refuse(ERR_INVALID, "53 physical-address bits");
    guest.physical_address_bits = entry(&guest, 0x80000008, 0)->eax = 31;
    refuse(ERR_INVALID, "31 physical-address bits");
}

static void test_xcr0_shape(void **state)
{
    static const uint64_t impossible[] = { 1, 2, 5, 0x27, 0xe3, 0x1e7, 0x200e7 };

    (void)state;
    guest.xcr0 = 7; /* CPUID D.0 says e7h */
    refuse(ERR_INVALID, "contradicts");
    guest.xcr0 = 0;
    entry(&guest, 0xd, 0)->eax = 0; /* with XSAVE */
    refuse(ERR_INVALID, "contradicts");
    for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
        setup(NULL);
        guest.xcr0 = impossible[i];
        entry(&guest, 0xd, 0)->eax = (uint32_t)impossible[i];
        assert_int_not_equal(compare(true), OK);
        assert_int_not_equal(why[0], '\0');
    }
    setup(NULL);
    entry(&guest, 1, 0)->ecx &= ~(1u << 26); /* without XSAVE */
    refuse(ERR_INVALID, "contradicts");
}

/* Any single bit changed anywhere: a verdict, and never one that promises more than the host has. */
static void test_any_bit(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < sizeof(guest) * 8; bit++) {
        setup(NULL);
        ((uint8_t *)&guest)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (compare(true) != OK) {
            assert_int_not_equal(why[0], '\0');
            continue;
        }
        assert_int_equal(guest.xcr0 & ~host.xcr0, 0);
        for (unsigned word = 0; word < CPUID_WORDS; word++) {
            const struct cpuid_word_place *p = &cpuid_word_places[word];

            assert_int_equal(cpuid_policy_word(&guest, p->leaf, p->subleaf, p->reg) &
                             ~cpuid_policy_word(&host, p->leaf, p->subleaf, p->reg), 0);
        }
    }
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_equal), T(test_modest_guest), T(test_features_bit_by_bit), T(test_feature_words),
        T(test_features_that_nobody_has), T(test_xcr0), T(test_xsave_layout), T(test_addresses), T(test_tsc),
        T(test_version), T(test_count), T(test_order), T(test_numbers), T(test_xcr0_shape), T(test_any_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
