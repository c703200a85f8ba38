/*
 * console NAME attach: a guest's serial line in both directions that can be followed from pod to pod without a byte lost or
 * doubled, because both sides count.
 *
 *   - Output goes out as events, each with the position behind it in all that the guest ever printed. The count goes on when
 *     the guest moves; a client that comes back with `position` gets what follows it.
 *   - The session's raw bytes are input. `taken` in an event says how many of them are in the guest's UART, and so in the
 *     guest's state: if it moves, they move. All others are still the client's, who types them again where the guest is.
 *   - When the guest has gone to a peer, the client first gets all that it had printed here, and then the last reply, which
 *     says where it is.
 *
 * A guest that ends stays attached: it may be started again. One that is stopped ends the session. The guest's struct vm is
 * never touched after a wait without finding it again by name and id.
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/control/console_watch.h"
#include "net/control/departure.h"
#include "net/control/handlers.h"
#include "vmx/vm.h"

#define CHUNK 2048                  /* bytes an event: escaped, it still fits into a line */
#define INPUT_ROOM 256
#define POLL_MS 5                   /* output is told by then, many bytes at a time, and input taken */

struct attached {
    struct session *session;
    struct console_watch watch;
    struct attachment attachment;
    char input[INPUT_ROOM];         /* typed by the client and not yet taken by the guest */
    size_t input_count;
    uint64_t taken;                 /* bytes of this session that the guest's UART took */
};

/* ---- output ------------------------------------------------------------------------------------------------------- */

static size_t read_output(struct attached *a, char *text, size_t size)
{
    struct vm *vm;

    if (a->attachment.departure)
        return departure_read(a->attachment.departure, &a->watch.position, text, size);
    vm = console_watched(&a->watch);
    return vm ? vm_console_read(vm, &a->watch.position, text, size) : 0;
}

/* No more than the ring can hold: a guest that prints faster than we send must not keep its input waiting. */
static void tell_output(struct attached *a)
{
    struct json *j = &a->session->json;
    char text[CHUNK];
    size_t count;

    for (size_t told = 0; told < VM_CONSOLE_RING && !a->session->closed; told += count) {
        count = read_output(a, text, sizeof(text));
        if (!count)
            return;
        session_begin_event(a->session, "console");
        json_string(j, "console", a->watch.name);
        json_bytes(j, "text", text, count);
        json_u64(j, "position", a->watch.position);
        session_send(a->session);
        thread_yield();
    }
}

/* ---- input -------------------------------------------------------------------------------------------------------- */

/* What the client has typed since; false: it has closed. */
static bool read_input(struct attached *a)
{
    size_t got = 0;
    enum err e;

    if (a->input_count == sizeof(a->input))
        return true;
    /* The deadline has come: it returns at once, with what is there. */
    e = session_read_raw(a->session, a->input + a->input_count, sizeof(a->input) - a->input_count, &got, time_now());
    if (e == ERR_TIMEOUT)
        return true;
    a->input_count += got;
    return e == OK && got > 0;
}

static void pass_input(struct attached *a)
{
    struct vm *vm = console_watched(&a->watch);
    size_t taken = vm && a->input_count ? vm_console_write(vm, a->input, a->input_count) : 0;

    if (!taken)
        return;
    a->input_count -= taken;
    memmove(a->input, a->input + taken, a->input_count);
    a->taken += taken;
    session_begin_event(a->session, "input");
    json_u64(&a->session->json, "taken", a->taken);
    session_send(a->session);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void say_attached(struct attached *a)
{
    session_begin_event(a->session, "attached");
    json_string(&a->session->json, "console", a->watch.name);
    json_string(&a->session->json, "pod", control_boot_info()->config.name);
    session_send(a->session);
}

static void say_end(struct attached *a)
{
    struct json *j = &a->session->json;

    session_begin_reply(a->session);
    json_u64(j, "position", a->watch.position);
    json_u64(j, "taken", a->taken);
    if (a->attachment.departure)
        departure_to_json(a->attachment.departure, j, "moved");
    session_send(a->session);
}

void console_attach(struct session *session, const char *name, struct vm *vm, uint64_t position)
{
    struct attached a = { .session = session, .watch = { name, vm->id, position } };

    if (attachment_begin(&a.attachment, vm->id) != OK) {
        session_error(session, ERR_BUSY, "%s: all places for attached consoles are taken", name);
        return;
    }
    say_attached(&a);
    while (!session->closed && !a.attachment.departure && console_watched(&a.watch) && read_input(&a)) {
        pass_input(&a);
        tell_output(&a);
        thread_sleep_until(time_after_ms(POLL_MS));
    }
    tell_output(&a);                        /* all of it: a guest that has gone prints no more here */
    say_end(&a);
    attachment_end(&a.attachment);
    session->closed = true;                 /* input that is still on its way is no command */
}
