/* Sessions: see session.h for what they guarantee. */
#include "net/control/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/console.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"

#define ERROR_TEXT_MAX 320
#define EVENT_BACKLOG_MAX 8192      /* bytes that the client has not acknowledged: it is behind */
#define EVENT_WRITE_MS 200

enum err session_create(struct session **out, enum session_kind kind, struct stream *stream)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        return ERR_NO_MEMORY;
    session->kind = kind;
    session->stream = stream;
    *out = session;
    return OK;
}

void session_destroy(struct session *session)
{
    stream_close(session->stream);
    free(session);
}

/* ---- bytes out ---------------------------------------------------------------------------------------------------- */

static void write_bounded(struct session *session, const void *bytes, size_t size, uint64_t ms)
{
    enum err e;

    if (session->closed)
        return;
    if (session->kind != SESSION_TCP) {
        console_write(bytes, size);
        return;
    }
    e = stream_write(session->stream, bytes, size, true, time_after_ms(ms));
    if (e == OK)
        return;
    /* Half a line may have gone out: nothing that follows would make sense to the client. */
    session->closed = true;
    if (e == ERR_TIMEOUT)
        log_info("control", "a client does not read its replies: its session is closed");
}

void session_write_raw(struct session *session, const void *bytes, size_t size)
{
    if (session->kind == SESSION_TCP)
        write_bounded(session, bytes, size, SESSION_WRITE_MS);
}

enum err session_read_raw(struct session *session, void *buffer, size_t size, size_t *got, uint64_t deadline)
{
    if (!session->rest_size)
        return stream_read_some(session->stream, buffer, size, got, deadline);
    *got = MIN(size, session->rest_size);
    memcpy(buffer, session->rest, *got);
    session->rest += *got;
    session->rest_size -= *got;
    return OK;
}

void session_drain(struct session *session)
{
    if (session->kind != SESSION_TCP)
        console_flush();
    else if (!session->closed)
        stream_drain(session->stream, time_after_ms(SESSION_WRITE_MS));
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static void begin(struct session *session)
{
    json_init(&session->json, session->line, SESSION_LINE_MAX);
    json_object_begin(&session->json, NULL);
}

void session_begin_event(struct session *session, const char *event)
{
    begin(session);
    json_string(&session->json, "event", event);
}

void session_begin_reply(struct session *session)
{
    begin(session);
    json_bool(&session->json, "ok", true);
    session->ok = true;
}

static void begin_error(struct session *session, enum err code, const char *format, va_list args)
{
    char text[ERROR_TEXT_MAX];

    vsnprintf(text, sizeof(text), format, args);
    begin(session);
    json_bool(&session->json, "ok", false);
    json_string(&session->json, "code", err_name(code));
    json_string(&session->json, "error", text);
    session->ok = false;
}

void session_begin_error(struct session *session, enum err code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    begin_error(session, code, format, args);
    va_end(args);
}

/* Closes the object; the line's length with its newline. */
static size_t finish(struct session *session)
{
    json_object_end(&session->json);
    if (session->json.overflow) {
        session_begin_error(session, ERR_RANGE, "the reply is longer than a line may be; ask for less");
        json_object_end(&session->json);
    }
    session->line[session->json.used] = '\n';
    return session->json.used + 1;
}

void session_send(struct session *session)
{
    size_t size = finish(session);

    write_bounded(session, session->line, size, SESSION_WRITE_MS);
}

void session_send_event_or_drop(struct session *session)
{
    size_t size = finish(session);

    if (session->kind == SESSION_TCP && !session->closed && stream_unacknowledged(session->stream) > EVENT_BACKLOG_MAX)
        return;
    write_bounded(session, session->line, size, EVENT_WRITE_MS);
}

void session_reply_ok(struct session *session)
{
    session_begin_reply(session);
    session_send(session);
}

void session_error(struct session *session, enum err code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    begin_error(session, code, format, args);
    va_end(args);
    session_send(session);
}
