/* CPUID from the machine's policy, and XSETBV checked as the processor would, against what the policy offers. */
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "vmx/cpuid.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

enum exit_action exit_cpuid(struct vcpu *vcpu)
{
    uint32_t out[CPUID_REGISTERS];
    cpuid_policy_lookup(&vcpu->vm->policy, (uint32_t)vcpu->gpr[GPR_RAX], (uint32_t)vcpu->gpr[GPR_RCX],
                        vmcs_read(GUEST_CR4), vcpu->loaded.xcr0, out);
    if (vcpu->vm->vcpu_count > 1)
        cpuid_complete_processor(&vcpu->vm->policy, (uint32_t)vcpu->gpr[GPR_RAX], (uint32_t)vcpu->gpr[GPR_RCX],
                                 &(struct cpuid_processor){ vcpu->index, vcpu->vm->vcpu_count }, out);
    /* SDM Vol. 3A, 11.4.3 "Enabling or Disabling the Local APIC": then the processor is one without. */
    if ((uint32_t)vcpu->gpr[GPR_RAX] == CPUID_LEAF_FEATURES && lapic_mode(&vcpu->lapic) == APIC_DISABLED)
        out[CPUID_EDX] &= ~CPUID_01_EDX_APIC;
    vcpu->gpr[GPR_RAX] = out[CPUID_EAX];
    vcpu->gpr[GPR_RBX] = out[CPUID_EBX];
    vcpu->gpr[GPR_RCX] = out[CPUID_ECX];
    vcpu->gpr[GPR_RDX] = out[CPUID_EDX];
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}

/*
 * SDM Vol. 2D, "XSETBV": CPL and CR4.OSXSAVE are checked before the exit, ECX and the value here. The new value
 * goes into the processor at once: the host does not use XCR0, and this vCPU's state is loaded.
 */
enum exit_action exit_xsetbv(struct vcpu *vcpu)
{
    uint64_t value = vcpu->gpr[GPR_RDX] << 32 | (uint32_t)vcpu->gpr[GPR_RAX];
    if ((uint32_t)vcpu->gpr[GPR_RCX] != 0 || !cpuid_xcr0_valid(value, vcpu->vm->policy.xcr0 & vmx_host_xcr0())) {
        vcpu_inject_exception_error(vcpu, VECTOR_GP, 0);
        return EXIT_REENTER;
    }
    xsetbv(0, value);
    vcpu->loaded.xcr0 = value;
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
