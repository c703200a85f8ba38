/*
 * The machine's time, and a vCPU's view of it: its TSC, which is the machine's time but for what the guest added to it
 * (SDM Vol. 3B, 18.17.3 "Time-Stamp Counter Adjustment"), and the APIC timer that hangs on it. The guest's TSC never
 * runs backwards by our doing.
 */
#include "kernel/time.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

uint64_t vm_machine_time(const struct vm *vm)
{
    return clock_guest_tsc(&vm->clock, time_now());
}

/* Host TSC of the devices' next deadline. device_lock is held. */
static uint64_t devices_deadline(const struct vm *vm)
{
    return clock_host_tsc_at(&vm->clock, platform_next_deadline(vm), time_now());
}

void vm_advance_devices(struct vm *vm)
{
    spinlock_acquire(&vm->device_lock);
    platform_advance(vm, vm_machine_time(vm));
    vm->platform_deadline = devices_deadline(vm);
    spinlock_release(&vm->device_lock);
}

void vm_devices_changed(struct vm *vm)
{
    uint64_t before = vm->platform_deadline;
    vm->platform_deadline = devices_deadline(vm);
    if (vm->platform_deadline < before)
        vcpu_post_event(vm->vcpus[0], MAIL_TIME);
}

static struct guest_clock vcpu_clock(const struct vcpu *vcpu)
{
    struct guest_clock clock = vcpu->vm->clock;
    clock.offset += vcpu->tsc_adjust;
    return clock;
}

uint64_t vcpu_guest_tsc(const struct vcpu *vcpu)
{
    return vm_machine_time(vcpu->vm) + vcpu->tsc_adjust;
}

static void update_deadline(struct vcpu *vcpu)
{
    struct guest_clock clock = vcpu_clock(vcpu);
    vcpu->lapic_deadline = clock_host_tsc_at(&clock, lapic_next_deadline(&vcpu->lapic), time_now());
}

void vcpu_lapic_advance(struct vcpu *vcpu)
{
    lapic_advance(&vcpu->lapic, vcpu_guest_tsc(vcpu));
    update_deadline(vcpu);
    vcpu->inject_work = true;
}

void vcpu_lapic_changed(struct vcpu *vcpu)
{
    if (vcpu->lapic.changed & LAPIC_CHANGED_ROUTE)
        vcpu_publish_route(vcpu);
    update_deadline(vcpu);
    vcpu->inject_work = true;
}

/* A TSC deadline is absolute, a running count goes on undisturbed. */
static void adjust(struct vcpu *vcpu, uint64_t value)
{
    uint64_t before = vcpu_guest_tsc(vcpu), change = value - vcpu->tsc_adjust;
    vcpu->tsc_adjust = value;
    vcpu_write_clock(vcpu);
    lapic_tsc_moved(&vcpu->lapic, before, before + change);
    vcpu_lapic_changed(vcpu);
}

void vcpu_write_tsc(struct vcpu *vcpu, uint64_t value)
{
    adjust(vcpu, vcpu->tsc_adjust + (value - vcpu_guest_tsc(vcpu)));
}

void vcpu_write_tsc_adjust(struct vcpu *vcpu, uint64_t value)
{
    adjust(vcpu, value);
}

void vcpu_write_clock(struct vcpu *vcpu)
{
    struct guest_clock clock = vcpu_clock(vcpu);
    vmcs_write(TSC_OFFSET, clock.offset);
    if (vmx_has_tsc_scaling())
        vmcs_write(TSC_MULTIPLIER, clock.multiplier);
    vcpu->clock_changed = false;
}
