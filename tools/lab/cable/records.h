/*
 * records.h: which records of the teleport's protocol begin in a frame; PROTOCOL.md has their layout. Pure.
 *
 * It follows the TCP connections of some ports from their SYN on, each direction by itself, and knows of every record where its
 * header lies in the sequence numbers. It is to be shown every frame as it is sent, lost or not: a sender's first transmissions
 * are in order. A record that is sent again is not named again.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_RECORDS_H
#define TELEPOD_TOOLS_LAB_CABLE_RECORDS_H

#include <stddef.h>
#include <stdint.h>

enum { RECORDS_FLOWS = 64, RECORDS_HEAD = 8, RECORDS_HEADER = 16 };

struct records_flow {
    uint32_t from, to; /* IPv4 addresses and ports, as they are in the packet */
    uint16_t from_port, to_port;
    uint32_t next;                 /* sequence number of the next record's first byte */
    uint8_t head[RECORDS_HEAD];    /* what has been seen of its header: type, flags, length */
    uint32_t have;                 /* bytes of it */
    uint64_t used;                 /* when it was seen last; 0: a free place */
};

struct records {
    uint16_t first_port, last_port; /* of a listener: both directions of its connections are followed */
    uint64_t clock;
    struct records_flow flows[RECORDS_FLOWS]; /* the one that was used longest ago makes room */
};

void records_init(struct records *records, uint16_t first_port, uint16_t last_port);

/* Bit t is set for each record of type t (below 64) that begins in the frame. */
uint64_t records_in(struct records *records, const uint8_t *frame, size_t length);

#endif
