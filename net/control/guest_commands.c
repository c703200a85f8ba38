/*
 * list, start, stop, pause, resume. What a teleport owns is left alone, and a guest in doubt is only touched with `force`:
 * then the operator, and not this pod, says where it runs.
 */
#include <string.h>
#include <stdio.h>
#include "kernel/cpu.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/control/handlers.h"
#include "net/teleport/teleport.h"
#include "vmx/stats.h"
#include "vmx/vm.h"

#define DEFAULT_MEMORY (32 * MIB)

struct vm *control_find_guest(struct session *session, const struct command *command)
{
    const char *name = command->arguments[0].text;
    struct vm *vm = vm_find(name);

    if (!vm)
        session_error(session, ERR_NOT_FOUND, "no guest %s on this pod", name);
    return vm;
}

/* ---- list --------------------------------------------------------------------------------------------------------- */

static uint64_t total_exits(const struct vm *vm)
{
    struct vmx_exit_count counts[VMX_EXIT_REASONS];
    uint32_t count = vm_exit_counts(vm, counts, VMX_EXIT_REASONS);
    uint64_t total = 0;

    for (uint32_t i = 0; i < count; i++)
        total += counts[i].count;
    return total;
}

static void list_guest(struct json *j, const struct vm *vm)
{
    json_object_begin(j, NULL);
    json_string(j, "name", vm->name);
    json_string(j, "state", vm_state_name(vm->state));
    json_string(j, "reason", vm->reason);
    json_bool(j, "teleporting", vm->teleporting);
    json_u64(j, "memory_mib", vm->config.memory_bytes / MIB);
    if (vm->cpu)
        json_u64(j, "cpu", vm->cpu->index);
    json_u64(j, "vcpus", vm->vcpu_count);
    json_u64(j, "exits", total_exits(vm));
    json_u64(j, "guest_us", time_to_us(vm_guest_ticks(vm)));
    json_u64(j, "console_bytes", vm->console_position);
    json_object_end(j);
}

void handle_list(struct session *session, const struct command *command)
{
    const struct pod_config *config = &control_boot_info()->config;
    struct json *j = &session->json;

    (void)command;
    session_begin_reply(session);
    json_string(j, "pod", config->name);
    json_array_begin(j, "guests");
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        const struct vm *vm = vm_by_index(i);

        if (vm)
            list_guest(j, vm);
    }
    json_array_end(j);
    json_array_begin(j, "recipes");
    for (uint32_t i = 0; i < config->guest_count; i++)
        json_string(j, NULL, config->guests[i].name);
    json_array_end(j);
    session_send(session);
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

static const struct guest_config *find_recipe(const char *name)
{
    const struct pod_config *config = &control_boot_info()->config;

    for (uint32_t i = 0; i < config->guest_count; i++)
        if (!strcmp(config->guests[i].name, name))
            return &config->guests[i];
    return NULL;
}

static const struct boot_file *find_file(const char *name)
{
    const struct boot_info *info = control_boot_info();

    for (uint32_t i = 0; i < info->file_count; i++)
        if (!strcmp(info->files[i].name, name))
            return &info->files[i];
    return NULL;
}

/* The recipe, if there is one, with the command's options over it. Lengths and ranges were checked by the parser. */
static void compose(struct guest_config *out, const struct guest_config *recipe, const struct command *command)
{
    const struct command_value *image = &command->options[OPTION_IMAGE];
    const struct command_value *cmdline = &command->options[OPTION_CMDLINE];

    *out = recipe ? *recipe : (struct guest_config){ .memory_bytes = DEFAULT_MEMORY, .vcpus = 1, .cpu = POD_CPU_ANY };
    snprintf(out->name, sizeof(out->name), "%s", command->arguments[0].text);
    if (image->text)
        snprintf(out->image, sizeof(out->image), "%s", image->text);
    if (cmdline->text)
        snprintf(out->cmdline, sizeof(out->cmdline), "%s", cmdline->text);
    out->memory_bytes = command_number(command, OPTION_MEMORY, out->memory_bytes);
    out->cpu = (uint32_t)command_number(command, OPTION_CPU, out->cpu);
    out->console = (uint32_t)command_number(command, OPTION_CONSOLE, out->console);
}

static void create_and_run(struct session *session, const struct command *command, const struct guest_config *config,
                           const struct boot_file *file)
{
    struct vm *vm;
    char why[VM_REASON_MAX] = "";
    enum err e = vm_create(&vm, config, hpa_to_virt((struct hpa){ file->base }), file->size, why, sizeof(why));

    if (e != OK) {
        session_error(session, e, "%s could not be made: %s", config->name, why);
        return;
    }
    if (!command_flag(command, OPTION_PAUSED))
        e = vm_resume(vm);
    if (e != OK) {
        vm_destroy(vm);
        session_error(session, e, "%s could not be started: %s", config->name, err_name(e));
        return;
    }
    session_begin_reply(session);
    json_string(&session->json, "guest", vm->name);
    json_string(&session->json, "state", vm_state_name(vm->state));
    session_send(session);
}

void handle_start(struct session *session, const struct command *command)
{
    const char *name = command->arguments[0].text;
    const struct guest_config *recipe = find_recipe(name);
    const struct boot_file *file;
    struct guest_config config;

    if (!vmx_available()) {
        session_error(session, ERR_UNSUPPORTED, "no guests on this pod: %s", vmx_unavailable_reason());
        return;
    }
    if (vm_find(name)) {
        session_error(session, ERR_EXISTS, "there is a guest %s already", name);
        return;
    }
    if (!recipe && !command->options[OPTION_IMAGE].text) {
        session_error(session, ERR_NOT_FOUND, "telepod.ini has no [guest %s], and no image=FILE was given", name);
        return;
    }
    compose(&config, recipe, command);
    file = find_file(config.image);
    if (!file) {
        session_error(session, ERR_NOT_FOUND, "%s: the loader has found no usable file %s on the boot volume", name, config.image);
        return;
    }
    if (config.cpu != POD_CPU_ANY && config.cpu >= cpu_count()) {
        session_error(session, ERR_RANGE, "%s: this pod has no CPU %u, only %u", name, config.cpu, cpu_count());
        return;
    }
    create_and_run(session, command, &config, file);
}

/* ---- stop, pause, resume ------------------------------------------------------------------------------------------ */

/* The guest is in doubt. `here`: what the command would mean if the operator takes the responsibility. */
static void decide_doubt(struct session *session, const struct command *command, struct vm *vm, bool here)
{
    enum err e;

    if (!command_flag(command, OPTION_FORCE)) {
        session_error(session, ERR_IN_DOUBT,
                      "%s is in doubt: it may run on the peer. Look there first; then resume %s force (it runs here) or "
                      "stop %s force (it runs there)",
                      vm->name, vm->name, vm->name);
        return;
    }
    e = teleport_force(vm, here);
    if (e == ERR_BUSY)
        session_error(session, e, "%s: the peer has answered, and COMMIT is on its way to it again: look again in a moment",
                      command->arguments[0].text);
    else if (e != OK)
        session_error(session, e, "%s: the doubt has just been decided", command->arguments[0].text);
    else
        session_reply_ok(session);
}

/* True, and replied, if the guest is not the operator's to command now. */
static bool is_taken(struct session *session, const struct vm *vm)
{
    bool taken = vm->teleporting || vm->state == VM_INCOMING || vm->state == VM_MOVED;

    if (taken)
        session_error(session, ERR_BUSY, "%s is being teleported", vm->name);
    return taken;
}

void handle_stop(struct session *session, const struct command *command)
{
    struct vm *vm = control_find_guest(session, command);
    enum err e;

    if (!vm)
        return;
    if (vm->state == VM_IN_DOUBT) {
        decide_doubt(session, command, vm, false);
        return;
    }
    if (is_taken(session, vm))
        return;
    e = vm_destroy(vm);
    if (e != OK)
        session_error(session, e, "%s could not be stopped: %s", command->arguments[0].text, err_name(e));
    else
        session_reply_ok(session);
}

/* The reply of pause and resume: the guest's state as it is now. */
static void reply_state(struct session *session, const struct vm *vm, enum err e, const char *verb)
{
    if (e != OK) {
        session_error(session, e, "%s cannot be %s: it is %s%s%s", vm->name, verb, vm_state_name(vm->state),
                      vm->reason[0] ? ": " : "", vm->reason);
        return;
    }
    session_begin_reply(session);
    json_string(&session->json, "guest", vm->name);
    json_string(&session->json, "state", vm_state_name(vm->state));
    session_send(session);
}

void handle_pause(struct session *session, const struct command *command)
{
    struct vm *vm = control_find_guest(session, command);

    if (!vm || is_taken(session, vm))
        return;
    reply_state(session, vm, vm->state == VM_RUNNING ? vm_pause(vm) : ERR_STATE, "paused");
}

void handle_resume(struct session *session, const struct command *command)
{
    struct vm *vm = control_find_guest(session, command);

    if (!vm)
        return;
    if (vm->state == VM_IN_DOUBT) {
        decide_doubt(session, command, vm, true);
        return;
    }
    if (is_taken(session, vm))
        return;
    reply_state(session, vm, vm->state == VM_PAUSED ? vm_resume(vm) : ERR_STATE, "resumed");
}
