/*
 * Which capability MSR exists follows from others (SDM Vol. 3D, Appendix A): reading one that does not exist is a
 * #GP.
 */
#include "vmx/caps.h"

#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/vmcs.h"

#define BASIC_TRUE_CONTROLS BIT(55)
#define MAY_BE_1(permissions, control) ((permissions) >> 32 & (control))

static bool exists(const struct vmx_caps *so_far, uint32_t msr)
{
    switch (msr) {
    case IA32_VMX_TRUE_PINBASED_CTLS:
    case IA32_VMX_TRUE_PROCBASED_CTLS:
    case IA32_VMX_TRUE_EXIT_CTLS:
    case IA32_VMX_TRUE_ENTRY_CTLS:
        return so_far->basic & BASIC_TRUE_CONTROLS; /* A.2 */
    case IA32_VMX_PROCBASED_CTLS2:
        return MAY_BE_1(so_far->procbased, PRIMARY_ACTIVATE_SECONDARY_CONTROLS); /* A.3.3 */
    case IA32_VMX_EPT_VPID_CAP:
        return MAY_BE_1(so_far->procbased2, SECONDARY_ENABLE_EPT | SECONDARY_ENABLE_VPID); /* A.10 */
    case IA32_VMX_VMFUNC:
        return MAY_BE_1(so_far->procbased2, SECONDARY_ENABLE_VM_FUNCTIONS); /* A.11 */
    default:
        return true;
    }
}

void vmx_caps_read(struct vmx_caps *out)
{
    *out = (struct vmx_caps){ .cpuid_vmx = cpuid(1, 0).ecx & CPUID_01_ECX_VMX };
    if (!out->cpuid_vmx)
        return;
    /* In ascending order: a condition is read before what hangs on it. */
    for (unsigned i = 0; i < vmx_cap_msr_count; i++)
        if (exists(out, vmx_cap_msrs[i].msr))
            *(uint64_t *)((char *)out + vmx_cap_msrs[i].offset) = rdmsr(vmx_cap_msrs[i].msr);
}
