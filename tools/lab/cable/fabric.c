/* fabric.c: a heap of what is going to happen, in the order of times and, at one time, of causes. */
#include "tools/lab/cable/fabric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MILLION = 1000000, NS_PER_S = 1000000000, MAC_SIZE = 6, GROUP_BIT = 1,
    WIRE_OVERHEAD = 24, /* bytes: preamble, check sequence, gap between frames (IEEE 802.3, clause 4) */
};

struct port {
    unsigned segment;
    bool plugged, ahead;
    uint64_t up_free, down_free; /* when its link to and from the switch is free again */
    uint64_t random, number;
    struct fabric_counts counts;
};

struct station {
    uint8_t mac[MAC_SIZE];
    unsigned port, segment;
};

/* A frame comes out of its sender's link (arrived = false), or to a port. */
struct event {
    uint64_t when, order;
    unsigned port;
    bool arrival;
    struct frame *frame;
};

struct fabric {
    struct fabric_calls calls;
    struct records records;
    unsigned segment_count, port_count, station_count, fault_count;
    struct link_profile segments[FABRIC_SEGMENTS];
    struct port ports[FABRIC_PORTS];
    struct station stations[FABRIC_STATIONS];
    struct fault faults[FABRIC_FAULTS];
    uint64_t seed, order;
    struct event *heap;
    size_t heap_size, heap_room;
};

void frame_release(struct frame *frame)
{
    if (--frame->users == 0)
        free(frame);
}

/* ---- chance ----------------------------------------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15;

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

/* Asks the generator only where something may happen, so that one chance does not shift the others of a profile without it. */
static bool happens(struct port *port, uint32_t of_a_million)
{
    return of_a_million && random_next(&port->random) % MILLION < of_a_million;
}

/* ---- what is going to happen -------------------------------------------------------------------------------------------- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
    struct event c = *a;

    *a = *b;
    *b = c;
}

/* Takes over one use of the frame; without memory the frame is lost. */
static bool plan(struct fabric *fabric, struct event event)
{
    size_t at = fabric->heap_size;

    if (at == fabric->heap_room) {
        size_t room = at ? 2 * at : 256;
        struct event *heap = realloc(fabric->heap, room * sizeof(*heap));

        if (!heap) {
            frame_release(event.frame);
            return false;
        }
        fabric->heap = heap;
        fabric->heap_room = room;
    }
    event.order = fabric->order++;
    fabric->heap[fabric->heap_size++] = event;
    for (; at > 0 && earlier(&fabric->heap[at], &fabric->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&fabric->heap[at], &fabric->heap[(at - 1) / 2]);
    return true;
}

static struct event take_first(struct fabric *fabric)
{
    struct event *heap = fabric->heap, first = heap[0];
    size_t at = 0, size = --fabric->heap_size;

    heap[0] = heap[size];
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= size)
            return first;
        if (child + 1 < size && earlier(&heap[child + 1], &heap[child]))
            child++;
        if (!earlier(&heap[child], &heap[at]))
            return first;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

/* ---- the parts ---------------------------------------------------------------------------------------------------------- */

struct fabric *fabric_open(uint64_t seed, const struct fabric_calls *calls, uint16_t first_record_port, uint16_t last_record_port)
{
    struct fabric *fabric = calloc(1, sizeof(*fabric));

    if (!fabric)
        return NULL;
    fabric->seed = seed;
    fabric->calls = *calls;
    records_init(&fabric->records, first_record_port, last_record_port);
    return fabric;
}

void fabric_close(struct fabric *fabric)
{
    while (fabric->heap_size > 0)
        frame_release(fabric->heap[--fabric->heap_size].frame);
    free(fabric->heap);
    free(fabric);
}

int fabric_add_segment(struct fabric *fabric, const struct link_profile *profile)
{
    if (fabric->segment_count == FABRIC_SEGMENTS || !profile->bits_per_s || !profile->latency_ns || !profile->frame_max ||
        profile->frame_max > FABRIC_FRAME_MAX)
        return -1;
    fabric->segments[fabric->segment_count] = *profile;
    return (int)fabric->segment_count++;
}

int fabric_add_port(struct fabric *fabric, unsigned segment, bool ahead)
{
    struct port *port = &fabric->ports[fabric->port_count];

    if (fabric->port_count == FABRIC_PORTS || segment >= fabric->segment_count)
        return -1;
    /* Mixed, so that one port's chances are not another's with the next seed. */
    *port = (struct port){.segment = segment, .plugged = true, .ahead = ahead,
                          .random = random_next(&(uint64_t){fabric->seed}) + fabric->port_count};
    return (int)fabric->port_count++;
}

void fabric_unplug(struct fabric *fabric, unsigned port)
{
    fabric->ports[port].plugged = false;
}

static bool is_port(const struct fabric *fabric, int32_t port, int32_t segment)
{
    return port == FAULT_ANY ||
           (port >= 0 && (uint32_t)port < fabric->port_count && fabric->ports[port].segment == (uint32_t)segment);
}

int fabric_add_fault(struct fabric *fabric, const struct fault *fault)
{
    if (fabric->fault_count == FABRIC_FAULTS || fault->segment < 0 || (uint32_t)fault->segment >= fabric->segment_count ||
        !is_port(fabric, fault->from, fault->segment) || !is_port(fabric, fault->to, fault->segment) ||
        fault->action > FAULT_CUT || fault->trigger > FAULT_AT_RECORD || (fault->trigger == FAULT_AT_RECORD && fault->value >= 64))
        return -1;
    fabric->faults[fabric->fault_count++] = *fault;
    return 0;
}

const struct fault *fabric_fault(const struct fabric *fabric, unsigned index)
{
    return index < fabric->fault_count ? &fabric->faults[index] : NULL;
}

const struct fabric_counts *fabric_counts(const struct fabric *fabric, unsigned port)
{
    return &fabric->ports[port].counts;
}

uint64_t fabric_latency(const struct fabric *fabric)
{
    unsigned on[FABRIC_SEGMENTS] = {0};
    uint64_t shortest = UINT64_MAX;

    for (unsigned i = 0; i < fabric->port_count; i++) {
        const struct port *port = &fabric->ports[i];
        uint64_t latency = fabric->segments[port->segment].latency_ns;

        if (port->plugged && ++on[port->segment] > 1 && latency < shortest)
            shortest = latency;
    }
    return shortest;
}

/* ---- links ---------------------------------------------------------------------------------------------------------------- */

static uint64_t wire_ns(const struct link_profile *profile, uint32_t length)
{
    return ((uint64_t)length + WIRE_OVERHEAD) * 8 * NS_PER_S / profile->bits_per_s;
}

/* Whether one more finds room behind those that wait for a link, which is free at `free_at`. */
static bool queue_has_room(const struct link_profile *profile, uint64_t when, uint64_t free_at, uint32_t length)
{
    uint64_t waiting = free_at > when ? (uint64_t)((__uint128_t)(free_at - when) * profile->bits_per_s / 8 / NS_PER_S) : 0;

    return waiting + length <= profile->queue_bytes;
}

static void tell(struct fabric *fabric, uint64_t when, const struct frame *frame, const char *done)
{
    if (fabric->calls.seen)
        fabric->calls.seen(fabric->calls.context, when, frame, done);
}

bool fabric_send(struct fabric *fabric, unsigned number, uint64_t when, const uint8_t *bytes, uint32_t length)
{
    struct port *port = &fabric->ports[number];
    const struct link_profile *profile = &fabric->segments[port->segment];
    struct frame *frame = malloc(sizeof(*frame));

    if (!frame)
        return false;
    *frame = (struct frame){.users = 1, .length = length < FABRIC_FRAME_MAX ? length : FABRIC_FRAME_MAX, .port = number,
                            .number = ++port->number, .sent_ns = when};
    memcpy(frame->bytes, bytes, frame->length);
    frame->records = records_in(&fabric->records, frame->bytes, frame->length);
    port->counts.sent++;
    if (length > profile->frame_max) {
        port->counts.oversize++;
        tell(fabric, when, frame, "lost: larger than the link carries");
        frame_release(frame);
        return true;
    }
    if (!queue_has_room(profile, when, port->up_free, length)) {
        port->counts.queue_full++;
        tell(fabric, when, frame, "lost: the sender's queue is full");
        frame_release(frame);
        return true;
    }
    if (port->up_free < when)
        port->up_free = when;
    port->up_free += wire_ns(profile, length);
    return plan(fabric, (struct event){.when = port->up_free, .port = number, .frame = frame});
}

/* ---- faults --------------------------------------------------------------------------------------------------------------- */

static bool is_between(const struct fault *fault, int32_t from, int32_t to)
{
    return (fault->from == FAULT_ANY || fault->from == from) && (fault->to == FAULT_ANY || fault->to == to);
}

static bool has_begun(struct fault *fault, uint64_t when, const struct frame *frame)
{
    if (fault->done)
        return true;
    fault->seen++;
    switch (fault->trigger) {
    case FAULT_AT_FRAME:
        return fault->seen >= fault->value;
    case FAULT_AT_TIME:
        return when >= fault->value;
    default:
        return frame->records >> fault->value & 1;
    }
}

/* Whether it is done to this frame. */
static bool strikes(struct fault *fault, uint64_t when, const struct frame *frame, int32_t to)
{
    int32_t from = (int32_t)frame->port;

    if (!is_between(fault, from, to) && !(fault->both && is_between(fault, to, from)))
        return false;
    if (!has_begun(fault, when, frame))
        return false;
    if (!fault->done)
        fault->since = fault->trigger == FAULT_AT_TIME ? fault->value : when;
    if (fault->action == FAULT_CUT ? fault->ns && when - fault->since >= fault->ns : fault->done >= fault->frames)
        return false;
    fault->done++;
    return true;
}

/* ---- the switch ----------------------------------------------------------------------------------------------------------- */

/* What becomes of a frame on its way to one port. */
struct fate {
    bool lost;
    unsigned copies;
    uint64_t late_ns;
    bool corrupt;
    const char *why;
};

static void fate_by_chance(const struct link_profile *profile, struct port *port, struct fate *fate)
{
    if (happens(port, profile->loss)) {
        *fate = (struct fate){.lost = true, .why = "lost by chance"};
        port->counts.lost++;
        return;
    }
    if (happens(port, profile->duplication)) {
        fate->copies++;
        fate->why = "duplicated by chance";
        port->counts.duplicated++;
    }
    if (happens(port, profile->reordering)) {
        fate->late_ns = profile->reorder_ns;
        fate->why = "reordered by chance";
        port->counts.reordered++;
    }
    if (happens(port, profile->corruption)) {
        fate->corrupt = true;
        fate->why = "corrupted by chance";
        port->counts.corrupted++;
    }
}

static void fate_by_script(struct fabric *fabric, uint64_t when, const struct frame *frame, unsigned to, struct fate *fate)
{
    struct port *port = &fabric->ports[to];

    for (unsigned i = 0; i < fabric->fault_count; i++) {
        struct fault *fault = &fabric->faults[i];

        if ((uint32_t)fault->segment != port->segment || !strikes(fault, when, frame, (int32_t)to))
            continue;
        port->counts.faulted++;
        switch (fault->action) {
        case FAULT_DUPLICATE:
            fate->copies++;
            fate->why = "fault: duplicated";
            break;
        case FAULT_DELAY:
            fate->late_ns += fault->ns;
            fate->why = "fault: delayed";
            break;
        case FAULT_CORRUPT:
            fate->corrupt = true;
            fate->why = "fault: corrupted";
            break;
        default:
            fate->lost = true;
            fate->why = fault->action == FAULT_CUT ? "fault: cut" : "fault: dropped";
            break;
        }
    }
}

/* A copy with one bit of its payload turned over, as a check sequence would not have let it pass. */
static struct frame *corrupted(struct port *port, const struct frame *frame)
{
    struct frame *copy = malloc(sizeof(*copy));
    uint32_t head = 2 * MAC_SIZE, bits = (frame->length > head ? frame->length - head : 0) * 8;
    uint32_t bit = bits ? (uint32_t)(random_next(&port->random) % bits) : 0;

    if (!copy)
        return NULL;
    *copy = *frame;
    copy->users = 1;
    if (bits)
        copy->bytes[head + bit / 8] ^= (uint8_t)(1u << bit % 8);
    return copy;
}

static void arrive(struct fabric *fabric, unsigned to, uint64_t when, struct frame *frame)
{
    fabric->ports[to].counts.received++;
    fabric->calls.deliver(fabric->calls.context, to, when, frame);
}

/* Through the receiver's queue and link, which is busy for the frame's time, but done no earlier than the sender's is. */
static bool pass_down(struct fabric *fabric, uint64_t when, struct frame *frame, unsigned to, uint64_t late_ns)
{
    struct port *port = &fabric->ports[to];
    const struct link_profile *profile = &fabric->segments[port->segment];
    uint64_t end = port->down_free + wire_ns(profile, frame->length), arrival;

    if (!queue_has_room(profile, when, port->down_free, frame->length)) {
        port->counts.queue_full++;
        return false;
    }
    port->down_free = end > when ? end : when;
    arrival = port->down_free + profile->latency_ns + late_ns;
    if (port->ahead) {
        arrive(fabric, to, arrival, frame);
        return true;
    }
    frame->users++;
    return plan(fabric, (struct event){.when = arrival, .port = to, .arrival = true, .frame = frame});
}

static void switch_to(struct fabric *fabric, uint64_t when, struct frame *frame, unsigned to, char why[FABRIC_WHY])
{
    struct port *port = &fabric->ports[to];
    struct fate fate = {.copies = 1, .why = ""};
    struct frame *carried = frame;

    fate_by_chance(&fabric->segments[port->segment], port, &fate);
    fate_by_script(fabric, when, frame, to, &fate);
    if (fate.why[0])
        snprintf(why, FABRIC_WHY, "%s, to port %u", fate.why, to);
    if (fate.lost)
        return;
    if (fate.corrupt) {
        carried = corrupted(port, frame);
        if (!carried)
            return;
    }
    for (unsigned copy = 0; copy < fate.copies; copy++) {
        if (!pass_down(fabric, when, carried, to, fate.late_ns))
            snprintf(why, FABRIC_WHY, "lost: the queue to port %u is full", to);
    }
    if (carried != frame)
        frame_release(carried);
}

/* Where this address was seen last, or -1. */
static int port_of(const struct fabric *fabric, unsigned segment, const uint8_t *mac)
{
    for (unsigned i = 0; i < fabric->station_count; i++) {
        const struct station *station = &fabric->stations[i];

        if (station->segment == segment && !memcmp(station->mac, mac, MAC_SIZE))
            return (int)station->port;
    }
    return -1;
}

static void learn(struct fabric *fabric, unsigned segment, const uint8_t *mac, unsigned port)
{
    if (mac[0] & GROUP_BIT)
        return;
    for (unsigned i = 0; i < fabric->station_count; i++) {
        struct station *station = &fabric->stations[i];

        if (station->segment == segment && !memcmp(station->mac, mac, MAC_SIZE)) {
            station->port = port;
            return;
        }
    }
    if (fabric->station_count == FABRIC_STATIONS)
        return; /* its frames go to all, as in a switch whose table is full */
    fabric->stations[fabric->station_count] = (struct station){.port = port, .segment = segment};
    memcpy(fabric->stations[fabric->station_count++].mac, mac, MAC_SIZE);
}

static void switch_frame(struct fabric *fabric, uint64_t when, struct frame *frame)
{
    unsigned from = frame->port, segment = fabric->ports[from].segment;
    int known = frame->bytes[0] & GROUP_BIT ? -1 : port_of(fabric, segment, frame->bytes);
    char why[FABRIC_WHY] = "";

    learn(fabric, segment, frame->bytes + MAC_SIZE, from);
    for (unsigned to = 0; to < fabric->port_count; to++) {
        if (to != from && fabric->ports[to].segment == segment && fabric->ports[to].plugged && (known < 0 || known == (int)to))
            switch_to(fabric, when, frame, to, why);
    }
    tell(fabric, when, frame, why);
}

uint64_t fabric_next(const struct fabric *fabric)
{
    return fabric->heap_size ? fabric->heap[0].when : UINT64_MAX;
}

void fabric_run(struct fabric *fabric, uint64_t time)
{
    while (fabric_next(fabric) < time) {
        struct event event = take_first(fabric);
        struct port *port = &fabric->ports[event.port];

        if (!event.arrival) {
            switch_frame(fabric, event.when, event.frame);
        } else if (port->plugged) {
            arrive(fabric, event.port, event.when, event.frame);
        }
        frame_release(event.frame);
    }
}
