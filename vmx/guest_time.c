/*
 * A vCPU's view of time: its TSC, and the APIC timer that hangs on it. The guest's TSC never runs backwards by our
 * doing.
 */
#include "kernel/time.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

uint64_t vcpu_guest_tsc(const struct vcpu *vcpu)
{
    return clock_guest_tsc(&vcpu->vm->clock, time_now());
}

static void update_deadline(struct vcpu *vcpu)
{
    vcpu->lapic_deadline = clock_host_tsc_at(&vcpu->vm->clock, lapic_next_deadline(&vcpu->lapic), time_now());
}

void vcpu_lapic_advance(struct vcpu *vcpu)
{
    lapic_advance(&vcpu->lapic, vcpu_guest_tsc(vcpu));
    update_deadline(vcpu);
    vcpu->inject_work = true;
}

void vcpu_lapic_changed(struct vcpu *vcpu)
{
    if (vcpu->lapic.self_nmi) { /* an IPI of delivery mode NMI to itself */
        vcpu->lapic.self_nmi = 0;
        vcpu->nmi_pending = true;
    }
    update_deadline(vcpu);
    vcpu->inject_work = true;
}

void vcpu_write_clock(struct vcpu *vcpu)
{
    vmcs_write(TSC_OFFSET, vcpu->vm->clock.offset);
    if (vmx_has_tsc_scaling())
        vmcs_write(TSC_MULTIPLIER, vcpu->vm->clock.multiplier);
    vcpu->clock_changed = false;
}
