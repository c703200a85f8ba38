/*
 * The wire format of a teleport: records. Pure; it never reads past the bytes that it was given.
 *
 *   offset  size  field
 *        0     2  type       enum record_type
 *        2     2  flags      RECORD_MANDATORY: a receiver that does not know the type must give up
 *        4     4  length     bytes of payload, a multiple of 8, at most RECORD_PAYLOAD_MAX
 *        8     4  sequence   0, 1, 2 ... in each direction of a connection
 *       12     4  crc32c     of the payload, then of bytes 0..11 of this header
 *       16   ...  payload
 *
 * All little-endian. The CRC takes the payload first, so that a sender knows it before it has to write the header.
 */
#ifndef TELEPOD_WIRE_H
#define TELEPOD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define WIRE_MAGIC 0x31444f50454c4554ULL   /* "TELEPOD1" */
#define WIRE_VERSION 2
#define WIRE_VERSION_OLDEST 2              /* the oldest version that we still speak */

#define RECORD_HEADER_SIZE 16
#define RECORD_PAYLOAD_MAX 65536
#define RECORD_MANDATORY 0x0001

/* Types are added, never changed. */
enum record_type {
    RECORD_HELLO = 1,        /* both: magic, versions, who I am */
    /* 2 was GUEST of version 1 */
    RECORD_ACCEPT = 3,       /* target: I have the memory and the features */
    RECORD_REFUSE = 4,       /* target: I can't run this guest, with the reason in words */
    RECORD_CLOCK_PING = 5,   /* source: time stamp */
    RECORD_CLOCK_PONG = 6,   /* target: the ping's stamp and its own two */
    RECORD_ROUND_BEGIN = 7,  /* source */
    RECORD_PAGE = 8,         /* source: 4096 bytes of content, then the guest frame number */
    RECORD_ZERO = 9,         /* source: runs of frames that hold only zeros */
    RECORD_ROUND_END = 10,   /* source */
    RECORD_ROUND_ACK = 11,   /* target: all of that round is in place */
    RECORD_STATE = 12,       /* source: sections of vCPU and device state (vmx/state.h) */
    RECORD_PREPARE = 13,     /* source: that was all; epoch, digest and clocks */
    RECORD_READY = 14,       /* target: I hold all of it and could run */
    RECORD_COMMIT = 15,      /* source: it is yours. I will not run it again */
    RECORD_RUNNING = 16,     /* target: it runs */
    RECORD_AUDIT = 17,       /* source: CRCs of the frames as they were at the pause */
    RECORD_AUDIT_RESULT = 18,/* target: how many differ from what arrived */
    RECORD_ABORT = 19,       /* both: I give up, with the reason in words */
    RECORD_QUERY = 20,       /* source in doubt, on a new connection: what of epoch N? */
    RECORD_STATUS = 21,      /* target: the answer */
    RECORD_GOODBYE = 22,     /* source: nothing more will come */
    RECORD_GUEST = 23,       /* source: what the guest is and needs; before any page */
    RECORD_TYPE_END
};

const char *record_type_name(uint16_t type);  /* "HELLO"; "unknown" for others */

struct record_header {
    uint16_t type, flags;
    uint32_t length, sequence, crc32c;
};

/* RECORD_PAGE: the content, then the guest frame number. */
#define PAGE_RECORD_GFN_AT PAGE_SIZE
#define PAGE_RECORD_PAYLOAD (PAGE_SIZE + 8)

/* A run of frames: first frame, then count, 64 bits each. RECORD_ZERO is up to ZERO_RUNS_MAX of them. */
struct frame_run {
    uint64_t first, count;
};
#define FRAME_RUN_SIZE 16
#define ZERO_RUNS_MAX 256
void frame_run_put(uint8_t *p, struct frame_run run);
struct frame_run frame_run_get(const uint8_t *p);
/* Does the run lie within 0 .. frames - 1? */
bool frame_run_fits(struct frame_run run, uint64_t frames);

/* RECORD_AUDIT: a run, then a CRC32C for each of its frames; padded with zeros to a multiple of 8. */
#define AUDIT_FRAMES_MAX 2048
uint32_t audit_payload_size(uint64_t frame_count);   /* frame_count <= AUDIT_FRAMES_MAX */
void audit_crc_put(uint8_t *payload, uint64_t index, uint32_t crc);
uint32_t audit_crc_get(const uint8_t *payload, uint64_t index);

void wire_put_u16(uint8_t *p, uint16_t v);
void wire_put_u32(uint8_t *p, uint32_t v);
void wire_put_u64(uint8_t *p, uint64_t v);
uint16_t wire_get_u16(const uint8_t *p);
uint32_t wire_get_u32(const uint8_t *p);
uint64_t wire_get_u64(const uint8_t *p);

/* Writes the header of a record whose payload has the CRC `payload_crc` (crc32c_update from 0). */
void record_header_put(uint8_t out[RECORD_HEADER_SIZE], uint16_t type, uint32_t length, uint32_t sequence,
                       uint32_t payload_crc);
/*
 * Decodes a header and checks what can be checked without the payload: ERR_RANGE (length), ERR_PROTOCOL (sequence, flags,
 * an unknown mandatory type). `why` says what and where.
 */
enum err record_header_get(const uint8_t in[RECORD_HEADER_SIZE], uint32_t expected_sequence, struct record_header *out,
                           char *why, size_t why_size);
/* ERR_CORRUPT when the header's CRC is not that of this payload CRC and this header. */
enum err record_check(const uint8_t in[RECORD_HEADER_SIZE], uint32_t payload_crc, char *why, size_t why_size);

#endif
