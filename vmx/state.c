/*
 * Saving and loading a machine that does not run. Loading decodes and checks everything, against the format and
 * against this host and the machine's policy, before it touches the machine.
 */
#include "vmx/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "vmx/cpuid.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_image.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

/* A machine that has ended is known by its state. */
static bool has_ended(const struct vm *vm) { return vm->state == VM_HALTED; }

struct vm_state_room {
    bool ended;
    struct vm_image *image;
    struct state_writer writer;
    struct state_reader reader;
    uint32_t count;
    struct state_part parts[VM_IMAGE_PARTS_MAX];
};

static void copy_platform(struct vm *vm, struct platform *out)
{
    spinlock_acquire(&vm->device_lock);
    *out = vm->platform;
    spinlock_release(&vm->device_lock);
}

struct vm_state_room *vm_state_room_new(struct vm *vm, bool ended)
{
    struct vm_state_room *room = calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->ended = ended;
    room->image = vm_image_new(vm->vcpu_count);
    if (room->image)
        room->count = vm_image_parts(room->image, &vm->config, ended, room->parts);
    if (!room->image || state_writer_open(&room->writer, room->parts, room->count)) {
        vm_state_room_free(room);
        return NULL;
    }
    copy_platform(vm, &room->image->platform);  /* what is not in the stream stays as this machine has it */
    state_reader_begin(&room->reader, room->parts, room->count);
    return room;
}

void vm_state_room_free(struct vm_state_room *room)
{
    if (!room)
        return;
    state_writer_close(&room->writer);
    free(room->image);
    free(room);
}

/* A vCPU and its place in an image; cpu_call's argument. */
struct vcpu_transfer {
    struct vcpu *vcpu;
    struct vcpu_image *image;
};

/* On the vCPU's CPU. What lies in the mail of a vCPU that will run on stays there. */
static void capture_vcpu(void *arg)
{
    struct vcpu_transfer *t = arg;
    if (t->vcpu->vm->state == VM_RUNNING)
        vcpu_read_state(t->vcpu, &t->image->state);
    else
        vcpu_capture(t->vcpu, &t->image->state);
    lapic_save(&t->vcpu->lapic, &t->image->lapic);
}

static void for_each_vcpu(struct vm *vm, struct vm_image *image, void (*fn)(void *))
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        cpu_call(vm->vcpus[i]->cpu, fn, &(struct vcpu_transfer){ vm->vcpus[i], &image->vcpus[i] });
}

static void capture_image(struct vm *vm, struct vm_image *image)
{
    if (!has_ended(vm))
        for_each_vcpu(vm, image, capture_vcpu);
    copy_platform(vm, &image->platform);
    image->clock = (struct state_clock){ vm->pause_guest_tsc, vm->guest_tsc_hz };
    image->console.position = vm->console_position;
}

enum err vm_state_capture(struct vm *vm, struct vm_state_room *room)
{
    bool runs = vm->state == VM_RUNNING;
    if (runs)
        vm_hold(vm);
    capture_image(vm, room->image);
    if (runs)
        vm_release(vm);
    state_writer_begin(&room->writer);
    /* An INIT that was still under way may have ended the machine while its vCPUs were captured. */
    return has_ended(vm) == room->ended ? OK : ERR_STATE;
}

size_t vm_state_write(struct vm_state_room *room, void *buffer, size_t size)
{
    return state_write(&room->writer, buffer, size);
}

/* On the vCPU's CPU. */
static void apply_vcpu(void *arg)
{
    struct vcpu_transfer *t = arg;
    vcpu_apply(t->vcpu, &t->image->state);
    lapic_load(&t->vcpu->lapic, &t->image->lapic);
    vcpu_publish_route(t->vcpu);
}

/* On vm->cpu. The clock stands at the saved value from now on until vm_set_guest_tsc moves it. */
struct clock_transfer {
    struct vm *vm;
    const struct vm_image *image;
};

static void apply_clock(void *arg)
{
    struct clock_transfer *t = arg;
    struct vm *vm = t->vm;
    vm->pause_tsc = time_now();
    vm->pause_guest_tsc = t->image->clock.guest_tsc;
    clock_set(&vm->clock, vm->pause_guest_tsc, vm->pause_tsc);
    vm_clock_moved(vm);
}

static void apply_image(struct vm *vm, struct vm_image *image, bool ended)
{
    vm->console_position = vm->console_start = image->console.position;
    if (ended)
        return;
    for_each_vcpu(vm, image, apply_vcpu);
    spinlock_acquire(&vm->device_lock);
    vm->platform = image->platform;
    vm_lines_loaded(vm);
    spinlock_release(&vm->device_lock);
    cpu_call(vm->cpu, apply_clock, &(struct clock_transfer){ vm, image });
}

/* What only this host and this machine's policy can tell. */
static enum err check_vcpu(const struct vm *vm, const struct vcpu_state *state, char *why, size_t why_size)
{
    const struct state_control *c = &state->control;
    /* A guest without XSAVE has XCR0 as reset leaves it: whatever is here goes into the processor by XSETBV. */
    uint64_t xsave_here = vm->policy.xcr0 & vmx_host_xcr0();
    uint64_t xcr0_here = xsave_here ? xsave_here : XCR0_X87;
    uint64_t xstate_here = vmx_host_xcr0() ? vmx_host_xcr0() : XSTATE_X87_SSE;
    uint64_t xstate_bv;
    memcpy(&xstate_bv, state->xsave.image + XSAVE_XSTATE_BV, sizeof xstate_bv);
    if (c->cr4 & ~vcpu_cr4_allowed(vm)) {
        snprintf(why, why_size, "section control, field cr4: 0x%llx has bits that the guest's policy does not offer",
                 (unsigned long long)c->cr4);
        return ERR_INVALID;
    }
    if ((c->xcr0 & ~xcr0_here) || (xstate_bv & ~xstate_here)) {
        snprintf(why, why_size, "section control or xsave: XCR0 0x%llx, XSTATE_BV 0x%llx, this pod has 0x%llx",
                 (unsigned long long)c->xcr0, (unsigned long long)xstate_bv, (unsigned long long)xcr0_here);
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static enum err check_against_host(const struct vm *vm, const struct vm_image *image, char *why, size_t why_size)
{
    if (image->clock.tsc_hz != vm->guest_tsc_hz) {
        snprintf(why, why_size, "section clock, field tsc_hz: %llu, but the policy said %llu",
                 (unsigned long long)image->clock.tsc_hz, (unsigned long long)vm->guest_tsc_hz);
        return ERR_INVALID;
    }
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < image->vcpu_count; i++)
        e = check_vcpu(vm, &image->vcpus[i].state, why, why_size);
    return e;
}

enum err vm_state_read(struct vm_state_room *room, const void *buffer, size_t size, char *why, size_t why_size)
{
    return state_read(&room->reader, buffer, size, why, why_size);
}

enum err vm_state_load(struct vm *vm, struct vm_state_room *room, char *why, size_t why_size)
{
    if (vm->state == VM_RUNNING) {
        snprintf(why, why_size, "the machine is running");
        return ERR_STATE;
    }
    enum err e = state_read_end(&room->reader, why, why_size);
    if (e == OK && !room->ended)
        e = check_against_host(vm, room->image, why, why_size);
    if (e == OK)
        apply_image(vm, room->image, room->ended);
    return e;
}

uint64_t vm_guest_tsc_at_pause(const struct vm *vm)
{
    return vm->pause_guest_tsc;
}

void vm_set_guest_tsc(struct vm *vm, uint64_t guest_tsc, uint64_t host_tsc)
{
    clock_set(&vm->clock, MAX(guest_tsc, vm->pause_guest_tsc), host_tsc);
    vm_clock_moved(vm);
}
