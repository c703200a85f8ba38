/* The threads that read command lines, and the table that finds a command's handler. See control.h for the guarantees. */
#include "net/control/control.h"

#include <stdio.h>
#include <string.h>
#include "kernel/console.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/control/departure.h"
#include "net/control/handlers.h"
#include "net/control/image_store.h"
#include "net/net.h"

#define READ_CHUNK 512
#define REFUSAL_MS 1000
#define LISTEN_WAIT_MS 3600000UL    /* one turn of waiting for an address; then again */

static const struct boot_info *boot;
static uint32_t session_count;      /* TCP sessions that live */

const struct boot_info *control_boot_info(void)
{
    return boot;
}

/* ---- a line ------------------------------------------------------------------------------------------------------- */

static control_handler *const handlers[] = {
    [COMMAND_HELP] = handle_help,         [COMMAND_LIST] = handle_list,         [COMMAND_START] = handle_start,
    [COMMAND_STOP] = handle_stop,         [COMMAND_HALT] = handle_halt,         [COMMAND_PAUSE] = handle_pause,
    [COMMAND_RESUME] = handle_resume,     [COMMAND_CONSOLE] = handle_console,   [COMMAND_TELEPORT] = handle_teleport,
    [COMMAND_STATS] = handle_stats,       [COMMAND_IMAGES] = handle_images,     [COMMAND_UPLOAD] = handle_upload,
    [COMMAND_REMOVE] = handle_remove,     [COMMAND_LOG] = handle_log,           [COMMAND_SHUTDOWN] = handle_shutdown,
    [COMMAND_SELFTEST] = handle_selftest,
};
_Static_assert(ARRAY_SIZE(handlers) == COMMAND_VERBS, "each command has a handler");

static void run_line(struct session *session, const char *line, size_t size)
{
    struct command *command = &session->command;
    enum err e = command_parse(command, line, size);

    if (e != OK)
        session_error(session, e, "%s", command->error);
    else
        handlers[command->verb](session, command);
}

/* The terminal's echo of what the pod itself has said: answering it would never end. */
static bool is_echo(const struct session *session, const char *line)
{
    return session->kind == SESSION_SERIAL && (line[0] == '[' || line[0] == '{');
}

static void take_bytes(struct session *session, const char *bytes, size_t size)
{
    session->rest = bytes;
    session->rest_size = size;
    while (session->rest_size && !session->closed) {
        size_t taken;
        enum line_event event = line_feed(&session->lines, session->rest, session->rest_size, &taken);

        session->rest += taken;
        session->rest_size -= taken;
        if (event == LINE_PENDING || is_echo(session, session->lines.text))
            continue;
        if (event == LINE_TOO_LONG)
            session_error(session, ERR_RANGE, "the line is longer than %d bytes", COMMAND_LINE_MAX);
        else
            run_line(session, session->lines.text, session->lines.length);
        thread_yield();             /* many short commands in one packet must not hold the CPU */
    }
}

/* ---- COM1 --------------------------------------------------------------------------------------------------------- */

static void serve_serial(void *arg)
{
    struct session *session = arg;
    char bytes[READ_CHUNK];

    console_set_reader(thread_current());
    for (;;) {
        size_t count = console_read(bytes, sizeof(bytes));

        if (count)
            take_bytes(session, bytes, count);
        else
            thread_block();
    }
}

/* ---- TCP ---------------------------------------------------------------------------------------------------------- */

static void serve_stream(void *arg)
{
    struct session *session = arg;
    char bytes[READ_CHUNK];

    while (!session->closed) {
        size_t count;
        enum err e = stream_read_some(session->stream, bytes, sizeof(bytes), &count, UINT64_MAX);

        if (e != OK || !count)
            break;
        take_bytes(session, bytes, count);
    }
    session_destroy(session);
    session_count--;
}

static void refuse(struct stream *stream, const char *why)
{
    char line[160];
    int size = snprintf(line, sizeof(line), "{\"ok\":false,\"code\":\"%s\",\"error\":\"%s\"}\n", err_name(ERR_BUSY), why);

    stream_write(stream, line, (size_t)size, true, time_after_ms(REFUSAL_MS));
    stream_close(stream);
}

static void start_session(struct stream *stream)
{
    struct session *session;

    if (session_count == CONTROL_SESSIONS_MAX) {
        refuse(stream, "all sessions of this pod are taken");
        return;
    }
    if (session_create(&session, SESSION_TCP, stream) != OK) {
        refuse(stream, "no memory for a session");
        return;
    }
    session_count++;
    if (thread_create(NULL, "session", NULL, serve_stream, session) != OK) {
        session->stream = NULL;
        session_destroy(session);
        session_count--;
        refuse(stream, "no memory for a session");
    }
}

static void accept_sessions(void *arg)
{
    const uint16_t port = boot->config.control_port;
    struct stream_listener *listener;
    enum err e;

    (void)arg;
    do {
        e = net_wait_up(time_after_ms(LISTEN_WAIT_MS));
    } while (e == ERR_TIMEOUT);
    e = e ? e : stream_listen(&listener, port);
    if (e != OK) {
        log_error("control", "no commands over TCP: %s", err_name(e));
        return;
    }
    log_info("control", "listening on TCP port %u", port);
    for (;;) {
        struct stream *stream;

        e = stream_accept(listener, &stream, UINT64_MAX);
        if (e != OK)
            break;
        start_session(stream);
    }
    log_error("control", "no more commands over TCP: %s", err_name(e));
    stream_listener_close(listener);
}

/* ---- boot --------------------------------------------------------------------------------------------------------- */

static void run_boot_command(struct session *session, const char *line)
{
    log_info("control", "telepod.ini: %s", line);
    run_line(session, line, strlen(line));
    if (session->ok)
        log_info("control", "telepod.ini: %s: done", line);
    else
        log_error("control", "telepod.ini: %s: failed", line);
}

static void run_boot_commands(void *arg)
{
    const struct pod_config *config = &boot->config;
    struct session *session = arg;
    char line[sizeof("start ") + POD_NAME_MAX];

    for (uint32_t i = 0; i < config->guest_count; i++) {
        if (!config->guests[i].autostart)
            continue;
        snprintf(line, sizeof(line), "start %s", config->guests[i].name);
        run_boot_command(session, line);
    }
    for (uint32_t i = 0; i < config->command_count; i++)
        run_boot_command(session, config->commands[i]);
    session_destroy(session);
}

static enum err start_reader(enum session_kind kind, const char *name, void (*fn)(void *))
{
    struct session *session;
    enum err e = session_create(&session, kind, NULL);

    if (e != OK)
        return e;
    e = thread_create(NULL, name, NULL, fn, session);
    if (e != OK)
        session_destroy(session);
    return e;
}

enum err control_init(const struct boot_info *info)
{
    static const struct {
        enum session_kind kind;
        const char *name, *what;
        void (*fn)(void *);
    } readers[] = {
        { SESSION_SERIAL, "control-com1", "commands on COM1", serve_serial },
        { SESSION_BOOT, "control-boot", "the commands of telepod.ini", run_boot_commands },
    };
    enum err first = OK, e;

    boot = info;
    image_store_init(info);
    departure_init();
    for (uint32_t i = 0; i < ARRAY_SIZE(readers); i++) {
        e = start_reader(readers[i].kind, readers[i].name, readers[i].fn);
        if (e != OK)
            log_error("control", "no %s: %s", readers[i].what, err_name(e));
        first = first ? first : e;
    }
    e = thread_create(NULL, "control-accept", NULL, accept_sessions, NULL);
    if (e != OK)
        log_error("control", "no commands over TCP: %s", err_name(e));
    return first ? first : e;
}
