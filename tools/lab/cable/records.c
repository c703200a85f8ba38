/* records.c: the layouts are RFC 791's and 9293's, and PROTOCOL.md's. Nothing that a frame says is believed beyond its length. */
#include "tools/lab/cable/records.h"

#include <stdbool.h>
#include <string.h>

enum {
    ETHERNET_SIZE = 14, VLAN_SIZE = 4, TYPE_VLAN = 0x8100, TYPE_IPV4 = 0x0800,
    IPV4_SIZE = 20, IPV4_PROTOCOL = 9, IPV4_LENGTH = 2, IPV4_FROM = 12, IPV4_TO = 16, PROTOCOL_TCP = 6,
    TCP_SIZE = 20, TCP_SEQUENCE = 4, TCP_OFFSET = 12, TCP_FLAGS = 13, FLAG_SYN = 2,
    RECORD_TYPE_SIZE = 2, RECORD_LENGTH = 4, RECORD_TYPES = 64,
};

struct segment {
    uint32_t from, to, sequence;
    uint16_t from_port, to_port;
    bool syn;
    const uint8_t *payload;
    size_t size;
};

static uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t)be16(bytes) << 16 | be16(bytes + 2);
}

/* True if the frame holds a whole TCP segment. */
static bool parse(const uint8_t *frame, size_t length, struct segment *found)
{
    size_t at = ETHERNET_SIZE, head, total;
    const uint8_t *ip, *tcp;

    if (length >= ETHERNET_SIZE + VLAN_SIZE && be16(frame + 12) == TYPE_VLAN)
        at += VLAN_SIZE;
    if (length < at + IPV4_SIZE + TCP_SIZE || be16(frame + at - 2) != TYPE_IPV4)
        return false;
    ip = frame + at;
    head = (size_t)(ip[0] & 15) * 4;
    total = be16(ip + IPV4_LENGTH);
    if (ip[0] >> 4 != 4 || head < IPV4_SIZE || ip[IPV4_PROTOCOL] != PROTOCOL_TCP || total < head + TCP_SIZE || at + total > length)
        return false;
    tcp = ip + head;
    *found = (struct segment){
        .from = be32(ip + IPV4_FROM), .to = be32(ip + IPV4_TO), .from_port = be16(tcp), .to_port = be16(tcp + 2),
        .sequence = be32(tcp + TCP_SEQUENCE), .syn = tcp[TCP_FLAGS] & FLAG_SYN,
    };
    head += (size_t)(tcp[TCP_OFFSET] >> 4) * 4;
    if (head > total)
        return false;
    found->payload = ip + head;
    found->size = total - head;
    return true;
}

void records_init(struct records *records, uint16_t first_port, uint16_t last_port)
{
    *records = (struct records){.first_port = first_port, .last_port = last_port};
}

static bool follows(const struct records *records, uint16_t port)
{
    return records->first_port <= port && port <= records->last_port;
}

static struct records_flow *find(struct records *records, const struct segment *s)
{
    struct records_flow *oldest = &records->flows[0];

    for (struct records_flow *flow = records->flows; flow < records->flows + RECORDS_FLOWS; flow++) {
        if (flow->used && flow->from == s->from && flow->to == s->to && flow->from_port == s->from_port &&
            flow->to_port == s->to_port)
            return flow;
        if (flow->used < oldest->used)
            oldest = flow;
    }
    if (!s->syn)
        return NULL;
    *oldest = (struct records_flow){.from = s->from, .to = s->to, .from_port = s->from_port, .to_port = s->to_port};
    return oldest;
}

static uint32_t le32(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* Reads headers as far as the segment goes. The sequence numbers wrap: only their differences are looked at. */
static uint64_t read_headers(struct records_flow *flow, const struct segment *s)
{
    uint64_t found = 0;

    for (;;) {
        uint32_t at = flow->next + flow->have - s->sequence;    /* where the next byte of the header is in the payload */

        if (at >= s->size)
            return found;
        flow->head[flow->have++] = s->payload[at];
        if (flow->have == RECORD_TYPE_SIZE) {
            unsigned type = (unsigned)(flow->head[0] | flow->head[1] << 8);

            found |= type < RECORD_TYPES ? UINT64_C(1) << type : 0;
        }
        if (flow->have == RECORDS_HEAD) {
            if (le32(flow->head + RECORD_LENGTH) > INT32_MAX) {
                flow->used = 0; /* it leads back: no record is that long, and no more can be said of this stream */
                return found;
            }
            flow->next += RECORDS_HEADER + le32(flow->head + RECORD_LENGTH);
            flow->have = 0;
        }
    }
}

uint64_t records_in(struct records *records, const uint8_t *frame, size_t length)
{
    struct records_flow *flow;
    struct segment s;

    if (!parse(frame, length, &s) || (!follows(records, s.from_port) && !follows(records, s.to_port)))
        return 0;
    flow = find(records, &s);
    if (!flow)
        return 0;
    flow->used = ++records->clock;
    if (s.syn) {
        flow->next = s.sequence + 1;
        flow->have = 0;
        return 0;
    }
    return read_headers(flow, &s);
}
