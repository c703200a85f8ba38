/*
 * Which VM-execution, VM-exit and VM-entry controls this processor gets: a pure function from the values of the VMX
 * capability MSRs (SDM Vol. 3D, Appendix A "VMX Capability Reporting Facility") to five control words, or to one
 * sentence that names the feature that is lacking. No globals, no hardware: host tests run it on recordings of many
 * processors.
 */
#ifndef TELEPOD_VMX_CONTROLS_H
#define TELEPOD_VMX_CONTROLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

/* What a processor says about itself. An MSR that the processor does not have is 0. */
struct vmx_caps {
    bool cpuid_vmx;             /* CPUID.01H:ECX.VMX */
    uint64_t feature_control;   /* IA32_FEATURE_CONTROL */
    uint64_t basic;             /* IA32_VMX_BASIC; the names below are those of the MSRs */
    uint64_t pinbased, procbased, exit, entry;
    uint64_t misc;
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint64_t vmcs_enum;
    uint64_t procbased2;
    uint64_t ept_vpid_cap;
    uint64_t true_pinbased, true_procbased, true_exit, true_entry;
    uint64_t vmfunc;
};

/* MSR number -> member of struct vmx_caps, for the reader in vmx/caps.c and for tests that replay recordings. */
struct vmx_cap_msr {
    uint32_t msr;
    uint16_t offset;
    const char *name;
};
extern const struct vmx_cap_msr vmx_cap_msrs[];
extern const unsigned vmx_cap_msr_count;

/* What was agreed. */
struct vmx_controls {
    uint32_t pin, primary, secondary;   /* VM-execution controls */
    uint32_t exit, entry;               /* VM-exit and VM-entry controls; "IA-32e mode guest" starts as 0 */
    uint32_t vmcs_revision;             /* IA32_VMX_BASIC[30:0] */
    unsigned preemption_timer_shift;    /* the timer counts down once every 2^n TSC ticks */
    uint64_t cr0_fixed0, cr0_fixed1;    /* as the MSRs, with PE and PG taken out of fixed0: unrestricted guest */
    uint64_t cr4_fixed0, cr4_fixed1;
    bool vpid;                          /* VPID with single-context INVVPID */
    bool tsc_scaling;
    bool rdtscp, invpcid;
    bool apicv;                         /* the guest's APIC is virtualized by the processor (SDM Vol. 3C, chapter 30) */
    bool pml;                           /* could be used; is not yet */
    bool ept_1gib_pages;                /* likewise */
};

/*
 * apicv: use APIC virtualization where the processor has all of it.
 * ERR_UNSUPPORTED with the reason in `why`: no VT-x, VT-x locked by the firmware, or the first needed feature that is
 * lacking. *out is written only on OK.
 */
enum err vmx_controls_negotiate(const struct vmx_caps *caps, bool apicv, struct vmx_controls *out, char *why,
                                size_t why_size);

#endif
