/* Instructions that this machine does not have, or that have nothing to do in it. */
#include "kernel/arch/trap.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

/* CPUID does not offer it: VMX, SMX, MONITOR, ... */
enum exit_action exit_undefined(struct vcpu *vcpu)
{
    vcpu_inject_exception(vcpu, VECTOR_UD);
    return EXIT_REENTER;
}

/* RDPMC: there is no performance counter. */
enum exit_action exit_general_protection(struct vcpu *vcpu)
{
    vcpu_inject_exception_error(vcpu, VECTOR_GP, 0);
    return EXIT_REENTER;
}

/*
 * INVD and WBINVD: memory is coherent and no device is passed through, so there is nothing to write back; INVD must
 * never reach the processor, whose caches hold the host's data too. PAUSE.
 */
enum exit_action exit_no_operation(struct vcpu *vcpu)
{
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
