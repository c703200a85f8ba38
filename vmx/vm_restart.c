/* A halted machine boots anew: see vm_restart in vm.h. What outlives it is its place, its name, its disk and its console. */
#include <stdio.h>
#include "kernel/thread.h"
#include "vmx/load.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define FRAMES_BETWEEN_YIELDS 256

static enum err zero_ram(struct vm *vm)
{
    enum err e = OK;
    for (uint64_t i = 0; e == OK && i < guest_memory_ram_frames(&vm->memory); i++) {
        e = guest_memory_fill_frame(&vm->memory, (struct gfn){ i }, NULL);
        if (i % FRAMES_BETWEEN_YIELDS == 0)
            thread_yield();
    }
    return e;
}

/* Everything but name, disk and console is made anew. VM_INCOMING keeps the operator's other commands away meanwhile. */
enum err vm_restart(struct vm *vm, const struct vm_files *files, char *why, size_t why_size)
{
    struct image_request request = vm_image_request(&vm->config, files);
    const struct vm_file no_disk = { 0 };
    struct image_plan plan;
    char problem[VM_REASON_MAX] = "";
    if (vm->state != VM_HALTED || vm->teleporting) {
        snprintf(why, why_size, "it is %s", vm->teleporting ? "being teleported" : vm_state_name(vm->state));
        return ERR_STATE;
    }
    enum err e = image_plan_make(&plan, &request, problem, sizeof problem);
    if (e != OK) {
        snprintf(why, why_size, "image %s: %s", vm->config.image, problem);
        return e;
    }
    vm->state = VM_INCOMING;
    vm_end_vcpus(vm);
    vm_virtio_end(vm);
    vm->virtio = (struct vm_virtio){ 0 };
    vm->platform_deadline = UINT64_MAX;
    vm->pause_guest_tsc = 0; /* its TSC, and with it its wall clock, begins anew */
    vm->pic_output = false;
    e = zero_ram(vm);
    e = e ? e : vm_furnish(vm, &plan);
    e = e ? e : vm_load(vm, &plan, &request, &no_disk);
    if (e != OK)
        snprintf(why, why_size, "%s, while it was made anew; its disk is kept", err_name(e));
    else
        e = vm_virtio_start(vm, false, why, why_size);
    vm_release(vm); /* vm_end_vcpus holds it */
    if (e != OK) {
        vm->state = VM_HALTED;
        return e;
    }
    vm->reason[0] = '\0';
    vm->state = VM_PAUSED;
    vm_notify_watchers(vm);
    return OK;
}
