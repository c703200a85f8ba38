/* Records on the wire: see wire.h for the layout and PROTOCOL.md for their order. */
#include "net/teleport/wire.h"

#include <stdio.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"

enum { TYPE_AT = 0, FLAGS_AT = 2, LENGTH_AT = 4, SEQUENCE_AT = 8, CRC_AT = 12 };
_Static_assert(CRC_AT + 4 == RECORD_HEADER_SIZE, "the CRC closes the header");

static const char *const type_names[RECORD_TYPE_END] = {
    [RECORD_HELLO] = "HELLO",
    [RECORD_ACCEPT] = "ACCEPT",
    [RECORD_REFUSE] = "REFUSE",
    [RECORD_CLOCK_PING] = "CLOCK_PING",
    [RECORD_CLOCK_PONG] = "CLOCK_PONG",
    [RECORD_ROUND_BEGIN] = "ROUND_BEGIN",
    [RECORD_PAGE] = "PAGE",
    [RECORD_ZERO] = "ZERO",
    [RECORD_ROUND_END] = "ROUND_END",
    [RECORD_ROUND_ACK] = "ROUND_ACK",
    [RECORD_STATE] = "STATE",
    [RECORD_PREPARE] = "PREPARE",
    [RECORD_READY] = "READY",
    [RECORD_COMMIT] = "COMMIT",
    [RECORD_RUNNING] = "RUNNING",
    [RECORD_AUDIT] = "AUDIT",
    [RECORD_AUDIT_RESULT] = "AUDIT_RESULT",
    [RECORD_ABORT] = "ABORT",
    [RECORD_QUERY] = "QUERY",
    [RECORD_STATUS] = "STATUS",
    [RECORD_GOODBYE] = "GOODBYE",
    [RECORD_GUEST] = "GUEST",
};

const char *record_type_name(uint16_t type)
{
    return type < RECORD_TYPE_END && type_names[type] ? type_names[type] : "unknown";
}

/* x86 is little-endian, as the wire is: the compiler makes one instruction of each copy. */
void wire_put_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }
void wire_put_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }
void wire_put_u64(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }
uint16_t wire_get_u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, sizeof v); return v; }
uint32_t wire_get_u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, sizeof v); return v; }
uint64_t wire_get_u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, sizeof v); return v; }

void frame_run_put(uint8_t *p, struct frame_run run)
{
    wire_put_u64(p, run.first);
    wire_put_u64(p + 8, run.count);
}

struct frame_run frame_run_get(const uint8_t *p)
{
    return (struct frame_run){ wire_get_u64(p), wire_get_u64(p + 8) };
}

bool frame_run_fits(struct frame_run run, uint64_t frames)
{
    return run.first <= frames && run.count <= frames - run.first;
}

#define CRC_SIZE 4

uint32_t audit_payload_size(uint64_t frame_count)
{
    return (uint32_t)ALIGN_UP(FRAME_RUN_SIZE + CRC_SIZE * frame_count, 8);
}

void audit_crc_put(uint8_t *payload, uint64_t index, uint32_t crc)
{
    wire_put_u32(payload + FRAME_RUN_SIZE + CRC_SIZE * index, crc);
}

uint32_t audit_crc_get(const uint8_t *payload, uint64_t index)
{
    return wire_get_u32(payload + FRAME_RUN_SIZE + CRC_SIZE * index);
}

void record_header_put(uint8_t out[RECORD_HEADER_SIZE], uint16_t type, uint32_t length, uint32_t sequence,
                       uint32_t payload_crc)
{
    wire_put_u16(out + TYPE_AT, type);
    wire_put_u16(out + FLAGS_AT, RECORD_MANDATORY);
    wire_put_u32(out + LENGTH_AT, length);
    wire_put_u32(out + SEQUENCE_AT, sequence);
    wire_put_u32(out + CRC_AT, crc32c_update(payload_crc, out, CRC_AT));
}

enum err record_header_get(const uint8_t in[RECORD_HEADER_SIZE], uint32_t expected_sequence, struct record_header *out,
                           char *why, size_t why_size)
{
    struct record_header h = {
        .type = wire_get_u16(in + TYPE_AT),
        .flags = wire_get_u16(in + FLAGS_AT),
        .length = wire_get_u32(in + LENGTH_AT),
        .sequence = wire_get_u32(in + SEQUENCE_AT),
        .crc32c = wire_get_u32(in + CRC_AT),
    };
    if (h.length > RECORD_PAYLOAD_MAX || h.length % 8) {
        snprintf(why, why_size, "record %u: length %u is no multiple of 8 up to %d", expected_sequence,
                 h.length, RECORD_PAYLOAD_MAX);
        return ERR_RANGE;
    }
    if (h.sequence != expected_sequence) {
        snprintf(why, why_size, "record %u expected, %u came", expected_sequence,
                 h.sequence);
        return ERR_PROTOCOL;
    }
    if (h.flags & ~RECORD_MANDATORY) {
        snprintf(why, why_size, "record %u: unknown flags %x", h.sequence, h.flags);
        return ERR_PROTOCOL;
    }
    if (!strcmp(record_type_name(h.type), "unknown") && (h.flags & RECORD_MANDATORY)) {
        snprintf(why, why_size, "record %u: unknown mandatory type %u", h.sequence, h.type);
        return ERR_PROTOCOL;
    }
    *out = h;
    return OK;
}

enum err record_check(const uint8_t in[RECORD_HEADER_SIZE], uint32_t payload_crc, char *why, size_t why_size)
{
    uint32_t claimed = wire_get_u32(in + CRC_AT);
    uint32_t computed = crc32c_update(payload_crc, in, CRC_AT);
    if (claimed == computed)
        return OK;
    snprintf(why, why_size, "record %u (%s): CRC32C %08x, computed %08x", wire_get_u32(in + SEQUENCE_AT),
             record_type_name(wire_get_u16(in + TYPE_AT)), claimed, computed);
    return ERR_CORRUPT;
}
