/*
 * list, stop, halt, pause, resume. What a teleport owns is left alone, and a guest in doubt is only touched with `force`:
 * then the operator, and not this pod, says where it runs.
 */
#include <string.h>
#include <stdio.h>
#include "kernel/cpu.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/guest_config.h"
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/control/handlers.h"
#include "net/switch.h"
#include "net/teleport/teleport.h"
#include "vmx/stats.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

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

/* Where its vCPUs live: each CPU once, in the order of the vCPUs. */
static void list_cpus(struct json *j, const struct vm *vm)
{
    uint64_t told[(CPUS_MAX + 63) / 64] = { 0 };

    json_array_begin(j, "cpus");
    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        uint32_t cpu = vm->vcpus[i]->cpu->index;

        if (!(told[cpu / 64] & BIT(cpu % 64)))
            json_u64(j, NULL, cpu);
        told[cpu / 64] |= BIT(cpu % 64);
    }
    json_array_end(j);
}

/* What the guest was seen to use on the network. */
static void list_addresses(struct json *j, const struct vm *vm)
{
    uint32_t addresses[SWITCH_PORT_ADDRESSES_MAX], count = 0;
    char text[CONTROL_ADDRESS_MAX];
    struct switch_port *port;

    for (uint32_t i = 0; (port = switch_port_by_index(i)); i++)
        if (!strcmp(switch_port_name(port), vm->name))
            count = switch_port_addresses(port, addresses);
    json_array_begin(j, "addresses");
    for (uint32_t i = 0; i < count; i++)
        json_string(j, NULL, control_format_address(addresses[i], text));
    json_array_end(j);
}

static void list_machine(struct json *j, const struct vm *vm)
{
    char devices[GUEST_DEVICES_TEXT_MAX], mac[GUEST_MAC_TEXT_MAX];

    list_cpus(j, vm);
    json_u64(j, "disk_mib", vm->memory.disk_size / MIB);
    json_string(j, "devices", guest_devices_format(vm->config.devices, devices));
    json_string(j, "mac", vm->config.devices & GUEST_DEVICE_NET ? guest_mac_format(vm->config.mac, mac) : "");
    list_addresses(j, vm);
    json_string(j, "image", vm->config.image);
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
    list_machine(j, vm);
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

/* ---- stop, halt, pause, resume ------------------------------------------------------------------------------------ */

static void refuse_doubt(struct session *session, const struct vm *vm)
{
    session_error(session, ERR_IN_DOUBT,
                  "%s is in doubt: it may run on the peer. Look there first; then resume %s force (it runs here) or "
                  "stop %s force (it runs there)",
                  vm->name, vm->name, vm->name);
}

/* The guest is in doubt. `here`: what the command would mean if the operator takes the responsibility. */
static void decide_doubt(struct session *session, const struct command *command, struct vm *vm, bool here)
{
    enum err e;

    if (!command_flag(command, OPTION_FORCE)) {
        refuse_doubt(session, vm);
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
    /* Another session waits until its vCPUs are out of the guest, and will go on with the machine. */
    if (vm->holds) {
        session_error(session, ERR_BUSY, "%s is just being paused or halted", vm->name);
        return;
    }
    e = vm_destroy(vm);
    if (e != OK)
        session_error(session, e, "%s could not be stopped: %s", command->arguments[0].text, err_name(e));
    else
        session_reply_ok(session);
}

/* The reply of halt, pause and resume: the guest's state as it is now. */
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

void handle_halt(struct session *session, const struct command *command)
{
    struct vm *vm = control_find_guest(session, command);

    if (!vm)
        return;
    if (vm->state == VM_IN_DOUBT) {
        refuse_doubt(session, vm);
        return;
    }
    if (is_taken(session, vm))
        return;
    reply_state(session, vm, vm_halt(vm, "halted by the operator"), "halted");
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
