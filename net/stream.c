/*
 * Life and death of TCP connections. lwIP frees a pcb by itself when a connection fails: stream->pcb is NULL
 * from that callback on, and no call touches the pcb again. A stream is freed by its owner only; one that
 * nobody has accepted yet belongs to its listener, which frees it when it dies.
 */
#include "net/stream_state.h"

#include <stdlib.h>

#define BACKLOG TCP_DEFAULT_LISTEN_BACKLOG
/* A peer that vanished is noticed after 30 + 5 * 5 s even by a stream that only listens. */
#define KEEPALIVE_IDLE_MS 30000
#define KEEPALIVE_INTERVAL_MS 5000
#define KEEPALIVE_COUNT 5

struct stream_listener {
    struct tcp_pcb *pcb;
    struct stream *first, *last;   /* connected, waiting for stream_accept */
    struct thread *waiter;         /* blocked in stream_accept */
    bool closing;                  /* the waiter frees the listener */
};

static uint32_t live_count;

static void unqueue(struct stream_listener *listener, struct stream *stream)
{
    struct stream **link = &listener->first, *previous = NULL;

    while (*link && *link != stream) {
        previous = *link;
        link = &previous->next;
    }
    *link = stream->next;
    if (listener->last == stream)
        listener->last = previous;
    stream->listener = NULL;
    stream->next = NULL;
}

static void destroy(struct stream *stream)
{
    stream_drop_received(stream);
    free(stream);
    live_count--;
}

/* lwIP has freed the pcb: reset by the peer, given up after retransmissions, or sacrificed for another
   connection. */
static void on_error(void *arg, err_t err)
{
    struct stream *stream = arg;

    stream->pcb = NULL;
    stream->error = !stream->connected && err == ERR_ABRT ? ERR_TIMEOUT : ERR_CLOSED;
    if (stream->listener) {
        unqueue(stream->listener, stream);
        destroy(stream);
    } else if (stream->waiter) {
        thread_wake(stream->waiter);
    }
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct stream *stream = arg;

    (void)pcb;
    (void)err; /* always ERR_OK: failures come through on_error */
    stream->connected = true;
    if (stream->waiter)
        thread_wake(stream->waiter);
    return ERR_OK;
}

static struct stream *create(struct tcp_pcb *pcb)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    live_count++;
    stream->pcb = pcb;
    tcp_arg(pcb, stream);
    tcp_recv(pcb, stream_on_received);
    tcp_sent(pcb, stream_on_sent);
    tcp_err(pcb, on_error);
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = KEEPALIVE_IDLE_MS;
    pcb->keep_intvl = KEEPALIVE_INTERVAL_MS;
    pcb->keep_cnt = KEEPALIVE_COUNT;
    return stream;
}

/* From here on lwIP calls nobody for this pcb. */
static struct tcp_pcb *detach(struct stream *stream)
{
    struct tcp_pcb *pcb = stream->pcb;

    stream->pcb = NULL;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    return pcb;
}

void stream_abort(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->pcb)
        tcp_abort(detach(stream));
    destroy(stream);
}

void stream_close(struct stream *stream)
{
    size_t unread;
    struct tcp_pcb *pcb;

    if (!stream)
        return;
    if (!stream->pcb) {
        destroy(stream);
        return;
    }
    unread = stream->rx_bytes;
    pcb = detach(stream);
    destroy(stream);
    /* lwIP resets instead of closing while there is unread data, and what was written would be lost with it.
       */
    for (; unread; unread -= LWIP_MIN(unread, 0xffff))
        tcp_recved(pcb, (u16_t)LWIP_MIN(unread, 0xffff));
    /* The rest of its life is lwIP's, and the first to go if connections run out. */
    tcp_setprio(pcb, TCP_PRIO_MIN);
    if (tcp_close(pcb) != ERR_OK)
        tcp_abort(pcb);
}

static enum err from_lwip(err_t err)
{
    return err == ERR_MEM || err == ERR_BUF ? ERR_NO_MEMORY : err == ERR_USE ? ERR_EXISTS : ERR_CLOSED;
}

enum err stream_connect(struct stream **out, uint32_t address, uint16_t port, uint64_t deadline)
{
    const ip_addr_t to = { address };
    struct tcp_pcb *pcb = tcp_new();
    struct stream *stream = pcb ? create(pcb) : NULL;
    enum err err;
    err_t started;

    if (!stream) {
        if (pcb)
            tcp_abort(pcb);
        return ERR_NO_MEMORY;
    }
    started = tcp_connect(pcb, &to, port, on_connected);
    err = started == ERR_OK ? OK : from_lwip(started);
    while (err == OK && !stream->connected)
        err = stream->pcb ? stream_wait(stream, deadline) : stream->error;
    if (err != OK) {
        stream_abort(stream);
        return err;
    }
    *out = stream;
    return OK;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct stream_listener *listener = arg;
    struct stream *stream;

    if (err != ERR_OK || !pcb)
        return ERR_VAL;
    stream = create(pcb);
    if (!stream)
        return ERR_MEM; /* lwIP resets the connection */
    stream->connected = true;
    stream->listener = listener;
    /* Counts against the backlog until it is accepted. */
    tcp_backlog_delayed(pcb);
    if (listener->last)
        listener->last->next = stream;
    else
        listener->first = stream;
    listener->last = stream;
    if (listener->waiter)
        thread_wake(listener->waiter);
    return ERR_OK;
}

enum err stream_listen(struct stream_listener **out, uint16_t port)
{
    struct stream_listener *listener = calloc(1, sizeof(*listener));
    struct tcp_pcb *pcb = listener ? tcp_new() : NULL;
    err_t err = pcb ? tcp_bind(pcb, IP4_ADDR_ANY, port) : ERR_MEM;

    if (err == ERR_OK)
        listener->pcb = tcp_listen_with_backlog_and_err(pcb, BACKLOG, &err);
    if (err != ERR_OK) {
        if (pcb)
            tcp_close(pcb);
        free(listener);
        return from_lwip(err);
    }
    tcp_arg(listener->pcb, listener);
    tcp_accept(listener->pcb, on_accept);
    *out = listener;
    return OK;
}

enum err stream_accept(struct stream_listener *listener, struct stream **out, uint64_t deadline)
{
    struct stream *stream;

    while (!listener->first) {
        bool woken = true;

        listener->waiter = thread_current();
        if (deadline == UINT64_MAX)
            thread_block();
        else
            woken = thread_block_until(deadline);
        listener->waiter = NULL;
        if (listener->closing) {
            free(listener);
            return ERR_ABORTED;
        }
        if (!woken && !listener->first)
            return ERR_TIMEOUT;
    }
    stream = listener->first;
    unqueue(listener, stream);
    tcp_backlog_accepted(stream->pcb);
    *out = stream;
    return OK;
}

void stream_listener_close(struct stream_listener *listener)
{
    if (!listener)
        return;
    tcp_close(listener->pcb);
    while (listener->first) {
        struct stream *stream = listener->first;

        unqueue(listener, stream);
        stream_abort(stream);
    }
    if (listener->waiter) {
        listener->closing = true;
        thread_wake(listener->waiter);
    } else {
        free(listener);
    }
}

bool stream_is_dead(const struct stream *stream)
{
    return !stream->pcb;
}

uint32_t stream_live_count(void)
{
    return live_count;
}
