/*
 * Waiting. HLT: the guest sleeps outside guest mode, on the host's timer, so that others have the CPU and nothing burns.
 * PAUSE in a loop: it spins, maybe for another vCPU that waits for this very CPU.
 */
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

enum exit_action exit_hlt(struct vcpu *vcpu)
{
    uint64_t rflags = vmcs_read(GUEST_RFLAGS);
    /* A debug exception ends it (SDM Vol. 2A, "HLT"): the trap of the HLT itself when it is single-stepped. */
    if (rflags & RFLAGS_TF) {
        vcpu_skip_instruction(vcpu);
        return EXIT_REENTER;
    }
    /* With interrupts off only an NMI or an INIT ends it, and those come from other vCPUs, if there are any awake. */
    bool open = rflags & RFLAGS_IF;
    if (open || !vcpu->nmi_pending)
        vcpu->activity = ACTIVITY_HLT;
    if (!open && !vcpu->nmi_pending)
        vcpu_sleep_dead(vcpu);
    vcpu_skip_instruction(vcpu);
    return EXIT_LEAVE;
}

enum exit_action exit_pause(struct vcpu *vcpu)
{
    vcpu_skip_instruction(vcpu);
    return thread_others_ready() ? EXIT_LEAVE : EXIT_REENTER;
}
