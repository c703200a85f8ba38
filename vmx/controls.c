/*
 * Control negotiation. Guarantee: a word that leaves this file has every required control on, every forbidden one
 * off, and each other bit as Appendix A allows it; so "VM entry fails for an invalid control field" cannot happen.
 */
#include "vmx/controls.h"

#include <stdio.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/vmcs.h"

#define CAP(msr, member) { msr, offsetof(struct vmx_caps, member), #msr }
const struct vmx_cap_msr vmx_cap_msrs[] = {
    CAP(IA32_FEATURE_CONTROL, feature_control),
    CAP(IA32_VMX_BASIC, basic),
    CAP(IA32_VMX_PINBASED_CTLS, pinbased),
    CAP(IA32_VMX_PROCBASED_CTLS, procbased),
    CAP(IA32_VMX_EXIT_CTLS, exit),
    CAP(IA32_VMX_ENTRY_CTLS, entry),
    CAP(IA32_VMX_MISC, misc),
    CAP(IA32_VMX_CR0_FIXED0, cr0_fixed0),
    CAP(IA32_VMX_CR0_FIXED1, cr0_fixed1),
    CAP(IA32_VMX_CR4_FIXED0, cr4_fixed0),
    CAP(IA32_VMX_CR4_FIXED1, cr4_fixed1),
    CAP(IA32_VMX_VMCS_ENUM, vmcs_enum),
    CAP(IA32_VMX_PROCBASED_CTLS2, procbased2),
    CAP(IA32_VMX_EPT_VPID_CAP, ept_vpid_cap),
    CAP(IA32_VMX_TRUE_PINBASED_CTLS, true_pinbased),
    CAP(IA32_VMX_TRUE_PROCBASED_CTLS, true_procbased),
    CAP(IA32_VMX_TRUE_EXIT_CTLS, true_exit),
    CAP(IA32_VMX_TRUE_ENTRY_CTLS, true_entry),
    CAP(IA32_VMX_VMFUNC, vmfunc),
};
const unsigned vmx_cap_msr_count = ARRAY_SIZE(vmx_cap_msrs);

/* A.1 "Basic VMX Information" */
#define BASIC_REVISION_MASK 0x7fffffffULL
#define BASIC_REGION_SIZE(basic) ((basic) >> 32 & 0x1fff)
#define BASIC_MEMORY_TYPE(basic) ((basic) >> 50 & 0xf)
#define BASIC_TRUE_CONTROLS BIT(55)
#define VMCS_REGION_SIZE_MAX 4096u
#define MEMORY_TYPE_WB 6u

/* A.6 "Miscellaneous Data" */
#define MISC_PREEMPTION_TIMER_SHIFT(misc) ((unsigned)((misc) & 0x1f))

/* A.10 "VPID and EPT Capabilities" */
#define EPT_CAP_PAGE_WALK_4 BIT(6)
#define EPT_CAP_MEMORY_TYPE_WB BIT(14)
#define EPT_CAP_2MIB_PAGES BIT(16)
#define EPT_CAP_1GIB_PAGES BIT(17)
#define EPT_CAP_INVEPT BIT(20)
#define EPT_CAP_ACCESSED_DIRTY BIT(21)
#define EPT_CAP_INVEPT_SINGLE_CONTEXT BIT(25)
#define EPT_CAP_INVVPID BIT(32)
#define EPT_CAP_INVVPID_SINGLE_CONTEXT BIT(41)

enum word { WORD_PIN, WORD_PRIMARY, WORD_SECONDARY, WORD_EXIT, WORD_ENTRY, WORD_COUNT };

/* Where a word's permissions are: plain MSR, and the TRUE MSR that replaces it if IA32_VMX_BASIC[55] is 1 (A.2). */
static const struct { const char *name; uint16_t plain, true_; } words[WORD_COUNT] = {
    [WORD_PIN] = { "pin-based VM-execution control", offsetof(struct vmx_caps, pinbased),
                   offsetof(struct vmx_caps, true_pinbased) },
    [WORD_PRIMARY] = { "primary processor-based VM-execution control", offsetof(struct vmx_caps, procbased),
                       offsetof(struct vmx_caps, true_procbased) },
    [WORD_SECONDARY] = { "secondary processor-based VM-execution control", offsetof(struct vmx_caps, procbased2),
                         offsetof(struct vmx_caps, procbased2) },
    [WORD_EXIT] = { "VM-exit control", offsetof(struct vmx_caps, exit), offsetof(struct vmx_caps, true_exit) },
    [WORD_ENTRY] = { "VM-entry control", offsetof(struct vmx_caps, entry), offsetof(struct vmx_caps, true_entry) },
};

enum wish {
    REQUIRED,  /* must be 1; without it no guest runs */
    WANTED,    /* 1 where the processor has it */
    FORBIDDEN, /* must be 0: its exits or its effect would need code that is not there */
    SWITCHED,  /* 0 now, 1 at times: both must be allowed */
    APICV,     /* of APIC virtualization: all of them can be 1 and 0, or none is used; 0 in the word until then */
};

struct control {
    enum word word;
    uint32_t bit;
    enum wish wish;
    const char *name; /* the manual's */
};

static const struct control controls[] = {
    { WORD_PIN, PIN_EXTERNAL_INTERRUPT_EXITING, REQUIRED, "external-interrupt exiting" },
    { WORD_PIN, PIN_NMI_EXITING, REQUIRED, "NMI exiting" },
    { WORD_PIN, PIN_VIRTUAL_NMIS, REQUIRED, "virtual NMIs" },
    { WORD_PIN, PIN_ACTIVATE_VMX_PREEMPTION_TIMER, REQUIRED, "activate VMX-preemption timer" },
    { WORD_PIN, PIN_PROCESS_POSTED_INTERRUPTS, FORBIDDEN, "process posted interrupts" },

    { WORD_PRIMARY, PRIMARY_INTERRUPT_WINDOW_EXITING, SWITCHED, "interrupt-window exiting" },
    { WORD_PRIMARY, PRIMARY_USE_TSC_OFFSETTING, REQUIRED, "use TSC offsetting" },
    { WORD_PRIMARY, PRIMARY_HLT_EXITING, REQUIRED, "HLT exiting" },
    { WORD_PRIMARY, PRIMARY_INVLPG_EXITING, FORBIDDEN, "INVLPG exiting" },
    { WORD_PRIMARY, PRIMARY_MWAIT_EXITING, REQUIRED, "MWAIT exiting" },
    { WORD_PRIMARY, PRIMARY_RDPMC_EXITING, REQUIRED, "RDPMC exiting" },
    { WORD_PRIMARY, PRIMARY_RDTSC_EXITING, FORBIDDEN, "RDTSC exiting" },
    { WORD_PRIMARY, PRIMARY_CR3_LOAD_EXITING, FORBIDDEN, "CR3-load exiting" },
    { WORD_PRIMARY, PRIMARY_CR3_STORE_EXITING, FORBIDDEN, "CR3-store exiting" },
    { WORD_PRIMARY, PRIMARY_CR8_LOAD_EXITING, SWITCHED, "CR8-load exiting" },
    { WORD_PRIMARY, PRIMARY_CR8_STORE_EXITING, SWITCHED, "CR8-store exiting" },
    { WORD_PRIMARY, PRIMARY_USE_TPR_SHADOW, APICV, "use TPR shadow" },
    { WORD_PRIMARY, PRIMARY_NMI_WINDOW_EXITING, SWITCHED, "NMI-window exiting" },
    { WORD_PRIMARY, PRIMARY_MOV_DR_EXITING, FORBIDDEN, "MOV-DR exiting" },
    { WORD_PRIMARY, PRIMARY_UNCONDITIONAL_IO_EXITING, REQUIRED, "unconditional I/O exiting" },
    { WORD_PRIMARY, PRIMARY_USE_IO_BITMAPS, FORBIDDEN, "use I/O bitmaps" },
    { WORD_PRIMARY, PRIMARY_MONITOR_TRAP_FLAG, FORBIDDEN, "monitor trap flag" },
    { WORD_PRIMARY, PRIMARY_USE_MSR_BITMAPS, REQUIRED, "use MSR bitmaps" },
    { WORD_PRIMARY, PRIMARY_MONITOR_EXITING, REQUIRED, "MONITOR exiting" },
    { WORD_PRIMARY, PRIMARY_PAUSE_EXITING, FORBIDDEN, "PAUSE exiting" },
    { WORD_PRIMARY, PRIMARY_ACTIVATE_SECONDARY_CONTROLS, REQUIRED, "activate secondary controls" },

    { WORD_SECONDARY, SECONDARY_ENABLE_EPT, REQUIRED, "enable EPT" },
    { WORD_SECONDARY, SECONDARY_UNRESTRICTED_GUEST, REQUIRED, "unrestricted guest" },
    { WORD_SECONDARY, SECONDARY_VIRTUALIZE_APIC_ACCESSES, APICV, "virtualize APIC accesses" },
    { WORD_SECONDARY, SECONDARY_VIRTUALIZE_X2APIC_MODE, APICV, "virtualize x2APIC mode" },
    { WORD_SECONDARY, SECONDARY_APIC_REGISTER_VIRTUALIZATION, APICV, "APIC-register virtualization" },
    { WORD_SECONDARY, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY, APICV, "virtual-interrupt delivery" },
    { WORD_SECONDARY, SECONDARY_ENABLE_RDTSCP, WANTED, "enable RDTSCP" },
    { WORD_SECONDARY, SECONDARY_ENABLE_VPID, WANTED, "enable VPID" },
    { WORD_SECONDARY, SECONDARY_WBINVD_EXITING, WANTED, "WBINVD exiting" },
    { WORD_SECONDARY, SECONDARY_PAUSE_LOOP_EXITING, WANTED, "PAUSE-loop exiting" },
    { WORD_SECONDARY, SECONDARY_ENABLE_INVPCID, WANTED, "enable INVPCID" },
    { WORD_SECONDARY, SECONDARY_USE_TSC_SCALING, WANTED, "use TSC scaling" },

    { WORD_EXIT, EXIT_SAVE_DEBUG_CONTROLS, REQUIRED, "save debug controls" },
    { WORD_EXIT, EXIT_HOST_ADDRESS_SPACE_SIZE, REQUIRED, "host address-space size" },
    /* Acknowledged here, the vector would be lost to the host's own dispatcher, which takes it in thread_yield(). */
    { WORD_EXIT, EXIT_ACKNOWLEDGE_INTERRUPT_ON_EXIT, FORBIDDEN, "acknowledge interrupt on exit" },
    { WORD_EXIT, EXIT_SAVE_IA32_PAT, REQUIRED, "save IA32_PAT" },
    { WORD_EXIT, EXIT_LOAD_IA32_PAT, REQUIRED, "load IA32_PAT" },
    { WORD_EXIT, EXIT_SAVE_IA32_EFER, REQUIRED, "save IA32_EFER" },
    { WORD_EXIT, EXIT_LOAD_IA32_EFER, REQUIRED, "load IA32_EFER" },
    { WORD_EXIT, EXIT_SAVE_VMX_PREEMPTION_TIMER_VALUE, FORBIDDEN, "save VMX-preemption timer value" },

    { WORD_ENTRY, ENTRY_LOAD_DEBUG_CONTROLS, REQUIRED, "load debug controls" },
    { WORD_ENTRY, ENTRY_IA32E_MODE_GUEST, SWITCHED, "IA-32e mode guest" },
    { WORD_ENTRY, ENTRY_TO_SMM, FORBIDDEN, "entry to SMM" },
    { WORD_ENTRY, ENTRY_DEACTIVATE_DUAL_MONITOR_TREATMENT, FORBIDDEN, "deactivate dual-monitor treatment" },
    { WORD_ENTRY, ENTRY_LOAD_IA32_PAT, REQUIRED, "load IA32_PAT" },
    { WORD_ENTRY, ENTRY_LOAD_IA32_EFER, REQUIRED, "load IA32_EFER" },
};

static const struct { uint64_t bit; const char *name; } needed_ept[] = {
    { EPT_CAP_PAGE_WALK_4, "an EPT page-walk length of 4" },
    { EPT_CAP_MEMORY_TYPE_WB, "EPT structures of memory type write-back" },
    { EPT_CAP_2MIB_PAGES, "EPT 2-MByte pages" },
    { EPT_CAP_ACCESSED_DIRTY, "accessed and dirty flags for EPT" },
    { EPT_CAP_INVEPT, "INVEPT" },
    { EPT_CAP_INVEPT_SINGLE_CONTEXT, "single-context INVEPT" },
};

static uint64_t word_permissions(const struct vmx_caps *caps, enum word word)
{
    bool use_true = caps->basic & BASIC_TRUE_CONTROLS;
    return *(const uint64_t *)((const char *)caps + (use_true ? words[word].true_ : words[word].plain));
}

static enum err negotiate_word(const struct vmx_caps *caps, enum word word, uint32_t *out, char *why, size_t why_size)
{
    /* A.2 to A.5: bits 31:0 are the allowed 0-settings (1 here: must be 1), bits 63:32 the allowed 1-settings. */
    uint64_t permissions = word_permissions(caps, word);
    uint32_t must_be_1 = (uint32_t)permissions, may_be_1 = (uint32_t)(permissions >> 32);
    /* Step 1: what nobody in the table wants otherwise has its default: 0 where that is allowed, else 1. */
    uint32_t value = must_be_1;

    for (unsigned i = 0; i < ARRAY_SIZE(controls); i++) {
        const struct control *c = &controls[i];
        if (c->word != word)
            continue;
        /* Step 2: a control that must be settable to 1 and is not. */
        bool can_be_1 = may_be_1 & c->bit, can_be_0 = !(must_be_1 & c->bit);
        if (!can_be_1 && (c->wish == REQUIRED || c->wish == SWITCHED)) {
            snprintf(why, why_size, "the processor lacks the %s \"%s\"", words[word].name, c->name);
            return ERR_UNSUPPORTED;
        }
        /* Step 3: a control that must be settable to 0 and is not. */
        if (!can_be_0 && (c->wish == FORBIDDEN || c->wish == SWITCHED || c->wish == APICV)) {
            snprintf(why, why_size, "the processor cannot turn off the %s \"%s\"", words[word].name, c->name);
            return ERR_UNSUPPORTED;
        }
        /* Step 4: turn on what is required, and what is wanted and there. */
        if (can_be_1 && (c->wish == REQUIRED || c->wish == WANTED))
            value |= c->bit;
    }
    *out = value;
    return OK;
}

static enum err check_basics(const struct vmx_caps *caps, char *why, size_t why_size)
{
    /* SDM 24.6 "Discovering Support for VMX" */
    if (!caps->cpuid_vmx) {
        snprintf(why, why_size, "the processor has no VT-x (CPUID.01H:ECX.VMX is 0)");
        return ERR_UNSUPPORTED;
    }
    /* SDM 24.7 "Enabling and Entering VMX Operation": once locked, only a reset lets the firmware change its mind. */
    if ((caps->feature_control & IA32_FEATURE_CONTROL_LOCK) &&
        !(caps->feature_control & IA32_FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
        snprintf(why, why_size,
                 "VT-x is locked off by the firmware (IA32_FEATURE_CONTROL is 0x%llx): turn it on in the setup",
                 (unsigned long long)caps->feature_control);
        return ERR_UNSUPPORTED;
    }
    uint64_t size = BASIC_REGION_SIZE(caps->basic);
    if (size == 0 || size > VMCS_REGION_SIZE_MAX || BASIC_MEMORY_TYPE(caps->basic) != MEMORY_TYPE_WB) {
        snprintf(why, why_size, "IA32_VMX_BASIC is 0x%llx: no VMCS region of at most 4 KiB in write-back memory",
                 (unsigned long long)caps->basic);
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static enum err check_ept(const struct vmx_caps *caps, char *why, size_t why_size)
{
    for (unsigned i = 0; i < ARRAY_SIZE(needed_ept); i++) {
        if (caps->ept_vpid_cap & needed_ept[i].bit)
            continue;
        snprintf(why, why_size, "the processor lacks %s (IA32_VMX_EPT_VPID_CAP is 0x%llx)", needed_ept[i].name,
                 (unsigned long long)caps->ept_vpid_cap);
        return ERR_UNSUPPORTED;
    }
    return OK;
}

/*
 * Half of APIC virtualization would be a third way to go, and none that is fast: all or nothing. Of a group whose
 * members can be 1 but not 0 nothing can be made, and negotiate_word has refused that.
 */
static bool has_apicv(const struct vmx_caps *caps)
{
    for (unsigned i = 0; i < ARRAY_SIZE(controls); i++)
        if (controls[i].wish == APICV && !(word_permissions(caps, controls[i].word) >> 32 & controls[i].bit))
            return false;
    return true;
}

/*
 * With it, which of the two ways to reach the registers is virtualized follows from the mode of the guest's APIC
 * (vmx/apicv.c). Without it the TPR is reached through CR8, which must exit.
 */
static void choose_apicv(const struct vmx_caps *caps, bool wanted, struct vmx_controls *c)
{
    c->apicv = wanted && has_apicv(caps);
    if (c->apicv) {
        c->primary |= PRIMARY_USE_TPR_SHADOW;
        c->secondary |= SECONDARY_APIC_REGISTER_VIRTUALIZATION | SECONDARY_VIRTUAL_INTERRUPT_DELIVERY;
    } else {
        c->primary |= PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING;
    }
}

static void fill_features(const struct vmx_caps *caps, struct vmx_controls *c)
{
    const uint64_t vpid_needs = EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE_CONTEXT;
    /* A VPID that cannot be invalidated is worse than none (its bit is never one that must be 1: A.3.3). */
    if ((caps->ept_vpid_cap & vpid_needs) != vpid_needs)
        c->secondary &= ~SECONDARY_ENABLE_VPID;
    c->vpid = c->secondary & SECONDARY_ENABLE_VPID;
    c->tsc_scaling = c->secondary & SECONDARY_USE_TSC_SCALING;
    c->rdtscp = c->secondary & SECONDARY_ENABLE_RDTSCP;
    c->invpcid = c->secondary & SECONDARY_ENABLE_INVPCID;
    c->pml = caps->procbased2 >> 32 & SECONDARY_ENABLE_PML;
    c->ept_1gib_pages = caps->ept_vpid_cap & EPT_CAP_1GIB_PAGES;
    c->vmcs_revision = (uint32_t)(caps->basic & BASIC_REVISION_MASK);
    c->preemption_timer_shift = MISC_PREEMPTION_TIMER_SHIFT(caps->misc);
    /* A.7: with "unrestricted guest" PE and PG may be 0 although fixed0 says 1. */
    c->cr0_fixed0 = caps->cr0_fixed0 & ~(CR0_PE | CR0_PG);
    c->cr0_fixed1 = caps->cr0_fixed1;
    c->cr4_fixed0 = caps->cr4_fixed0;
    c->cr4_fixed1 = caps->cr4_fixed1;
}

enum err vmx_controls_negotiate(const struct vmx_caps *caps, bool apicv, struct vmx_controls *out, char *why,
                                size_t why_size)
{
    uint32_t values[WORD_COUNT];
    struct vmx_controls result = { 0 };
    enum err e = check_basics(caps, why, why_size);
    for (enum word w = 0; e == OK && w < WORD_COUNT; w++)
        e = negotiate_word(caps, w, &values[w], why, why_size);
    if (e == OK)
        e = check_ept(caps, why, why_size);
    if (e != OK)
        return e;
    result.pin = values[WORD_PIN];
    result.primary = values[WORD_PRIMARY];
    result.secondary = values[WORD_SECONDARY];
    result.exit = values[WORD_EXIT];
    result.entry = values[WORD_ENTRY];
    choose_apicv(caps, apicv, &result);
    fill_features(caps, &result);
    *out = result;
    return OK;
}
