/*
 * console: a guest's serial line, as text in events, or raw over TCP. A guest that is stopped or moves away ends it; its
 * struct vm is never touched after a wait without finding it again by name and id.
 */
#include <string.h>
#include "kernel/thread.h"
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "net/control/console_watch.h"
#include "net/control/departure.h"
#include "net/control/handlers.h"
#include "vmx/vm.h"

#define CHUNK 2048                  /* bytes an event: escaped, it still fits into a line */
#define POLL_MS 10                  /* how late a byte from the client may be */
#define INPUT_MS 2000               /* a guest that does not read its UART for so long gets no more */

/* The guest, if it is still the same one. */
struct vm *console_watched(const struct console_watch *watch)
{
    struct vm *vm = vm_find(watch->name);

    return vm && vm->id == watch->id ? vm : NULL;
}

/* Sleeps until output, a wake-up or POLL_MS. Watching is an optimisation: without a slot for it, the poll remains. */
static void console_wait(const struct console_watch *watch)
{
    struct vm *vm = console_watched(watch);
    bool is_watching = vm && vm_watch(vm, thread_current()) == OK;

    thread_block_until(time_after_ms(POLL_MS));
    vm = console_watched(watch);
    if (is_watching && vm)
        vm_unwatch(vm, thread_current());
}

/* ---- as events ---------------------------------------------------------------------------------------------------- */

/* No more than what the ring can hold: a guest that prints faster than we send must not keep us here. */
static void tell_output(struct session *session, struct console_watch *watch)
{
    char text[CHUNK];
    struct vm *vm;
    size_t count;

    for (size_t told = 0; told < VM_CONSOLE_RING && !session->closed && (vm = console_watched(watch)); told += count) {
        count = vm_console_read(vm, &watch->position, text, sizeof(text));
        if (!count)
            return;
        session_begin_event(session, "console");
        json_string(&session->json, "console", watch->name);
        json_bytes(&session->json, "text", text, count);
        json_u64(&session->json, "position", watch->position);
        session_send(session);
        thread_yield();
    }
}

/* Bytes that the guest's UART took. */
static size_t type_input(const struct console_watch *watch, const char *text)
{
    uint64_t deadline = time_after_ms(INPUT_MS);
    size_t size = strlen(text), done = 0;
    struct vm *vm;

    while ((vm = console_watched(watch))) {
        done += vm_console_write(vm, text + done, size - done);
        if (done == size || time_now() >= deadline)
            break;
        thread_sleep_until(time_after_ms(POLL_MS));
    }
    return done;
}

static void talk(struct session *session, const struct command *command, struct console_watch *watch)
{
    const char *input = command->options[OPTION_INPUT].text;
    uint64_t until = time_after_ms(MS_PER_S * command_number(command, OPTION_FOLLOW, 0));
    size_t typed = input ? type_input(watch, input) : 0;

    tell_output(session, watch);
    while (time_now() < until && !session->closed && console_watched(watch)) {
        console_wait(watch);
        tell_output(session, watch);
    }
    if (input && typed < strlen(input)) {
        session_error(session, ERR_TIMEOUT, "%s took only %u of %u bytes of input", watch->name, (unsigned)typed,
                      (unsigned)strlen(input));
        return;
    }
    session_begin_reply(session);
    json_u64(&session->json, "position", watch->position);
    json_bool(&session->json, "gone", !console_watched(watch));
    session_send(session);
}

/* ---- raw ---------------------------------------------------------------------------------------------------------- */

/* What the client typed and the guest has not yet taken. */
struct pending {
    char bytes[256];
    size_t count;
};

/* False: the client has closed. */
static bool pass_input(struct session *session, struct vm *vm, struct pending *pending)
{
    size_t got = 0, taken;

    if (pending->count < sizeof(pending->bytes)) {
        /* The deadline has come: it returns at once, with what is there. */
        enum err e = session_read_raw(session, pending->bytes + pending->count,
                                      sizeof(pending->bytes) - pending->count, &got, time_now());

        if ((e != OK && e != ERR_TIMEOUT) || (e == OK && !got))
            return false;
        pending->count += got;
    }
    taken = pending->count ? vm_console_write(vm, pending->bytes, pending->count) : 0;
    pending->count -= taken;
    memmove(pending->bytes, pending->bytes + taken, pending->count);
    return true;
}

static void pass_output(struct session *session, struct console_watch *watch)
{
    char text[CHUNK];
    struct vm *vm;
    size_t count;

    for (size_t passed = 0; passed < VM_CONSOLE_RING && !session->closed && (vm = console_watched(watch)); passed += count) {
        count = vm_console_read(vm, &watch->position, text, sizeof(text));
        if (!count)
            return;
        session_write_raw(session, text, count);
        thread_yield();
    }
}

static void pipe_raw(struct session *session, struct console_watch *watch)
{
    struct pending pending = { .count = 0 };
    struct vm *vm;

    session_begin_reply(session);
    json_bool(&session->json, "raw", true);
    session_send(session);
    while (!session->closed && (vm = console_watched(watch)) && pass_input(session, vm, &pending)) {
        pass_output(session, watch);
        console_wait(watch);
    }
    session->closed = true;         /* there is no way back from bytes to lines */
}

/* The guest is not here. If it was, and went to a peer, the reply says where. */
static void say_where(struct session *session, const char *name)
{
    const struct departure *departure = departure_find(name);

    if (!departure) {
        session_error(session, ERR_NOT_FOUND, "no guest %s on this pod", name);
        return;
    }
    session_begin_error(session, ERR_NOT_FOUND, "%s is not on this pod any more: it went to %s", name, departure->pod);
    departure_to_json(departure, &session->json, "moved");
    session_send(session);
}

void handle_console(struct session *session, const struct command *command)
{
    const char *name = command->arguments[0].text;
    struct vm *vm = vm_find(name);
    struct console_watch watch;

    if (!vm || vm->state == VM_MOVED) {     /* it runs on the peer: what is left of it here has nothing more to say */
        say_where(session, name);
        return;
    }
    if (vm->state == VM_INCOMING) {
        session_error(session, ERR_BUSY, "%s does not run here yet: it is on its way, or starts again", name);
        return;
    }
    watch = (struct console_watch){ name, vm->id, command_number(command, OPTION_POSITION, 0) };
    if (!command_flag(command, OPTION_RAW) && !command_flag(command, OPTION_ATTACH))
        talk(session, command, &watch);
    else if (session->kind != SESSION_TCP)
        session_error(session, ERR_UNSUPPORTED, "a console to type on needs a TCP session of its own");
    else if (command_flag(command, OPTION_ATTACH))
        console_attach(session, name, vm, watch.position);
    else
        pipe_raw(session, &watch);
}
