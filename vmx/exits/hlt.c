/* HLT: the guest sleeps outside guest mode, on the host's timer, so that others have the CPU and nothing burns. */
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

#define RFLAGS_IF BIT(9)

enum exit_action exit_hlt(struct vcpu *vcpu)
{
    uint64_t rip = vmcs_read(GUEST_RIP);
    /* With interrupts off only an NMI could end it, and nobody sends one but the guest itself. */
    if (!(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) && !vcpu->nmi_pending) {
        vcpu_stop_guest(vcpu, "HLT with interrupts off at RIP 0x%llx", (unsigned long long)rip);
        return EXIT_LEAVE;
    }
    vcpu_skip_instruction(vcpu);
    vcpu->activity = ACTIVITY_HLT;
    return EXIT_LEAVE;
}
