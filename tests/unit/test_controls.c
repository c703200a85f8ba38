/* Control negotiation against the recorded capability MSRs of real and emulated processors, and with each bit taken away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "vmx/controls.h"
#include "vmx/vmcs.h"

#define RECORDINGS "tests/data/vmx-capability-msrs.tsv"
#define MACHINES_MAX 64

struct machine { char name[64]; struct vmx_caps caps; };
static struct machine machines[MACHINES_MAX];
static unsigned machine_count;

static uint64_t *cap_member(struct vmx_caps *caps, uint32_t msr)
{
    for (unsigned i = 0; i < vmx_cap_msr_count; i++)
        if (vmx_cap_msrs[i].msr == msr)
            return (uint64_t *)((char *)caps + vmx_cap_msrs[i].offset);
    return NULL;
}

static struct machine *machine_named(const char *name)
{
    for (unsigned i = 0; i < machine_count; i++)
        if (strcmp(machines[i].name, name) == 0)
            return &machines[i];
    assert_true(machine_count < MACHINES_MAX);
    struct machine *m = &machines[machine_count++];
    snprintf(m->name, sizeof m->name, "%s", name);
    m->caps.cpuid_vmx = true;
    /* Recordings of silicon have no IA32_FEATURE_CONTROL: take a firmware that allows VMX. */
    m->caps.feature_control = IA32_FEATURE_CONTROL_LOCK | IA32_FEATURE_CONTROL_VMX_OUTSIDE_SMX;
    return m;
}

static int load_recordings(void **state)
{
    (void)state;
    char line[256], name[64];
    unsigned msr;
    unsigned long long value;
    FILE *f = fopen(RECORDINGS, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || sscanf(line, "%63s %x %llx", name, &msr, &value) != 3)
            continue;
        uint64_t *member = cap_member(&machine_named(name)->caps, msr);
        if (member)
            *member = value;
    }
    fclose(f);
    return machine_count >= 9 ? 0 : -1;
}

static enum err negotiate(const struct vmx_caps *caps, struct vmx_controls *c, char why[256])
{
    why[0] = 0;
    return vmx_controls_negotiate(caps, true, c, why, 256);
}

static void check_word(const struct machine *m, uint32_t value, uint64_t permissions)
{
    if ((value & (uint32_t)permissions) != (uint32_t)permissions || (value & ~(uint32_t)(permissions >> 32)))
        fail_msg("%s: word 0x%x is not allowed by 0x%llx", m->name, value, (unsigned long long)permissions);
}

/* A.2 to A.5: a control may be 1 only if its allowed 1-setting is 1, and 0 only if its allowed 0-setting is 0. */
static void every_recorded_machine_is_served(void **state)
{
    (void)state;
    for (unsigned i = 0; i < machine_count; i++) {
        struct machine *m = &machines[i];
        struct vmx_controls c;
        char why[256];
        if (negotiate(&m->caps, &c, why) != OK)
            fail_msg("%s: %s", m->name, why);
        check_word(m, c.pin, m->caps.true_pinbased);
        check_word(m, c.primary, m->caps.true_procbased);
        check_word(m, c.secondary, m->caps.procbased2);
        check_word(m, c.exit, m->caps.true_exit);
        check_word(m, c.entry, m->caps.true_entry);
        assert_true(c.secondary & SECONDARY_ENABLE_EPT);
        assert_true(c.secondary & SECONDARY_UNRESTRICTED_GUEST);
        assert_false(c.primary & PRIMARY_CR3_LOAD_EXITING);
        assert_false(c.exit & EXIT_ACKNOWLEDGE_INTERRUPT_ON_EXIT);
        assert_int_equal(c.cr0_fixed0 & (CR0_PE | CR0_PG), 0);
        assert_true(c.vpid);
    }
}

static void features_differ_as_recorded(void **state)
{
    (void)state;
    struct vmx_controls c;
    char why[256];
    assert_int_equal(negotiate(&machine_named("bochs:corei7_icelake_u")->caps, &c, why), OK);
    assert_true(c.tsc_scaling && c.pml && c.rdtscp && c.invpcid);
    assert_int_equal(c.vmcs_revision, 4);
    assert_int_equal(c.preemption_timer_shift, 0);
    assert_int_equal(negotiate(&machine_named("bochs:corei7_haswell_4770")->caps, &c, why), OK);
    assert_false(c.tsc_scaling || c.pml);
    assert_int_equal(negotiate(&machine_named("silicon:broadwell_ult")->caps, &c, why), OK);
    assert_int_equal(c.preemption_timer_shift, 5);
    assert_int_equal(c.vmcs_revision, 0x12);
}

static void no_vtx_and_locked_vtx_are_said(void **state)
{
    (void)state;
    struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
    struct vmx_controls c;
    char why[256];
    caps.cpuid_vmx = false;
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "no VT-x"));
    caps.cpuid_vmx = true;
    caps.feature_control = IA32_FEATURE_CONTROL_LOCK;
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "locked off by the firmware"));
    caps.feature_control = 0; /* not locked: the pod may enable it */
    assert_int_equal(negotiate(&caps, &c, why), OK);
    caps.basic = 0;
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "IA32_VMX_BASIC"));
}

/* One allowed 1-setting gone: the word has the bit off, or the refusal names it; nothing in between. */
static void each_allowed_1_bit_taken_away(void **state)
{
    (void)state;
    static const uint32_t msrs[] = { IA32_VMX_TRUE_PINBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS, IA32_VMX_PROCBASED_CTLS2,
                                     IA32_VMX_TRUE_EXIT_CTLS, IA32_VMX_TRUE_ENTRY_CTLS };
    unsigned refused = 0;
    for (unsigned m = 0; m < sizeof msrs / sizeof msrs[0]; m++) {
        for (unsigned bit = 32; bit < 64; bit++) {
            struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
            struct vmx_controls before, after;
            char why[256];
            uint64_t *member = cap_member(&caps, msrs[m]);
            if (!(*member >> bit & 1) || (*member >> (bit - 32) & 1))
                continue;
            assert_int_equal(negotiate(&caps, &before, why), OK);
            *member &= ~(1ULL << bit);
            if (negotiate(&caps, &after, why) == OK) {
                uint32_t word[] = { after.pin, after.primary, after.secondary, after.exit, after.entry };
                assert_false(word[m] >> (bit - 32) & 1);
            } else {
                assert_non_null(strstr(why, "lacks the"));
                assert_non_null(strchr(why, '"'));
                refused++;
            }
        }
    }
    assert_in_range(refused, 15, 40);
}

#define APICV_SECONDARY (SECONDARY_APIC_REGISTER_VIRTUALIZATION | SECONDARY_VIRTUAL_INTERRUPT_DELIVERY)
#define CR8_EXITING (PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING)

static void check_apicv(const struct vmx_controls *c, bool apicv)
{
    assert_int_equal(c->apicv, apicv);
    assert_int_equal(c->primary & PRIMARY_USE_TPR_SHADOW, apicv ? PRIMARY_USE_TPR_SHADOW : 0);
    assert_int_equal(c->primary & CR8_EXITING, apicv ? 0 : CR8_EXITING);
    assert_int_equal(c->secondary & APICV_SECONDARY, apicv ? APICV_SECONDARY : 0);
    /* These follow from the mode of a vCPU's APIC. */
    assert_int_equal(c->secondary & (SECONDARY_VIRTUALIZE_APIC_ACCESSES | SECONDARY_VIRTUALIZE_X2APIC_MODE), 0);
}

/* APIC virtualization is used whole or not at all, and not against the operator's will. */
static void apic_virtualization_is_all_or_nothing(void **state)
{
    (void)state;
    static const struct { uint32_t msr, bit; } members[] = {
        { IA32_VMX_TRUE_PROCBASED_CTLS, PRIMARY_USE_TPR_SHADOW },
        { IA32_VMX_PROCBASED_CTLS2, SECONDARY_VIRTUALIZE_APIC_ACCESSES },
        { IA32_VMX_PROCBASED_CTLS2, SECONDARY_VIRTUALIZE_X2APIC_MODE },
        { IA32_VMX_PROCBASED_CTLS2, SECONDARY_APIC_REGISTER_VIRTUALIZATION },
        { IA32_VMX_PROCBASED_CTLS2, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY },
    };
    struct vmx_controls c;
    char why[256];
    for (unsigned set = 0; set < 1u << 5; set++) { /* every set of them that is missing */
        struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
        for (unsigned i = 0; i < 5; i++)
            if (set >> i & 1)
                *cap_member(&caps, members[i].msr) &= ~((uint64_t)members[i].bit << 32);
        assert_int_equal(negotiate(&caps, &c, why), OK);
        check_apicv(&c, set == 0);
        assert_int_equal(vmx_controls_negotiate(&caps, false, &c, why, sizeof why), OK);
        check_apicv(&c, false);
    }
    for (unsigned i = 0; i < 5; i++) { /* one that cannot be turned off is refused, wanted or not */
        struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
        *cap_member(&caps, members[i].msr) |= members[i].bit;
        assert_int_equal(vmx_controls_negotiate(&caps, i % 2, &c, why, sizeof why), ERR_UNSUPPORTED);
        assert_non_null(strstr(why, "cannot turn off"));
    }
    for (unsigned i = 0; i < machine_count; i++) {
        const char *name = machines[i].name;
        bool lacks_it = strcmp(name, "silicon:broadwell_ult") == 0 || strcmp(name, "silicon:corei3_cnl") == 0;
        assert_int_equal(negotiate(&machines[i].caps, &c, why), OK);
        check_apicv(&c, !lacks_it);
    }
}

/* A control that is forbidden or switched becomes one that must be 1: refused by name. */
static void controls_that_cannot_be_turned_off(void **state)
{
    (void)state;
    struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
    struct vmx_controls c;
    char why[256];
    caps.true_procbased |= PRIMARY_CR3_LOAD_EXITING;
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "cannot turn off"));
    assert_non_null(strstr(why, "CR3-load exiting"));
    caps = machine_named("bochs:corei7_icelake_u")->caps;
    caps.true_entry |= ENTRY_IA32E_MODE_GUEST;
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "IA-32e mode guest"));
}

/* Without the TRUE MSRs the plain ones count, and those force CR3 exits: refused. */
static void without_true_controls(void **state)
{
    (void)state;
    struct vmx_caps caps = machine_named("bochs:corei7_icelake_u")->caps;
    struct vmx_controls c;
    char why[256];
    caps.basic &= ~(1ULL << 55);
    assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "CR3-load exiting"));
}

static void ept_capabilities(void **state)
{
    (void)state;
    static const struct { unsigned bit; const char *says; } needed[] = {
        { 6, "page-walk length of 4" }, { 14, "write-back" }, { 16, "2-MByte" },
        { 20, "INVEPT" }, { 21, "dirty" }, { 25, "single-context INVEPT" },
    };
    struct vmx_controls c;
    char why[256];
    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        struct vmx_caps caps = machine_named("silicon:corei7_skylake-x")->caps;
        caps.ept_vpid_cap &= ~(1ULL << needed[i].bit);
        assert_int_equal(negotiate(&caps, &c, why), ERR_UNSUPPORTED);
        assert_non_null(strstr(why, needed[i].says));
    }
    struct vmx_caps caps = machine_named("silicon:corei7_skylake-x")->caps;
    caps.ept_vpid_cap &= ~(1ULL << 41); /* VPID without its invalidation is not used */
    assert_int_equal(negotiate(&caps, &c, why), OK);
    assert_false(c.vpid || (c.secondary & SECONDARY_ENABLE_VPID));
}

static void refusal_leaves_out_alone_and_bounds_hold(void **state)
{
    (void)state;
    struct vmx_caps caps = { 0 };
    struct vmx_controls c, untouched;
    char why[4] = "xyz";
    memset(&c, 0x5a, sizeof c);
    untouched = c;
    assert_int_equal(vmx_controls_negotiate(&caps, true, &c, why, sizeof why), ERR_UNSUPPORTED);
    assert_memory_equal(&c, &untouched, sizeof c);
    assert_int_equal(why[3], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_machine_is_served),
        cmocka_unit_test(features_differ_as_recorded),
        cmocka_unit_test(no_vtx_and_locked_vtx_are_said),
        cmocka_unit_test(apic_virtualization_is_all_or_nothing),
        cmocka_unit_test(each_allowed_1_bit_taken_away),
        cmocka_unit_test(controls_that_cannot_be_turned_off),
        cmocka_unit_test(without_true_controls),
        cmocka_unit_test(ept_capabilities),
        cmocka_unit_test(refusal_leaves_out_alone_and_bounds_hold),
    };
    return cmocka_run_group_tests(tests, load_recordings, NULL);
}
