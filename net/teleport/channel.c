/* Records over a stream: see channel.h. */
#include "net/teleport/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "kernel/time.h"

enum err channel_open(struct channel *channel, struct stream *stream, uint64_t timeout_us)
{
    *channel = (struct channel){ .stream = stream, .timeout_us = timeout_us };
    channel->send_buffer = malloc(CHANNEL_SEND_BUFFER);
    channel->receive_buffer = malloc(RECORD_PAYLOAD_MAX);
    if (channel->send_buffer && channel->receive_buffer)
        return OK;
    channel_close(channel, true);
    snprintf(channel->why, sizeof channel->why, "no memory for the channel's buffers");
    return ERR_NO_MEMORY;
}

void channel_close(struct channel *channel, bool abort)
{
    if (channel->stream && abort)
        stream_abort(channel->stream);
    else if (channel->stream)
        stream_close(channel->stream);
    free(channel->send_buffer);
    free(channel->receive_buffer);
    channel->stream = NULL;
    channel->send_buffer = channel->receive_buffer = NULL;
}

static enum err link_failed(struct channel *channel, const char *doing, enum err e)
{
    snprintf(channel->why, sizeof channel->why, "the link failed while %s: %s", doing, err_name(e));
    return e;
}

static uint64_t deadline_of_a_call(const struct channel *channel)
{
    uint64_t deadline = time_after_us(channel->timeout_us);
    return channel->deadline ? MIN(deadline, channel->deadline) : deadline;
}

enum err channel_flush(struct channel *channel)
{
    if (!channel->send_used)
        return OK;
    enum err e = stream_write(channel->stream, channel->send_buffer, channel->send_used, true, deadline_of_a_call(channel));
    channel->send_used = 0;
    return e ? link_failed(channel, "sending", e) : OK;
}

/* Room for a record of this payload length in the buffer; NULL: the link failed (already said). */
static uint8_t *reserve(struct channel *channel, uint32_t length, enum err *e)
{
    *e = OK;
    if (channel->send_used + RECORD_HEADER_SIZE + length > CHANNEL_SEND_BUFFER)
        *e = channel_flush(channel);
    return *e ? NULL : channel->send_buffer + channel->send_used;
}

/* Closes the record whose payload stands behind `record`, and counts it. */
static void seal(struct channel *channel, uint8_t *record, uint16_t type, uint32_t length, uint32_t payload_crc)
{
    record_header_put(record, type, length, channel->send_sequence++, payload_crc);
    channel->sent_digest = crc32c_update(channel->sent_digest, record + RECORD_HEADER_SIZE - 4, 4);
    channel->send_used += RECORD_HEADER_SIZE + length;
    channel->bytes_sent += RECORD_HEADER_SIZE + length;
}

enum err channel_send(struct channel *channel, uint16_t type, const void *payload, uint32_t length)
{
    enum err e;
    uint8_t *record = reserve(channel, length, &e);
    if (!record)
        return e;
    uint32_t crc = crc32c_copy(0, record + RECORD_HEADER_SIZE, payload, length);
    seal(channel, record, type, length, crc);
    return OK;
}

enum err channel_send_page(struct channel *channel, struct gfn gfn, const void *content)
{
    enum err e;
    uint8_t *record = reserve(channel, PAGE_RECORD_PAYLOAD, &e);
    if (!record)
        return e;
    uint8_t *payload = record + RECORD_HEADER_SIZE;
    uint32_t crc = crc32c_copy(0, payload, content, PAGE_SIZE);
    wire_put_u64(payload + PAGE_RECORD_GFN_AT, gfn.raw);
    seal(channel, record, RECORD_PAGE, PAGE_RECORD_PAYLOAD, crc32c_update(crc, payload + PAGE_SIZE, 8));
    return OK;
}

enum err channel_send_message(struct channel *channel, uint16_t type, const void *message)
{
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(type, message, wire);
    return channel_send(channel, type, wire, length);
}

enum err channel_send_now(struct channel *channel, uint16_t type, const void *message)
{
    enum err e = channel_send_message(channel, type, message);
    return e ? e : channel_flush(channel);
}

/* While a guest stands still: a CPU that sleeps takes time to wake. Other threads, other guests too, have their turns. */
static void watch(const struct channel *channel)
{
    uint64_t end = time_after_us(channel->watch_us);
    while (!stream_has_input(channel->stream) && time_now() < end)
        thread_yield();
}

enum err channel_receive(struct channel *channel, struct record *out)
{
    uint8_t header_bytes[RECORD_HEADER_SIZE];
    struct record_header header;
    uint64_t deadline = deadline_of_a_call(channel);

    if (channel->watch_us)
        watch(channel);
    enum err e = stream_read(channel->stream, header_bytes, sizeof header_bytes, deadline);
    if (e)
        return link_failed(channel, "waiting for a record", e);
    e = record_header_get(header_bytes, channel->receive_sequence, &header, channel->why, sizeof channel->why);
    if (e)
        return e;
    e = stream_read(channel->stream, channel->receive_buffer, header.length, deadline);
    if (e)
        return link_failed(channel, "receiving a record", e);

    e = record_check(header_bytes, crc32c_update(0, channel->receive_buffer, header.length), channel->why,
                     sizeof channel->why);
    if (e)
        return e;

    channel->receive_sequence++;
    channel->digest_before_last = channel->received_digest;
    channel->received_digest = crc32c_update(channel->received_digest, header_bytes + RECORD_HEADER_SIZE - 4, 4);
    channel->bytes_received += RECORD_HEADER_SIZE + header.length;
    *out = (struct record){ header.type, header.length, channel->receive_buffer };
    return OK;
}

enum err channel_expect(struct channel *channel, uint16_t type, void *message)
{
    struct record record;
    enum err e = channel_receive(channel, &record);
    if (e)
        return e;
    if (record.type == type)
        return message_decode(type, message, record.payload, record.length, channel->why, sizeof channel->why);
    if (record.type == RECORD_ABORT || record.type == RECORD_REFUSE) {
        struct msg_text text;
        e = message_decode(record.type, &text, record.payload, record.length, channel->why, sizeof channel->why);
        if (e)
            return e;
        snprintf(channel->why, sizeof channel->why, "%s", text.text);
        return record.type == RECORD_ABORT ? ERR_ABORTED : ERR_REFUSED;
    }
    snprintf(channel->why, sizeof channel->why, "%s came where %s was expected", record_type_name(record.type),
             record_type_name(type));
    return ERR_PROTOCOL;
}
