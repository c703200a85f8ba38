/*
 * Bytes in and out of streams. A received pbuf stays where the card put it until its bytes are read; written
 * bytes are copied once, into segments of full size.
 *
 * lwIP finds the end of its queue of unsent segments by walking it. So a writer that is ahead of the window
 * waits as soon as UNSENT_MAX bytes stand there, and a write costs the same however large the send buffer is.
 */
#include "net/stream_state.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/time.h"

#define UNSENT_MAX (32 * 1024u)    /* bytes */
#define WRITE_CHUNK (16 * 1024u)   /* bytes a call of tcp_write, which takes at most 65535 */
#define RECVED_MAX 0xffffu         /* what tcp_recved takes */
#define RETRY_MS 250               /* lwIP ran out of pbufs: nobody tells when others have freed some */

static void wake(struct stream *stream)
{
    if (stream->waiter)
        thread_wake(stream->waiter);
}

enum err stream_wait(struct stream *stream, uint64_t deadline)
{
    bool woken = true;

    stream->waiter = thread_current();
    if (deadline == UINT64_MAX)
        thread_block();
    else
        woken = thread_block_until(deadline);
    stream->waiter = NULL;
    return woken ? OK : ERR_TIMEOUT;
}

err_t stream_on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct stream *stream = arg;

    (void)pcb;
    (void)err;
    if (!p) {
        stream->peer_closed = true;
    } else if (stream->rx_tail - stream->rx_head == RX_QUEUE_MAX) {
        return ERR_MEM; /* lwIP keeps p and offers it again; until then it drops what else comes */
    } else {
        stream->rx[stream->rx_tail++ & (RX_QUEUE_MAX - 1)] = p;
        stream->rx_bytes += p->tot_len;
    }
    wake(stream);
    return ERR_OK;
}

err_t stream_on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
    struct stream *stream = arg;

    stream->unacknowledged -= MIN(length, stream->unacknowledged);
    if (!stream->unacknowledged || tcp_sndbuf(pcb) >= stream->wake_room)
        wake(stream);
    return ERR_OK;
}

void stream_drop_received(struct stream *stream)
{
    while (stream->rx_head != stream->rx_tail)
        pbuf_free(stream->rx[stream->rx_head++ & (RX_QUEUE_MAX - 1)]);
    stream->rx_bytes = 0;
}

/* Copies from the head of the queue what fits into one piece; frees what is read up. */
static size_t take(struct stream *stream, uint8_t *to, size_t size)
{
    struct pbuf **head = &stream->rx[stream->rx_head & (RX_QUEUE_MAX - 1)];
    size_t count = MIN(size, (*head)->len);

    memcpy(to, (*head)->payload, count);
    *head = pbuf_free_header(*head, (u16_t)count);
    if (!*head)
        stream->rx_head++;
    stream->rx_bytes -= count;
    return count;
}

/* Opens the window by what was read. */
static void announce_read(struct stream *stream, size_t count)
{
    while (stream->pcb && count) {
        size_t step = MIN(count, RECVED_MAX);

        tcp_recved(stream->pcb, (u16_t)step);
        count -= step;
    }
}

enum err stream_read_some(struct stream *stream, void *buffer, size_t size, size_t *got, uint64_t deadline)
{
    size_t count = 0;

    *got = 0;
    while (size && !stream->rx_bytes) {
        enum err err;

        if (stream->peer_closed)
            return OK;
        if (!stream->pcb)
            return stream->error;
        err = stream_wait(stream, deadline);
        if (err != OK)
            return err;
    }
    while (count < size && stream->rx_bytes)
        count += take(stream, (uint8_t *)buffer + count, size - count);
    announce_read(stream, count);
    *got = count;
    return OK;
}

enum err stream_read(struct stream *stream, void *buffer, size_t size, uint64_t deadline)
{
    uint8_t *to = buffer;

    while (size) {
        size_t got;
        enum err err = stream_read_some(stream, to, size, &got, deadline);

        if (err != OK)
            return err;
        if (!got)
            return ERR_CLOSED;
        to += got;
        size -= got;
    }
    return OK;
}

static size_t unsent_bytes(const struct tcp_pcb *pcb)
{
    return (u32_t)(pcb->snd_lbb - pcb->snd_nxt);
}

static size_t write_room(const struct tcp_pcb *pcb)
{
    size_t unsent = unsent_bytes(pcb);

    return unsent >= UNSENT_MAX ? 0 : MIN(UNSENT_MAX - unsent, tcp_sndbuf(pcb));
}

/* Hands a piece to lwIP; with memory short, a smaller one. ERR_BUSY: nothing now, wait. */
static enum err enqueue(struct stream *stream, const void *data, size_t size, bool more, size_t *taken)
{
    u8_t flags = TCP_WRITE_FLAG_COPY | (more ? TCP_WRITE_FLAG_MORE : 0);
    err_t err = tcp_write(stream->pcb, data, (u16_t)size, flags);

    if (err == ERR_MEM && size > TCP_MSS) {
        size = TCP_MSS;
        err = tcp_write(stream->pcb, data, (u16_t)size, flags);
    }
    if (err == ERR_MEM)
        return ERR_BUSY;
    if (err != ERR_OK)
        return ERR_CLOSED;
    stream->unacknowledged += size;
    *taken = size;
    return OK;
}

/* Waits until `wanted` bytes may be written; wakes up early, and harmlessly, when others may have freed
   memory. */
static enum err wait_for_room(struct stream *stream, size_t wanted, uint64_t deadline)
{
    uint64_t retry = time_after_ms(RETRY_MS);
    enum err err;

    stream->wake_room = wanted;
    err = stream_wait(stream, MIN(retry, deadline));
    return err == ERR_TIMEOUT && time_now() < deadline ? OK : err;
}

/* Sends what should not wait: see Nagle's algorithm in tcp_output. Without anything in flight no
   acknowledgement will come to send the rest; with it, small rests wait for that. */
static void flush(struct stream *stream, bool push)
{
    if (push)
        tcp_nagle_disable(stream->pcb);
    if (push || !stream->pcb->unacked || unsent_bytes(stream->pcb) >= WRITE_CHUNK)
        tcp_output(stream->pcb);
}

enum err stream_write(struct stream *stream, const void *data, size_t size, bool push, uint64_t deadline)
{
    const uint8_t *from = data;

    if (stream->pcb)
        tcp_nagle_enable(stream->pcb);
    while (size) {
        size_t wanted = MIN(size, WRITE_CHUNK), taken = 0;
        enum err err = ERR_BUSY;
        bool room;

        if (!stream->pcb)
            return stream->error;
        room = write_room(stream->pcb) >= wanted;
        if (room)
            err = enqueue(stream, from, wanted, !push || size > wanted, &taken);
        if (err == ERR_BUSY) {
            tcp_output(stream->pcb);
            /* It may have sent, and so have made the room. If it is segments that lack, only acknowledgements free
               them, and these come when the net thread runs: never try again without a wait. */
            err = !room && write_room(stream->pcb) >= wanted ? OK : wait_for_room(stream, wanted, deadline);
        }
        if (err != OK)
            return err;
        from += taken;
        size -= taken;
    }
    if (stream->pcb)
        flush(stream, push);
    return OK;
}

enum err stream_drain(struct stream *stream, uint64_t deadline)
{
    while (stream->unacknowledged) {
        enum err err;

        if (!stream->pcb)
            return stream->error;
        flush(stream, true);
        stream->wake_room = SIZE_MAX;
        err = stream_wait(stream, deadline);
        if (err != OK)
            return err;
    }
    return stream->pcb ? OK : stream->error;
}

bool stream_has_input(const struct stream *stream)
{
    return stream->rx_bytes || stream->peer_closed || !stream->pcb;
}

size_t stream_unacknowledged(const struct stream *stream)
{
    return stream->unacknowledged;
}
