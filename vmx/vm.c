/*
 * Machines: creation and end. Each vCPU is made and taken apart on the CPU where it lives.
 */
#include "vmx/vm.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "vmx/apicv.h"
#include "vmx/load.h"
#include "vmx/vcpu.h"
#include "vmx/vm_internal.h"
#include "vmx/vm_table.h"
#include "vmx/vmx.h"

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {
        [VM_INCOMING] = "incoming", [VM_PAUSED] = "paused", [VM_RUNNING] = "running",
        [VM_HALTED] = "halted", [VM_IN_DOUBT] = "in doubt", [VM_MOVED] = "moved",
    };
    return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void count_vcpus(const struct vm *vm, uint32_t load[CPUS_MAX])
{
    for (uint32_t i = 0; vm && i < vm->vcpu_count; i++)
        load[vm->vcpus[i]->cpu->index]++;
}

/* The CPU with the fewest vCPUs; of equals the last, because CPU 0 has the devices. */
static uint32_t least_loaded(const uint32_t load[CPUS_MAX])
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < cpu_count(); i++)
        if (load[i] <= load[best])
            best = i;
    return best;
}

/*
 * Where each vCPU shall live: from the CPU that the configuration names on, in turn; else where there is least to do,
 * its own earlier vCPUs counted.
 */
static void choose_cpus(const struct guest_config *config, uint32_t out[VCPUS_MAX])
{
    uint32_t load[CPUS_MAX] = { 0 };
    for (uint32_t i = 0; i < VMS_MAX; i++)
        count_vcpus(vm_by_index(i), load);
    for (uint32_t i = 0; i < config->vcpus; i++) {
        out[i] = config->cpu == POD_CPU_ANY ? least_loaded(load) : (config->cpu + i) % cpu_count();
        load[out[i]]++;
    }
}

static void say_what_is_missing(const struct guest_config *config, char *why, size_t why_size)
{
    char disk[48] = "", lack[80] = "others took it while it was made"; /* and have given it back meanwhile */
    uint64_t missing = guest_memory_missing_mib(config->memory_bytes, config->disk_bytes);
    if (config->disk_bytes)
        snprintf(disk, sizeof disk, " and a disk of %llu MiB", (unsigned long long)(config->disk_bytes / MIB));
    if (missing)
        snprintf(lack, sizeof lack, "with its page tables, this pod lacks %llu MiB", (unsigned long long)missing);
    snprintf(why, why_size, "it asks for %llu MiB of memory%s; %s", (unsigned long long)(config->memory_bytes / MIB), disk, lack);
}

static enum err check_config(const struct guest_config *config, char *why, size_t why_size)
{
    if (!vmx_available()) {
        snprintf(why, why_size, "this pod runs no guests: %s", vmx_unavailable_reason());
        return ERR_UNSUPPORTED;
    }
    if (config->vcpus == 0 || config->vcpus > VCPUS_MAX) {
        snprintf(why, why_size, "it asks for %u vCPUs; a guest has 1 to %u", (unsigned)config->vcpus, VCPUS_MAX);
        return ERR_UNSUPPORTED;
    }
    if (config->cpu != POD_CPU_ANY && !cpu_by_index(config->cpu)) {
        snprintf(why, why_size, "it asks for CPU %u; this pod has %u", (unsigned)config->cpu, cpu_count());
        return ERR_INVALID;
    }
    if (guest_memory_missing_mib(config->memory_bytes, config->disk_bytes)) {
        say_what_is_missing(config, why, why_size);
        return ERR_NO_MEMORY;
    }
    return OK;
}

struct vcpu_creation {
    struct vm *vm;
    const struct vcpu_state *state;
    enum apic_mode apic_mode;
    enum err result;
};

/* On the CPU where it will live. */
static void create_vcpu(void *arg)
{
    struct vcpu_creation *c = arg;
    uint32_t index = c->vm->vcpu_count;
    c->result = vcpu_create(&c->vm->vcpus[index], c->vm, index, c->apic_mode);
    if (c->result != OK)
        return;
    c->vm->vcpu_count++;
    vcpu_apply(c->vm->vcpus[index], c->state);
}

/* The first begins as the image wants it (no image: as after reset), the others wait for a start-up IPI. */
static enum err create_vcpus(struct vm *vm, const struct image_plan *plan)
{
    uint32_t cpus[VCPUS_MAX];
    struct vcpu_state *state = malloc(sizeof *state);
    enum apic_mode apic_mode = plan && plan->start != START_REAL ? APIC_XAPIC : APIC_X2APIC; /* guests/ABI.md */
    struct vcpu_creation creation = { vm, state, apic_mode, state ? OK : ERR_NO_MEMORY };
    choose_cpus(&vm->config, cpus);
    vm->cpu = cpu_by_index(cpus[0]);
    for (uint32_t i = 0; creation.result == OK && i < vm->config.vcpus; i++) {
        vcpu_state_reset(state, 0);
        if (i == 0 && plan)
            image_start_state(plan, state);
        state->events.activity = i == 0 ? ACTIVITY_ACTIVE : ACTIVITY_WAIT_FOR_SIPI;
        cpu_call(cpu_by_index(cpus[i]), create_vcpu, &creation);
    }
    free(state);
    return creation.result;
}

static enum err start_vcpus(struct vm *vm)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < vm->vcpu_count; i++)
        e = vcpu_start(vm->vcpus[i]);
    return e;
}

static void destroy_vcpu(void *vcpu)
{
    vcpu_destroy(vcpu);
}

/* Nobody may post to a vCPU whose thread has ended: so all are out of the guest, and devices keep away, before any ends. */
void vm_end_vcpus(struct vm *vm)
{
    vm_hold(vm);
    spinlock_acquire(&vm->device_lock);
    if (vm->state == VM_RUNNING)
        vm->state = VM_PAUSED;
    spinlock_release(&vm->device_lock);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        vcpu_join(vm->vcpus[i]);
    /* cpu_call() waits for another CPU: whoever looks at a halted machine meanwhile, to list it say, finds none of them. */
    uint32_t count = vm->vcpu_count;
    vm->vcpu_count = 0;
    for (uint32_t i = 0; i < count; i++)
        cpu_call(vm->vcpus[i]->cpu, destroy_vcpu, vm->vcpus[i]);
}

/* Undoes whatever part of the creation has happened. */
static void free_vm(struct vm *vm)
{
    uint32_t slot = vm->slot;
    vm_table_hide(slot);
    vm_release_watchers(vm);
    vm_end_vcpus(vm);
    vm_console_flush(vm);
    vm_virtio_end(vm);
    apicv_destroy(vm);
    if (vm->memory.size > 0)
        guest_memory_destroy(&vm->memory);
    free(vm);
    vm_table_release(slot);
}

static enum err alloc_vm(struct vm **out, const struct guest_config *config, char *why, size_t why_size)
{
    static _Atomic uint64_t last_id;
    uint32_t slot;
    enum err e = vm_table_reserve(config->name, &slot);
    if (e != OK) {
        snprintf(why, why_size, "%s", e == ERR_EXISTS ? "the name is taken" : "there is no room in the table of guests");
        return e;
    }
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        vm_table_release(slot);
        snprintf(why, why_size, "there is no memory for its description");
        return ERR_NO_MEMORY;
    }
    vm->slot = slot;
    vm->config = *config;
    snprintf(vm->name, sizeof vm->name, "%s", config->name);
    vm->state = VM_INCOMING;
    vm->platform_deadline = UINT64_MAX;
    vm->id = atomic_fetch_add(&last_id, 1) + 1;
    *out = vm;
    return OK;
}

enum err vm_furnish(struct vm *vm, const struct image_plan *plan)
{
    vm_policy_default(vm);
    platform_init(vm);
    vm_virtio_init(vm);
    enum err e = create_vcpus(vm, plan);
    if (e != OK)
        return e;
    vm_clock_start(vm);
    return start_vcpus(vm);
}

static enum err make_parts(struct vm *vm, const struct image_plan *plan, char *why, size_t why_size)
{
    enum err e = guest_memory_create(&vm->memory, vm->config.memory_bytes, vm->config.disk_bytes);
    if (e == ERR_NO_MEMORY) {   /* another guest came at the same time: making it takes a while */
        say_what_is_missing(&vm->config, why, why_size);
        return e;
    }
    e = e ? e : apicv_create(vm);
    e = e ? e : vm_furnish(vm, plan);
    if (e == OK)
        return vm_virtio_start(vm, plan == NULL, why, why_size);
    snprintf(why, why_size, "%s, while it was made", err_name(e));
    return e;
}

static enum err build(struct vm **out, const struct guest_config *config, const struct image_plan *plan, char *why,
                      size_t why_size)
{
    struct vm *vm;
    enum err e = check_config(config, why, why_size);
    if (e == OK)
        e = alloc_vm(&vm, config, why, why_size);
    if (e != OK)
        return e;
    e = make_parts(vm, plan, why, why_size);
    if (e != OK) {
        free_vm(vm);
        return e;
    }
    *out = vm;
    return OK;
}

static enum err create_with_image(struct vm **out, const struct guest_config *config, const struct vm_files *files,
                                  char *why, size_t why_size)
{
    struct image_request request = vm_image_request(config, files);
    struct image_plan plan;
    char problem[VM_REASON_MAX] = "";
    enum err e = image_plan_make(&plan, &request, problem, sizeof problem);
    if (e != OK) {
        snprintf(why, why_size, "image %s: %s", config->image, problem);
        return e;
    }
    e = build(out, config, &plan, why, why_size);
    if (e != OK)
        return e;
    e = vm_load(*out, &plan, &request, &files->disk);
    if (e != OK) {
        snprintf(why, why_size, "image %s does not fit its memory", config->image);
        free_vm(*out);
    }
    return e;
}

enum err vm_create(struct vm **out, const struct guest_config *config, const struct vm_files *files, char *why,
                   size_t why_size)
{
    struct vm *vm;
    enum err e = create_with_image(&vm, config, files, why, why_size);
    if (e != OK) {
        log_error("vmx", "guest %s: %s", config->name, why);
        return e;
    }
    vm->state = VM_PAUSED;
    vm_table_show(vm);
    *out = vm;
    return OK;
}

enum err vm_create_incoming(struct vm **out, const struct guest_config *config, char *why, size_t why_size)
{
    struct vm *vm;
    enum err e = build(&vm, config, NULL, why, why_size);
    if (e != OK) {
        log_error("vmx", "incoming guest %s: %s", config->name, why);
        return e;
    }
    vm_table_show(vm);
    *out = vm;
    return OK;
}

enum err vm_destroy(struct vm *vm)
{
    if (vm->teleporting && vm->state != VM_MOVED && vm->state != VM_INCOMING)
        return ERR_BUSY;
    free_vm(vm);
    return OK;
}
