/* Small steps of emulation: past an instruction, and access to registers by their encoding. */
#include "vmx/vcpu.h"

#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"

#define ACCESS_RIGHTS_L BIT(13) /* SDM 25.4.1: 64-bit mode active (CS) */

bool vcpu_in_64bit_mode(struct vcpu *vcpu)
{
    (void)vcpu;
    return (vmcs_read(GUEST_IA32_EFER) & IA32_EFER_LMA) && (vmcs_read(GUEST_CS_ACCESS_RIGHTS) & ACCESS_RIGHTS_L);
}

void vcpu_skip_instruction(struct vcpu *vcpu)
{
    vcpu_skip_bytes(vcpu, (unsigned)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH));
}

void vcpu_skip_bytes(struct vcpu *vcpu, unsigned length)
{
    uint64_t rip = vmcs_read(GUEST_RIP), next = rip + length;
    if ((rip ^ next) >> 32 && !vcpu_in_64bit_mode(vcpu))
        next = (uint32_t)next;
    vmcs_write(GUEST_RIP, next);
    /* Blocking by STI and MOV SS ends with the instruction that follows them: the one that was just emulated. */
    uint64_t interruptibility = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    const uint64_t ends = INTERRUPTIBILITY_BLOCKING_BY_STI | INTERRUPTIBILITY_BLOCKING_BY_MOV_SS;
    if (interruptibility & ends) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE, interruptibility & ~ends);
        vcpu->inject_work = true;
    }
    /* An instruction that has been executed clears RF. One that was single-stepped traps: #DB with DR6.BS at the next entry. */
    uint64_t rflags = vmcs_read(GUEST_RFLAGS);
    if (rflags & RFLAGS_RF)
        vmcs_write(GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    if (rflags & RFLAGS_TF)
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

uint64_t vcpu_read_gpr(struct vcpu *vcpu, unsigned gpr)
{
    return gpr == GPR_RSP ? vmcs_read(GUEST_RSP) : vcpu->gpr[gpr % GPR_COUNT];
}

void vcpu_write_gpr(struct vcpu *vcpu, unsigned gpr, uint64_t value)
{
    if (gpr == GPR_RSP)
        vmcs_write(GUEST_RSP, value);
    else
        vcpu->gpr[gpr % GPR_COUNT] = value;
}
