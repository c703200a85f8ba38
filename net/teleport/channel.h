/*
 * Records over one TCP stream. Sending gathers records in a buffer and hands whole buffers to TCP; receiving gives one
 * record at a time, its length, sequence and CRC checked before a byte of it is looked at. Every call is bounded by the
 * channel's time-out, counted from the call, and all of them together by `deadline`. After any error the channel is only good
 * for closing, and `why` says in words what happened.
 */
#ifndef TELEPOD_CHANNEL_H
#define TELEPOD_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"
#include "net/stream.h"
#include "net/teleport/messages.h"
#include "net/teleport/wire.h"

#define CHANNEL_SEND_BUFFER (32 * 1024)
#define CHANNEL_WATCH_US 5000   /* during the handover: some round trips of a near link */

struct channel {
    struct stream *stream;          /* owned */
    uint64_t timeout_us;            /* of each call */
    uint64_t deadline;              /* host TSC after which none waits any more; 0: there is no such time */
    uint64_t watch_us;              /* how long a receive looks for a record again and again before its thread sleeps; 0 at first */
    uint32_t send_sequence, receive_sequence;
    uint32_t sent_digest;           /* CRC32C chained over the CRCs of all records sent */
    uint32_t received_digest;       /* the same of all records received ... */
    uint32_t digest_before_last;    /* ... but the last one: what PREPARE must name */
    uint64_t bytes_sent, bytes_received;
    uint32_t send_used;
    uint8_t *send_buffer;           /* CHANNEL_SEND_BUFFER; owned */
    uint8_t *receive_buffer;        /* RECORD_PAYLOAD_MAX; owned */
    char why[TEXT_MAX];
};

/* Takes the stream (closes it on failure, too). ERR_NO_MEMORY. */
enum err channel_open(struct channel *channel, struct stream *stream, uint64_t timeout_us);
/* abort: RST instead of FIN. What was not flushed is lost. Fine on a channel that never opened (all zero). */
void channel_close(struct channel *channel, bool abort);

/* A record in the buffer; sent when it fills, or by channel_flush. */
enum err channel_send(struct channel *channel, uint16_t type, const void *payload, uint32_t length);
enum err channel_send_message(struct channel *channel, uint16_t type, const void *message);
/* A PAGE record. The content is copied first and the CRC is the copy's: a guest that writes meanwhile makes no bad record. */
enum err channel_send_page(struct channel *channel, struct gfn gfn, const void *content);
enum err channel_flush(struct channel *channel);
/* Both: the message and all before it leave now. */
enum err channel_send_now(struct channel *channel, uint16_t type, const void *message);

struct record {
    uint16_t type;
    uint32_t length;
    const uint8_t *payload;    /* in the channel's buffer: good until the next receive */
};
enum err channel_receive(struct channel *channel, struct record *out);
/* Receives one record that must be of this type; an ABORT or REFUSE that comes instead gives ERR_ABORTED or ERR_REFUSED
   with the peer's words in why, anything else ERR_PROTOCOL. */
enum err channel_expect(struct channel *channel, uint16_t type, void *message);

#endif
