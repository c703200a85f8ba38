/*
 * One operator's session: where command lines come from and replies go. Every line that a session sends is one whole JSON
 * object; what does not fit into SESSION_LINE_MAX is replaced by an error, never cut. A client that does not read costs
 * its own session, and nobody else any time: writes are bounded, and events of a running teleport never wait.
 *
 * A session belongs to one thread.
 */
#ifndef TELEPOD_SESSION_H
#define TELEPOD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include "kernel/lib/err.h"
#include "kernel/lib/json.h"
#include "net/control/command.h"
#include "net/control/line.h"
#include "net/stream.h"

#define SESSION_LINE_MAX 32768          /* bytes: a flight record of 64 rounds and 24 phases fits with room */
#define SESSION_WRITE_MS 5000           /* a client that does not take a reply for so long is cut off */

enum session_kind {
    SESSION_SERIAL,    /* COM1 */
    SESSION_TCP,
    SESSION_BOOT,      /* commands of telepod.ini */
};

struct session {
    enum session_kind kind;
    struct stream *stream;              /* of SESSION_TCP; the session owns it */
    bool closed;                        /* say and read nothing more */
    bool ok;                            /* the last reply's */
    struct line_reader lines;
    const char *rest;                   /* what came behind the line that runs, in the bytes of the same read */
    size_t rest_size;
    struct command command;             /* the one that runs */
    struct json json;                   /* the line being built, in `line` */
    char line[SESSION_LINE_MAX + 1];    /* and its newline */
};

/* On the heap; ERR_NO_MEMORY. `stream` is NULL but for SESSION_TCP. */
enum err session_create(struct session **out, enum session_kind kind, struct stream *stream);
void session_destroy(struct session *session);    /* closes its stream */

/*
 * A line is begun, filled through session->json, and sent. Begin opens the object with "event":NAME or "ok":true.
 * The last line of every command is a reply; events may come before it.
 */
void session_begin_event(struct session *session, const char *event);
void session_begin_reply(struct session *session);
void session_send(struct session *session);
/* An event that may be lost: it is dropped when the client is behind, instead of waiting for it. */
void session_send_event_or_drop(struct session *session);

/* The whole reply of a command that did all that it should. */
void session_reply_ok(struct session *session);
/* Begins {"ok":false,"code":...,"error":...}: to be sent by session_send. */
void session_begin_error(struct session *session, enum err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Begins and sends it. */
void session_error(struct session *session, enum err code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Raw bytes, of a TCP session only; bounded as all writes. */
void session_write_raw(struct session *session, const void *bytes, size_t size);
/*
 * Bytes that are no lines, of a TCP session only: 1 to size of them, first what came with the command's line. *got = 0 with
 * OK: the client has closed. ERR_TIMEOUT; ERR_CLOSED.
 */
enum err session_read_raw(struct session *session, void *buffer, size_t size, size_t *got, uint64_t deadline);
/* Waits, bounded, until the client has all that was sent. */
void session_drain(struct session *session);

#endif
