/* What stream.c (life and death of connections) and stream_io.c (bytes) share. */
#ifndef TELEPOD_STREAM_STATE_H
#define TELEPOD_STREAM_STATE_H

#include "kernel/thread.h"
#include "net/port/lwip.h"
#include "net/stream.h"

/* Received pbufs that one stream may hold. A window of full segments is 180; a peer that sends tiny ones is
   slowed down here instead of taking everybody's memory. A power of two. */
#define RX_QUEUE_MAX 512u

struct stream {
    struct tcp_pcb *pcb;              /* NULL: dead, `error` says why */
    enum err error;
    bool connected;
    bool peer_closed;                 /* FIN came; what was received before it is still in the queue */
    struct thread *waiter;            /* the owner, while blocked */
    size_t wake_room;                 /* the blocked writer wants this many bytes of room in the send queue */
    size_t unacknowledged;            /* bytes written and not yet acknowledged */

    struct pbuf *rx[RX_QUEUE_MAX];    /* received, unread; the head may be partly read */
    uint32_t rx_head, rx_tail;        /* free running; index & (RX_QUEUE_MAX - 1) */
    size_t rx_bytes;                  /* unread bytes in rx */

    struct stream_listener *listener; /* where it waits to be accepted; NULL: it has an owner */
    struct stream *next;              /* in the listener's queue */
};

/* Blocks the calling thread until something happens to the stream. ERR_TIMEOUT. */
enum err stream_wait(struct stream *stream, uint64_t deadline);

/* lwIP's callbacks for bytes; `arg` is the stream. */
err_t stream_on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err);
err_t stream_on_sent(void *arg, struct tcp_pcb *pcb, u16_t length);
/* Frees what was received and not read. */
void stream_drop_received(struct stream *stream);

#endif
