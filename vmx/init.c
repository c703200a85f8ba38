/*
 * How processors begin and wait: INIT, start-up IPIs, and the sleep from which only others can wake (SDM Vol. 3A, 9.4
 * "Multiple-Processor (MP) Initialization", 11.6.1 "Interrupt Command Register").
 */
#include "kernel/lib/util.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

#define SIPI_VECTOR_SHIFT 12
#define SIPI_SELECTOR_SHIFT 8

/* Is there a vCPU that runs, or that something has been sent to? */
static bool anybody_lives(const struct vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        if (!vm->vcpus[i]->dead || !mailbox_is_empty(&vm->vcpus[i]->mailbox))
            return true;
    return false;
}

/* Two that fall asleep at once: each says so first and looks second, so one of them at least sees the other. */
void vcpu_sleep_dead(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    vcpu->dead = true;
    if (anybody_lives(vm))
        return;
    vcpu_make_current(vcpu);
    unsigned long long rip = vmcs_read(GUEST_RIP);
    if (vm->vcpu_count == 1)
        vcpu_stop_guest(vcpu, "HLT with interrupts off at RIP 0x%llx", rip);
    else
        vcpu_stop_guest(vcpu, "every vCPU sleeps with interrupts off; vCPU %u, the last, at RIP 0x%llx", vcpu->index, rip);
}

/* SDM Vol. 3A, Table 10-1: what an INIT changes; vcpu_state_init has the state, here is what is not part of that. */
void vcpu_init(struct vcpu *vcpu)
{
    struct vcpu_state state;
    if (vcpu->index == 0) {
        vcpu_stop_guest(vcpu, "INIT to the first vCPU: a reset, and there is no firmware to start from");
        return;
    }
    vcpu_read_state(vcpu, &state);
    vcpu_state_init(&state);
    state.events.activity = ACTIVITY_WAIT_FOR_SIPI;
    vcpu_apply(vcpu, &state);
    /* Paging is off, and no translation outlives that (SDM Vol. 3C, 29.4.3.3 "Guidelines for Use of the INVVPID Instruction"). */
    if (vcpu->vpid)
        vmx_invalidate_vpid(vcpu->vpid);
    lapic_init_signal(&vcpu->lapic);
    vcpu_lapic_changed(vcpu);
    vcpu_sleep_dead(vcpu);
}

void vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
{
    if (vcpu->activity != ACTIVITY_WAIT_FOR_SIPI)
        return; /* the second of the two that the manual's algorithm sends */
    vcpu_make_current(vcpu);
    vmcs_write(GUEST_CS_SELECTOR, (uint64_t)vector << SIPI_SELECTOR_SHIFT);
    vmcs_write(GUEST_CS_BASE, (uint64_t)vector << SIPI_VECTOR_SHIFT);
    vmcs_write(GUEST_RIP, 0);
    vcpu->activity = ACTIVITY_ACTIVE;
    vcpu->dead = false;
    vcpu->nmi_pending = 0; /* one that came while it waited is no part of its new life, which has no table for it yet */
}
