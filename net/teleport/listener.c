/*
 * The target's connections: a listener, and a thread for each connection. Whatever a peer sends ends at worst its session,
 * with a sentence to the peer and in the log.
 */
#include "net/teleport/target.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/stream.h"
#include "net/teleport/teleport.h"

#define ROOM "teleport"
#define SESSIONS_MAX 8
#define TIMEOUT_US 15000000
#define WAITING_LIFETIME_US 60000000
#define ACCEPT_POLL_US 1000000
#define RECORDS_BETWEEN_YIELDS 8

static uint32_t session_count;

/* Serves records until the peer is done or something is wrong. */
static enum err serve(struct session *s)
{
    enum err e = OK;
    for (uint32_t records = 1; !e && !s->done; records++) {
        struct record r;
        e = channel_receive(&s->channel, &r);
        e = e ? e : session_handle(s, &r);
        if (records % RECORDS_BETWEEN_YIELDS == 0)
            thread_yield();
    }
    return e;
}

static enum err greet(struct session *s)
{
    struct msg_hello mine = teleport_hello();
    enum err e = channel_expect(&s->channel, RECORD_HELLO, &s->source);
    return e ? e : channel_send_now(&s->channel, RECORD_HELLO, &mine);
}

/* Says to the peer why it is turned away: REFUSE before a guest was accepted, ABORT after. */
static void turn_away(struct session *s, enum err e)
{
    struct msg_text text = { .epoch = s->in ? s->in->epoch : 0, .code = e };
    snprintf(text.text, sizeof text.text, "%s", s->channel.why[0] ? s->channel.why : err_name(e));
    log_error(ROOM, "connection from %s: %s (%s)", s->source.pod[0] ? s->source.pod : "a peer", text.text, err_name(e));
    if (!stream_is_dead(s->channel.stream))
        channel_send_now(&s->channel, s->in ? RECORD_ABORT : RECORD_REFUSE, &text);
}

/* The connection is over; what becomes of its machine? */
static void detach(struct session *s)
{
    struct incoming *in = s->in;
    s->in = NULL;
    if (!in)
        return;
    in->attached = false;
    in->expires = time_after_us(WAITING_LIFETIME_US);
    if (in->state == TARGET_RUNNING) {
        incoming_free_buffers(in);
        in->used = false;
        return;
    }
    incoming_apply(in, TARGET_FAULT, s->channel.why);
}

static void session_thread(void *argument)
{
    struct stream *stream = argument;
    struct session *s = calloc(1, sizeof *s);
    enum err e = s ? OK : ERR_NO_MEMORY;

    if (!s)
        stream_abort(stream);
    else
        e = channel_open(&s->channel, stream, TIMEOUT_US);
    if (!e) {
        e = greet(s);
        e = e ? e : serve(s);
        if (e)
            turn_away(s, e);
        detach(s);   /* first: a peer that hears nothing any more may try again on a new connection */
        if (e && !stream_is_dead(s->channel.stream))
            stream_drain(s->channel.stream, time_after_us(TIMEOUT_US));
        channel_close(&s->channel, false);
    }
    free(s);
    session_count--;
}

static void listener_thread(void *argument)
{
    struct stream_listener *listener = argument;
    for (;;) {
        struct stream *stream;
        enum err e = stream_accept(listener, &stream, time_after_us(ACCEPT_POLL_US));
        incoming_reap();
        if (e) {
            if (e != ERR_TIMEOUT)   /* it may come back at once: no busy loop over a broken listener */
                thread_sleep_until(time_after_us(ACCEPT_POLL_US));
            continue;
        }
        if (session_count == SESSIONS_MAX) {
            log_error(ROOM, "connection refused: %d are open", SESSIONS_MAX);
            stream_abort(stream);
            continue;
        }
        session_count++;
        if (thread_create(NULL, "teleport-in", NULL, session_thread, stream)) {
            session_count--;
            stream_abort(stream);
        }
    }
}

enum err teleport_listen(const struct pod_config *config)
{
    struct stream_listener *listener;
    teleport_set_identity(config);
    enum err e = stream_listen(&listener, config->teleport_port);
    if (e)
        return e;
    e = thread_create(NULL, "teleport-listen", NULL, listener_thread, listener);
    if (e)
        stream_listener_close(listener);
    return e;
}
