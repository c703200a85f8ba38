/*
 * Writes of control registers that the processor does not do alone. The guest owns all bits but those of the
 * guest/host masks (SDM 25.6.6 "Guest/Host Masks and Read Shadows for CR0 and CR4"): in CR0 the cache bits, which
 * neither entry nor exit switches and which would turn off the host's caches, and NE; in CR4 all that the policy
 * does not offer, VMXE first.
 */
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

/* SDM Table 28-3 "Exit Qualification for Control-Register Accesses" */
#define CR_NUMBER(q) ((unsigned)((q) & 0xf))
#define CR_ACCESS(q) ((unsigned)((q) >> 4 & 3))
#define CR_GPR(q) ((unsigned)((q) >> 8 & 0xf))
enum { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };
#define CR8_MAX 15

static enum exit_action general_protection(struct vcpu *vcpu)
{
    vcpu_inject_exception_error(vcpu, VECTOR_GP, 0);
    return EXIT_REENTER;
}

/*
 * Only the read shadow takes the new value of the bits that are ours. The instruction is then executed again,
 * agrees with the shadow, does not exit, and the processor does all the rest: paging, EFER.LMA, PDPTEs, and every
 * check of the other bits.
 */
static enum exit_action mov_to_cr0(struct vcpu *vcpu, uint64_t value)
{
    if ((value & CR0_NW) && !(value & CR0_CD))
        return general_protection(vcpu);
    if (value >> 32 && vcpu_in_64bit_mode(vcpu)) /* reserved; outside 64-bit mode the operand has 32 bits */
        return general_protection(vcpu);
    vmcs_write(CR0_READ_SHADOW, (uint32_t)value & vmcs_read(CR0_GUEST_HOST_MASK));
    return EXIT_REENTER;
}

/* It exits only when it sets a bit that the policy does not offer. */
static enum exit_action mov_to_cr4(struct vcpu *vcpu, uint64_t value)
{
    if (vcpu_in_64bit_mode(vcpu) || ((uint32_t)value & ~vcpu->cr4_allowed))
        return general_protection(vcpu);
    vcpu_stop_guest_dump(vcpu, "MOV to CR4 of 0x%llx exits without cause", (unsigned long long)value);
    return EXIT_LEAVE;
}

static enum exit_action access_cr8(struct vcpu *vcpu, uint64_t q)
{
    if (CR_ACCESS(q) == CR_MOV_FROM) {
        vcpu_write_gpr(vcpu, CR_GPR(q), lapic_cr8(&vcpu->lapic));
    } else {
        uint64_t value = vcpu_read_gpr(vcpu, CR_GPR(q));
        if (value > CR8_MAX)
            return general_protection(vcpu);
        lapic_set_cr8(&vcpu->lapic, (uint8_t)value);
        vcpu->inject_work = true;
    }
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}

enum exit_action exit_control_register(struct vcpu *vcpu)
{
    uint64_t q = vmcs_read(EXIT_QUALIFICATION);
    if (CR_NUMBER(q) == 8)
        return access_cr8(vcpu, q);
    if (CR_NUMBER(q) == 0 && CR_ACCESS(q) == CR_MOV_TO)
        return mov_to_cr0(vcpu, vcpu_read_gpr(vcpu, CR_GPR(q)));
    if (CR_NUMBER(q) == 4 && CR_ACCESS(q) == CR_MOV_TO)
        return mov_to_cr4(vcpu, vcpu_read_gpr(vcpu, CR_GPR(q)));
    return exit_unexpected(vcpu);
}
