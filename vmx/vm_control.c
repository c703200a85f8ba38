/*
 * Pause, resume and dirty tracking of a machine. Each runs on vm->cpu, between two slices of the guest: no vCPU is
 * in guest mode, and none enters before the function has ended.
 */
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

struct request {
    struct vm *vm;
    struct bitmap *out;
    enum err result;
};

static enum err run_request(struct vm *vm, void (*fn)(void *), struct bitmap *out)
{
    struct request request = { vm, out, OK };
    cpu_call(vm->cpu, fn, &request);
    return request.result;
}

static void resume(void *arg)
{
    struct request *r = arg;
    if (r->vm->state != VM_PAUSED) {
        r->result = ERR_STATE;
        return;
    }
    r->vm->state = VM_RUNNING;
    r->vm->first_entry_tsc = 0;
    for (uint32_t i = 0; i < r->vm->vcpu_count; i++)
        thread_wake(r->vm->vcpus[i]->thread);
}

static void pause_vm(void *arg)
{
    struct request *r = arg;
    if (r->vm->state != VM_RUNNING) {
        r->result = ERR_STATE;
        return;
    }
    r->vm->state = VM_PAUSED;
    r->vm->pause_tsc = time_now();
    r->vm->pause_guest_tsc = clock_guest_tsc(&r->vm->clock, r->vm->pause_tsc);
}

enum err vm_resume(struct vm *vm)
{
    enum err e = run_request(vm, resume, NULL);
    vm_notify_watchers(vm);
    return e;
}

enum err vm_pause(struct vm *vm)
{
    enum err e = run_request(vm, pause_vm, NULL);
    vm_notify_watchers(vm);
    return e;
}

/*
 * Each of these changes EPT entries so that cached translations would hide writes or point to freed tables. All
 * translations of this guest are on this CPU: the INVEPT is done here and now, before the guest can enter again.
 */
static void track_start(void *arg)
{
    struct request *r = arg;
    r->result = guest_memory_track_start(&r->vm->memory);
    vmx_invalidate_ept(ept_pointer(&r->vm->memory.ept));
}

static void track_harvest(void *arg)
{
    struct request *r = arg;
    guest_memory_harvest(&r->vm->memory, r->out);
    vmx_invalidate_ept(ept_pointer(&r->vm->memory.ept));
}

static void track_stop(void *arg)
{
    struct request *r = arg;
    guest_memory_track_stop(&r->vm->memory);
    vmx_invalidate_ept(ept_pointer(&r->vm->memory.ept));
}

enum err vm_track_start(struct vm *vm)
{
    return run_request(vm, track_start, NULL);
}

enum err vm_track_harvest(struct vm *vm, struct bitmap *out)
{
    return run_request(vm, track_harvest, out);
}

enum err vm_track_stop(struct vm *vm)
{
    return run_request(vm, track_stop, NULL);
}
