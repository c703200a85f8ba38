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
#include "vmx/state_codec.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

size_t vm_state_size(const struct vm *vm)
{
    (void)vm; /* one vCPU, one UART: the same for all */
    return vm_image_size();
}

struct image_transfer {
    struct vm *vm;
    struct vm_image *image;
};

/* On vm->cpu. */
static void capture_image(void *arg)
{
    struct image_transfer *t = arg;
    struct vm *vm = t->vm;
    vcpu_capture(vm->vcpus[0], &t->image->vcpu);
    t->image->lapic = vm->vcpus[0]->lapic;
    t->image->uart = vm->platform.uart;
    t->image->clock = (struct state_clock){ vm->pause_guest_tsc, vm->guest_tsc_hz };
}

enum err vm_state_save(struct vm *vm, void *buffer, size_t size, size_t *used)
{
    if (vm->state == VM_RUNNING)
        return ERR_STATE;
    struct vm_image *image = calloc(1, sizeof *image);
    if (!image)
        return ERR_NO_MEMORY;
    cpu_call(vm->cpu, capture_image, &(struct image_transfer){ vm, image });
    enum err e = vm_image_encode(image, buffer, size, used);
    free(image);
    return e;
}

/* On vm->cpu. The clock stands at the saved value from now on until vm_set_guest_tsc moves it. */
static void apply_image(void *arg)
{
    struct image_transfer *t = arg;
    struct vm *vm = t->vm;
    vcpu_apply(vm->vcpus[0], &t->image->vcpu);
    vm->vcpus[0]->lapic = t->image->lapic;
    vm->platform.uart = t->image->uart;
    vm->pause_tsc = time_now();
    vm->pause_guest_tsc = t->image->clock.guest_tsc;
    clock_set(&vm->clock, vm->pause_guest_tsc, vm->pause_tsc);
    vm_clock_moved(vm);
}

/* What only this host and this machine's policy can tell. */
static enum err check_against_host(const struct vm *vm, const struct vm_image *image, char *why, size_t why_size)
{
    const struct state_control *c = &image->vcpu.control;
    /* A guest without XSAVE has XCR0 as reset leaves it: whatever is here goes into the processor by XSETBV. */
    uint64_t xsave_here = vm->policy.xcr0 & vmx_host_xcr0();
    uint64_t xcr0_here = xsave_here ? xsave_here : XCR0_X87;
    uint64_t xstate_here = vmx_host_xcr0() ? vmx_host_xcr0() : XSTATE_X87_SSE;
    uint64_t xstate_bv;
    memcpy(&xstate_bv, image->vcpu.xsave.image + XSAVE_XSTATE_BV, sizeof xstate_bv);
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
    if (image->clock.tsc_hz != vm->guest_tsc_hz) {
        snprintf(why, why_size, "section clock, field tsc_hz: %llu, but the policy said %llu",
                 (unsigned long long)image->clock.tsc_hz, (unsigned long long)vm->guest_tsc_hz);
        return ERR_INVALID;
    }
    return OK;
}

enum err vm_state_load(struct vm *vm, const void *buffer, size_t size, char *why, size_t why_size)
{
    if (vm->state == VM_RUNNING) {
        snprintf(why, why_size, "the machine is running");
        return ERR_STATE;
    }
    struct vm_image *image = malloc(sizeof *image);
    if (!image) {
        snprintf(why, why_size, "out of memory for the decoded state");
        return ERR_NO_MEMORY;
    }
    enum err e = vm_image_decode(image, buffer, size, why, why_size);
    if (e == OK)
        e = check_against_host(vm, image, why, why_size);
    if (e == OK)
        cpu_call(vm->cpu, apply_image, &(struct image_transfer){ vm, image });
    free(image);
    return e;
}

uint64_t vm_guest_tsc_at_pause(const struct vm *vm)
{
    return vm->pause_guest_tsc;
}

struct clock_setting {
    struct vm *vm;
    uint64_t guest_tsc, host_tsc;
};

static void set_clock(void *arg)
{
    const struct clock_setting *s = arg;
    clock_set(&s->vm->clock, MAX(s->guest_tsc, s->vm->pause_guest_tsc), s->host_tsc);
    vm_clock_moved(s->vm);
}

void vm_set_guest_tsc(struct vm *vm, uint64_t guest_tsc, uint64_t host_tsc)
{
    struct clock_setting setting = { vm, guest_tsc, host_tsc };
    cpu_call(vm->cpu, set_clock, &setting);
}
