/*
 * Machines: the table, creation and end, and the state changes. Everything that must not happen while the guest
 * runs is done on vm->cpu (cpu_call), where its being executed means that no vCPU of the machine is in guest mode.
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
#include "vmx/loader/image.h"
#include "vmx/vcpu.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

/* A slot belongs to a name from reservation to the machine's end; others see the machine once it is whole. */
static struct slot {
    bool taken;
    char name[POD_NAME_MAX];
    struct vm *vm;
} slots[VMS_MAX];
static struct spinlock slots_lock = SPINLOCK_INIT;

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {
        [VM_INCOMING] = "incoming", [VM_PAUSED] = "paused", [VM_RUNNING] = "running",
        [VM_HALTED] = "halted", [VM_IN_DOUBT] = "in doubt", [VM_MOVED] = "moved",
    };
    return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

struct vm *vm_by_index(uint32_t index)
{
    return index < VMS_MAX ? slots[index].vm : NULL;
}

struct vm *vm_find(const char *name)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (slots[i].vm && strcmp(slots[i].vm->name, name) == 0)
            return slots[i].vm;
    return NULL;
}

static enum err reserve_slot(const char *name, uint32_t *out)
{
    enum err e = ERR_NO_MEMORY; /* no slot left */
    spinlock_acquire(&slots_lock);
    for (uint32_t i = VMS_MAX; i-- > 0;) {
        if (slots[i].taken && strcmp(slots[i].name, name) == 0) {
            e = ERR_EXISTS;
            break;
        }
        if (!slots[i].taken) {
            *out = i;
            e = OK;
        }
    }
    if (e == OK) {
        slots[*out].taken = true;
        snprintf(slots[*out].name, sizeof slots[*out].name, "%s", name);
    }
    spinlock_release(&slots_lock);
    return e;
}

static void release_slot(uint32_t slot)
{
    spinlock_acquire(&slots_lock);
    slots[slot] = (struct slot){ 0 };
    spinlock_release(&slots_lock);
}

/* The CPU with the fewest machines; of equals the last, because CPU 0 has the devices. */
static struct cpu *choose_cpu(uint32_t wish)
{
    uint32_t load[CPUS_MAX] = { 0 }, best = 0;
    if (wish != POD_CPU_ANY)
        return cpu_by_index(wish);
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (slots[i].vm)
            load[slots[i].vm->cpu->index]++;
    for (uint32_t i = 1; i < cpu_count(); i++)
        if (load[i] <= load[best])
            best = i;
    return cpu_by_index(best);
}

static enum err check_config(const struct guest_config *config, char *why, size_t why_size)
{
    if (!vmx_available()) {
        snprintf(why, why_size, "this pod runs no guests: %s", vmx_unavailable_reason());
        return ERR_UNSUPPORTED;
    }
    if (config->vcpus != 1) {
        snprintf(why, why_size, "it asks for %u vCPUs; this pod gives 1", (unsigned)config->vcpus);
        return ERR_UNSUPPORTED;
    }
    if (config->cpu != POD_CPU_ANY && !cpu_by_index(config->cpu)) {
        snprintf(why, why_size, "it asks for CPU %u; this pod has %u", (unsigned)config->cpu, cpu_count());
        return ERR_INVALID;
    }
    uint64_t missing = guest_memory_missing_mib(config->memory_bytes, 0);
    if (missing) {
        snprintf(why, why_size, "it asks for %llu MiB of memory; with its page tables, this pod lacks %llu MiB",
                 (unsigned long long)(config->memory_bytes / MIB), (unsigned long long)missing);
        return ERR_NO_MEMORY;
    }
    return OK;
}

struct vcpu_creation {
    struct vm *vm;
    const struct vcpu_state *state;
    enum err result;
};

/* On vm->cpu. */
static void create_vcpu(void *arg)
{
    struct vcpu_creation *c = arg;
    struct vm *vm = c->vm;
    c->result = vcpu_create(&vm->vcpus[0], vm, 0);
    if (c->result != OK)
        return;
    vm->vcpu_count = 1;
    vcpu_apply(vm->vcpus[0], c->state);
    vm_clock_start(vm);
}

static void destroy_vcpus(void *arg)
{
    struct vm *vm = arg;
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        vcpu_destroy(vm->vcpus[i]);
    vm->vcpu_count = 0;
}

/* Undoes whatever part of the creation has happened. */
static void free_vm(struct vm *vm)
{
    uint32_t slot = vm->slot;
    slots[slot].vm = NULL;
    vm_release_watchers(vm);
    vm_console_flush(vm);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        vcpu_join(vm->vcpus[i]);
    if (vm->vcpu_count > 0)
        cpu_call(vm->cpu, destroy_vcpus, vm);
    if (vm->memory.size > 0)
        guest_memory_destroy(&vm->memory);
    free(vm);
    release_slot(slot);
}

static enum err alloc_vm(struct vm **out, const struct guest_config *config, char *why, size_t why_size)
{
    static _Atomic uint64_t last_id;
    uint32_t slot;
    enum err e = reserve_slot(config->name, &slot);
    if (e != OK) {
        snprintf(why, why_size, "%s", e == ERR_EXISTS ? "the name is taken" : "there is no room in the table of guests");
        return e;
    }
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        release_slot(slot);
        snprintf(why, why_size, "there is no memory for its description");
        return ERR_NO_MEMORY;
    }
    vm->slot = slot;
    vm->config = *config;
    snprintf(vm->name, sizeof vm->name, "%s", config->name);
    vm->state = VM_INCOMING;
    vm->cpu = choose_cpu(config->cpu);
    vm->id = atomic_fetch_add(&last_id, 1) + 1;
    *out = vm;
    return OK;
}

static enum err build(struct vm **out, const struct guest_config *config, uint64_t entry, char *why, size_t why_size)
{
    struct vm *vm;
    enum err e = check_config(config, why, why_size);
    if (e == OK)
        e = alloc_vm(&vm, config, why, why_size);
    if (e != OK)
        return e;
    struct vcpu_state *state = malloc(sizeof *state);
    e = state ? guest_memory_create(&vm->memory, config->memory_bytes, 0) : ERR_NO_MEMORY;
    if (e != OK)
        vm->memory.size = 0;
    if (e == OK) {
        struct vcpu_creation creation = { vm, state, OK };
        vcpu_state_reset(state, entry);
        vm_policy_default(vm);
        platform_init(vm);
        cpu_call(vm->cpu, create_vcpu, &creation);
        e = creation.result;
    }
    free(state);
    if (e == OK)
        e = vcpu_start(vm->vcpus[0]);
    if (e != OK) {
        snprintf(why, why_size, "%s, while it was made", err_name(e));
        free_vm(vm);
        return e;
    }
    *out = vm;
    return OK;
}

static enum err load_image(struct vm *vm, const struct image_plan *plan, const uint8_t *image)
{
    uint64_t size = vm->memory.size;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < plan->segment_count; i++)
        e = guest_memory_write(&vm->memory, (struct gpa){ plan->segments[i].gpa },
                               image + plan->segments[i].file_offset, plan->segments[i].file_size);
    if (e == OK)
        e = guest_memory_write(&vm->memory, (struct gpa){ GUEST_CMDLINE_GPA }, vm->config.cmdline,
                               strnlen(vm->config.cmdline, GUEST_CMDLINE_MAX - 1) + 1);
    if (e == OK)
        e = guest_memory_write(&vm->memory, (struct gpa){ GUEST_MEMORY_SIZE_GPA }, &size, sizeof size);
    return e;
}

static enum err create_with_image(struct vm **out, const struct guest_config *config, const void *image,
                                  uint64_t image_size, char *why, size_t why_size)
{
    struct image_plan plan;
    char problem[VM_REASON_MAX] = "";
    enum err e = image_plan_make(&plan, image, image_size, config->memory_bytes, problem, sizeof problem);
    if (e != OK) {
        snprintf(why, why_size, "image %s: %s", config->image, problem);
        return e;
    }
    e = build(out, config, plan.entry, why, why_size);
    if (e != OK)
        return e;
    e = load_image(*out, &plan, image);
    if (e != OK) {
        snprintf(why, why_size, "image %s does not fit its memory", config->image);
        free_vm(*out);
    }
    return e;
}

enum err vm_create(struct vm **out, const struct guest_config *config, const void *image, uint64_t image_size, char *why,
                   size_t why_size)
{
    struct vm *vm;
    enum err e = create_with_image(&vm, config, image, image_size, why, why_size);
    if (e != OK) {
        log_error("vmx", "guest %s: %s", config->name, why);
        return e;
    }
    vm->state = VM_PAUSED;
    slots[vm->slot].vm = vm;
    *out = vm;
    return OK;
}

enum err vm_create_incoming(struct vm **out, const struct guest_config *config)
{
    struct vm *vm;
    char why[VM_REASON_MAX] = "";
    enum err e = build(&vm, config, 0, why, sizeof why);
    if (e != OK) {
        log_error("vmx", "incoming guest %s: %s", config->name, why);
        return e;
    }
    slots[vm->slot].vm = vm;
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
