/*
 * Stop the world, and what is built on it: pause, resume and dirty tracking of a machine.
 *
 * **How a hold works**: vCPUs are cooperative, each on its CPU. Before its thread comes near the guest it says so
 * (vcpu->busy) and then looks whether the machine is held; whoever holds says so first (vm->holds) and then looks who
 * is busy. Both are sequentially consistent, so one of the two sees the other. A busy vCPU is kicked out of guest mode,
 * and sees the hold before it enters again.
 */
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

/* An exit and what it does take some microseconds; what takes longer waits where others can run meanwhile. */
#define HOLD_SPIN_US 50

static void wait_until_out(const struct vcpu *vcpu)
{
    uint64_t patience = time_after_us(HOLD_SPIN_US);
    while (vcpu->busy) {
        if (time_now() < patience)
            pause();
        else
            thread_yield();
    }
}

void vm_hold(struct vm *vm)
{
    atomic_fetch_add(&vm->holds, 1);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i]->busy)
            cpu_kick(vm->vcpus[i]->cpu);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        wait_until_out(vm->vcpus[i]);
}

static void wake_all(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i]->thread)
            thread_wake(vm->vcpus[i]->thread);
}

void vm_release(struct vm *vm)
{
    if (atomic_fetch_sub(&vm->holds, 1) == 1)
        wake_all(vm);
}

enum err vm_resume(struct vm *vm)
{
    spinlock_acquire(&vm->device_lock);
    bool paused = vm->state == VM_PAUSED;
    if (paused) {
        vm->first_entry_tsc = 0;
        vm->state = VM_RUNNING;
        vm_virtio_resumed(vm);
    }
    spinlock_release(&vm->device_lock);
    if (!paused)
        return ERR_STATE;
    wake_all(vm);
    vm_notify_watchers(vm);
    return OK;
}

/*
 * A vCPU that is awake stands still from its last exit on: others have had its CPU since, as the harvest before a pause. One in
 * HLT rests because it wants to, until its timer is due. The guest stands still when the last of its vCPUs that is awake does.
 */
static uint64_t stands_still_since(const struct vm *vm)
{
    uint64_t awake = 0, due = vm->platform_deadline;
    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        const struct vcpu *vcpu = vm->vcpus[i];
        if (vcpu->activity == ACTIVITY_ACTIVE)
            awake = MAX(awake, vcpu->last_ran_tsc);
        due = MIN(due, vcpu->lapic_deadline);
    }
    uint64_t since = awake ? awake : due;
    /* Not before it was let go; and one that has not entered since then has not stopped either. */
    return vm->first_entry_tsc ? MIN(MAX(since, vm->first_entry_tsc), vm->pause_tsc) : vm->pause_tsc;
}

/* Held, no vCPU's TSC can be beyond the instant that is noted, and no device changes anything after it. */
enum err vm_pause(struct vm *vm)
{
    vm_hold(vm);
    spinlock_acquire(&vm->device_lock);
    bool running = vm->state == VM_RUNNING;
    if (running) {
        vm->state = VM_PAUSED;
        vm->pause_tsc = time_now();
        vm->last_ran_tsc = stands_still_since(vm);
        vm->pause_guest_tsc = clock_guest_tsc(&vm->clock, vm->pause_tsc);
        vm_virtio_paused(vm);
    }
    spinlock_release(&vm->device_lock);
    vm_release(vm);
    vm_notify_watchers(vm);
    return running ? OK : ERR_STATE;
}

/*
 * Each of the following changes EPT entries so that cached translations would hide writes or point to freed tables.
 * Translations of this guest are on the CPUs of its vCPUs only, and each of these does INVEPT before it uses them again.
 */
void vm_ept_changed(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        vm->vcpus[i]->invept = true;
}

enum err vm_track_start(struct vm *vm)
{
    vm_hold(vm);
    enum err e = guest_memory_track_start(&vm->memory);
    vm_ept_changed(vm);
    vm_release(vm);
    return e;
}

enum err vm_track_harvest(struct vm *vm, struct bitmap *out)
{
    vm_hold(vm);
    guest_memory_harvest(&vm->memory, out);
    vm_ept_changed(vm);
    vm_release(vm);
    return OK;
}

enum err vm_track_stop(struct vm *vm)
{
    vm_hold(vm);
    guest_memory_track_stop(&vm->memory);
    vm_ept_changed(vm);
    vm_release(vm);
    return OK;
}
