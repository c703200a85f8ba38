/*
 * The run loop. A vCPU's thread alternates between the guest, for at most a slice, and everybody else on this CPU
 * (thread_yield, where the host takes its interrupts). The guest leaves guest mode early for an external interrupt,
 * and at the latest when the VMX-preemption timer ends the slice or the guest's APIC timer is due.
 */
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

/*
 * One slice. Short, because an interrupt that finds the guest with IF = 0 may wait for the slice's end on some
 * implementations, and because other threads (the network's) wait for it when the guest never sleeps.
 */
#define SLICE_US 1000

/* SDM 26.5.1 "VMX-Preemption Timer": counts down at the TSC's rate divided by 2^shift; at 0 it exits. */
static void set_preemption_timer(uint64_t ticks)
{
    uint64_t count = (ticks >> vmx_controls_get()->preemption_timer_shift) + 1;
    vmcs_write(VMX_PREEMPTION_TIMER_VALUE, MIN(count, UINT32_MAX));
}

/*
 * Enters guest mode at host time `now`; returns the time after the exit. False in *entered: it did not; the guest
 * is stopped.
 */
static uint64_t enter(struct vcpu *vcpu, uint64_t now, bool *entered)
{
    enum vmx_result result = vmx_enter(vcpu, vcpu->launched);
    uint64_t after = rdtsc();
    *entered = result == VMX_SUCCEED;
    if (!*entered) {
        vcpu_stop_guest_dump(vcpu, "%s failed: VM-instruction error %u", vcpu->launched ? "VMRESUME" : "VMLAUNCH",
                             result == VMX_FAIL_VALID ? (unsigned)vmcs_read(VM_INSTRUCTION_ERROR) : 0);
        return after;
    }
    vcpu->launched = true;
    vcpu->guest_ticks += after - now;
    return after;
}

static void run_slice(struct vcpu *vcpu)
{
    uint64_t now = rdtsc(), slice_end = now + time_from_us(SLICE_US);
    bool entered;
    vcpu_make_current(vcpu);
    vcpu_load(vcpu);
    if (vcpu->clock_changed)
        vcpu_write_clock(vcpu);
    if (!vcpu->vm->first_entry_tsc)
        vcpu->vm->first_entry_tsc = rdtsc();   /* where a teleport's downtime ends */
    do {
        if (now >= vcpu->lapic_deadline)
            vcpu_lapic_advance(vcpu);
        if (vcpu->inject_work)
            vcpu_inject(vcpu);
        uint64_t end = MIN(slice_end, vcpu->lapic_deadline);
        set_preemption_timer(end > now ? end - now : 0);
        now = enter(vcpu, now, &entered);
    } while (entered && exit_dispatch(vcpu) == EXIT_REENTER && now < slice_end && vcpu->vm->state == VM_RUNNING);
}

/* A guest in HLT: is there something that ends it? */
static bool wake_from_hlt(struct vcpu *vcpu)
{
    if (time_now() >= vcpu->lapic_deadline)
        vcpu_lapic_advance(vcpu);
    if (!vcpu_has_deliverable_event(vcpu))
        return false;
    vcpu->activity = ACTIVITY_ACTIVE;
    return true;
}

void vcpu_thread(void *arg)
{
    struct vcpu *vcpu = arg;
    while (!vcpu->stop) {
        if (vcpu->vm->state != VM_RUNNING) {
            thread_block();
        } else if (vcpu->activity == ACTIVITY_HLT && !wake_from_hlt(vcpu)) {
            thread_block_until(vcpu->lapic_deadline);
        } else {
            run_slice(vcpu);
            thread_yield();
        }
    }
}
