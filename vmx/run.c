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
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
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
    vcpu->last_ran_tsc = after;
    return after;
}

/* The processor's own part, which others may have used or made out of date since the last slice. */
static void load(struct vcpu *vcpu)
{
    vcpu_make_current(vcpu);
    vcpu_load(vcpu);
    if (vcpu->invept) {
        vcpu->invept = false;
        vmx_invalidate_ept(ept_pointer(&vcpu->vm->memory.ept));
    }
}

/* Host TSC at which a timer wants to be looked at: of its APIC, and vCPU 0 looks after the devices' as well. */
static uint64_t next_deadline(const struct vcpu *vcpu)
{
    uint64_t devices = vcpu->index ? UINT64_MAX : vcpu->vm->platform_deadline;
    return MIN(devices, vcpu->lapic_deadline);
}

static void look_at_timers(struct vcpu *vcpu, uint64_t now)
{
    if (now >= vcpu->lapic_deadline)
        vcpu_lapic_advance(vcpu);
    if (vcpu->index == 0 && now >= vcpu->vm->platform_deadline)
        vm_advance_devices(vcpu->vm);
}

static bool may_go_on(const struct vcpu *vcpu)
{
    return !vcpu->vm->holds && vcpu->vm->state == VM_RUNNING && !vcpu->give_way;
}

static void note_first_entry(struct vm *vm)
{
    uint64_t none = 0;
    if (!vm->first_entry_tsc)
        atomic_compare_exchange_strong(&vm->first_entry_tsc, &none, rdtsc()); /* where a teleport's downtime ends */
}

/* An INIT in the mail ends its run, or the whole guest's; with its start-up IPI behind it, all registers are new ones. */
static bool take_mail_and_go_on(struct vcpu *vcpu)
{
    vcpu_take_mail(vcpu);
    if (vcpu->activity != ACTIVITY_ACTIVE || !may_go_on(vcpu))
        return false;
    load(vcpu);
    return true;
}

static void run_slice(struct vcpu *vcpu)
{
    uint64_t now = rdtsc(), slice_end = now + time_from_us(SLICE_US);
    bool entered;
    load(vcpu);
    note_first_entry(vcpu->vm);
    vcpu->give_way = false;
    do {
        uint64_t deadline = next_deadline(vcpu);
        if (now >= deadline) {
            look_at_timers(vcpu, now);
            deadline = next_deadline(vcpu);
        }
        if (!mailbox_is_empty(&vcpu->mailbox) && !take_mail_and_go_on(vcpu))
            break;
        if (vcpu->inject_work)
            vcpu_inject(vcpu);
        uint64_t end = MIN(slice_end, deadline);
        set_preemption_timer(end > now ? end - now : 0);
        now = enter(vcpu, now, &entered);
    } while (entered && exit_dispatch(vcpu) == EXIT_REENTER && now < slice_end && may_go_on(vcpu));
}

/* An NMI ends a HLT, and not the wait for a start-up IPI (SDM Vol. 3C, 26.2 "Other Causes of VM Exits"). */
static bool still_sleeps(const struct vcpu *vcpu)
{
    return vcpu->activity == ACTIVITY_WAIT_FOR_SIPI || (vcpu->activity == ACTIVITY_HLT && !vcpu->nmi_pending);
}

/* In HLT, or waiting for a start-up IPI: has anything ended that? */
static bool wakes(struct vcpu *vcpu)
{
    look_at_timers(vcpu, time_now());
    if (!mailbox_is_empty(&vcpu->mailbox)) {
        bool was_dead = atomic_exchange(&vcpu->dead, false);
        vcpu_take_mail(vcpu);
        if (was_dead && still_sleeps(vcpu))
            vcpu_sleep_dead(vcpu);
    }
    if (vcpu->activity == ACTIVITY_HLT && vcpu_has_deliverable_event(vcpu)) {
        vcpu->activity = ACTIVITY_ACTIVE;
        vcpu->dead = false;
        vcpu->last_ran_tsc = time_now();
    }
    return vcpu->activity == ACTIVITY_ACTIVE;
}

static void catch_up_with_clock(struct vcpu *vcpu)
{
    vcpu_make_current(vcpu);
    vcpu_write_clock(vcpu);
    vcpu_lapic_changed(vcpu);
    if (vcpu->index == 0)
        vm_advance_devices(vcpu->vm);
}

/* Near the guest; but first says so, so that nobody who holds the machine overlooks it. False: it may not. */
static bool begin(struct vcpu *vcpu)
{
    vcpu->busy = true;
    if (!vcpu->vm->holds && vcpu->vm->state == VM_RUNNING)
        return true;
    vcpu->busy = false;
    return false;
}

void vcpu_thread(void *arg)
{
    struct vcpu *vcpu = arg;
    while (!vcpu->stop) {
        if (!begin(vcpu)) {
            vm_tell_end(vcpu->vm);
            thread_block();
            continue;
        }
        if (vcpu->clock_changed)
            catch_up_with_clock(vcpu);
        bool awake = vcpu->activity == ACTIVITY_ACTIVE || wakes(vcpu);
        if (awake)
            run_slice(vcpu);
        vcpu->busy = false;
        if (awake)
            thread_yield();
        else if (mailbox_is_empty(&vcpu->mailbox)) /* who posted before `busy` was false has only kicked this CPU */
            thread_block_until(next_deadline(vcpu));
    }
}
