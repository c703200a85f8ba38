/* help, log, shutdown, and the lab's selftest: what concerns the pod as a whole. */
#include <string.h>
#include "kernel/log.h"
#include "kernel/power.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/control/control.h"
#include "net/control/handlers.h"
#include "vmx/vm.h"

#define SYNOPSIS_MAX 512
#define LOG_CHUNK 2048
#define LOG_CHUNKS_MAX 64           /* a pod that logs faster than the client reads would otherwise keep it for ever */

void handle_help(struct session *session, const struct command *command)
{
    char synopsis[SYNOPSIS_MAX];
    struct json *j = &session->json;
    const char *help;

    (void)command;
    session_begin_reply(session);
    json_array_begin(j, "commands");
    for (int verb = 0; command_describe((enum command_verb)verb, synopsis, sizeof(synopsis), &help); verb++) {
        json_object_begin(j, NULL);
        json_string(j, "usage", synopsis);
        json_string(j, "help", help);
        json_object_end(j);
    }
    json_array_end(j);
    session_send(session);
}

void handle_log(struct session *session, const struct command *command)
{
    uint64_t position = command->arguments[0].number;
    char text[LOG_CHUNK];
    size_t count;

    for (int i = 0; i < LOG_CHUNKS_MAX && !session->closed; i++) {
        count = log_read(&position, text, sizeof(text));
        if (!count)
            break;
        session_begin_event(session, "log");
        json_bytes(&session->json, "text", text, count);
        json_u64(&session->json, "position", position);
        session_send(session);
    }
    session_begin_reply(session);
    json_u64(&session->json, "position", position);
    session_send(session);
}

/* ---- shutdown ----------------------------------------------------------------------------------------------------- */

/* A guest whose only whole copy may be here, or that is on its way in or out; NULL: none. */
static const struct vm *find_unsettled(void)
{
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        const struct vm *vm = vm_by_index(i);

        if (vm && (vm->teleporting || vm->state == VM_IN_DOUBT || vm->state == VM_INCOMING))
            return vm;
    }
    return NULL;
}

static void stop_guests(void)
{
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        struct vm *vm = vm_by_index(i);

        if (vm && !vm->teleporting)
            vm_destroy(vm);
    }
}

void handle_shutdown(struct session *session, const struct command *command)
{
    const struct vm *unsettled = find_unsettled();

    if (unsettled && !command_flag(command, OPTION_FORCE)) {
        session_error(session, ERR_BUSY, "%s is %s: wait, or shutdown force", unsettled->name,
                      unsettled->state == VM_IN_DOUBT ? "in doubt" : "being teleported");
        return;
    }
    stop_guests();
    session_reply_ok(session);
    session_drain(session);
    log_info("control", "all guests are stopped; goodbye");
    power_off();
    log_error("control", "power-off had no effect; the machine can be switched off now");
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

#define SELFTESTS_MAX 16
#define DEFAULT_SELFTEST "kernel"

static struct selftest {
    const char *name;
    control_selftest *fn;
} selftests[SELFTESTS_MAX];

enum err control_register_selftest(const char *name, control_selftest *fn)
{
    for (uint32_t i = 0; i < SELFTESTS_MAX; i++) {
        if (selftests[i].name)
            continue;
        selftests[i] = (struct selftest){ name, fn };
        return OK;
    }
    return ERR_NO_MEMORY;
}

void handle_selftest(struct session *session, const struct command *command)
{
    const char *wanted = command->argument_count ? command->arguments[0].text : DEFAULT_SELFTEST;
    uint32_t i = 0;
    uint64_t value = 0;

    while (i < SELFTESTS_MAX && !(selftests[i].name && !strcmp(selftests[i].name, wanted)))
        i++;
    if (i == SELFTESTS_MAX) {
        session_error(session, ERR_NOT_FOUND, "no self-test %.40s", wanted);
        return;
    }
    if (!selftests[i].fn(&value)) {
        session_error(session, ERR_ABORTED, "a self-test of %s failed: the log says which", wanted);
        return;
    }
    session_begin_reply(session);
    if (value)
        json_u64(&session->json, "value", value);
    session_send(session);
}
