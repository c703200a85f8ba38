/* tools/lab/cable/fabric.c: when a frame arrives, at whom, what chance and a script do to it, and that it is the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tools/lab/cable/fabric.h"

enum { PORTS = 5, LOG = 4096, LATENCY = 10000, MS = 1000000, RECORD_PORT = 7000, RECORD = 5, ALL = 0xff, LENGTH = 100 };

/* At 1 Gbit/s a byte takes 8 ns, and every frame has 24 more than its own. */
#define WIRE(length) (((length) + 24) * 8ULL)

struct arrival {
    unsigned port, from, length;
    uint64_t when, number, sent;
    bool whole; /* not corrupted */
};

struct net {
    struct fabric *fabric;
    struct arrival arrivals[LOG];
    unsigned count, seen_count;
    uint64_t seen_when;
    char seen[FABRIC_WHY];
    bool answers; /* port 1 sends back what it gets */
};

static struct net net;
static const struct link_profile plain = {.bits_per_s = 1000000000, .latency_ns = LATENCY, .queue_bytes = 1 << 20,
                                          .frame_max = 1514};

/* The payload of every frame is 0xA5, so that one flipped bit is found; a frame with a record is not looked at. */
static bool is_whole(const struct frame *frame)
{
    for (uint32_t i = 14; i < frame->length; i++) {
        if (frame->bytes[i] != 0xA5)
            return frame->records != 0;
    }
    return true;
}

static void send(unsigned from, uint8_t to, uint64_t when, uint32_t length)
{
    uint8_t bytes[2000] = {2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, (uint8_t)from, 0x88, 0xB5};

    if (to == ALL)
        memset(bytes, 0xff, 6);
    memset(bytes + 14, 0xA5, sizeof(bytes) - 14);
    assert_true(fabric_send(net.fabric, from, when, bytes, length));
}

static void deliver(void *context, unsigned port, uint64_t when, struct frame *frame)
{
    struct net *n = context;

    assert_true(n->count < LOG);
    n->arrivals[n->count++] = (struct arrival){.port = port, .from = frame->port, .length = frame->length, .when = when,
                                               .number = frame->number, .sent = frame->sent_ns, .whole = is_whole(frame)};
    if (n->answers && port == 1)
        send(1, (uint8_t)frame->port, when, LENGTH);
}

static void seen(void *context, uint64_t when, const struct frame *frame, const char *done)
{
    struct net *n = context;

    (void)frame;
    assert_true(when >= n->seen_when);
    n->seen_when = when;
    n->seen_count++;
    strcpy(n->seen, done);
}

static void open_net(uint64_t seed, const struct link_profile *profile, unsigned ports)
{
    struct fabric_calls calls = {.deliver = deliver, .seen = seen, .context = &net};

    net = (struct net){.fabric = fabric_open(seed, &calls, RECORD_PORT, RECORD_PORT + 1)};
    assert_non_null(net.fabric);
    assert_int_equal(fabric_add_segment(net.fabric, profile), 0);
    for (unsigned i = 0; i < ports; i++)
        assert_int_equal(fabric_add_port(net.fabric, 0, false), i);
}

static int setup(void **state)
{
    (void)state;
    open_net(1, &plain, PORTS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fabric_close(net.fabric);
    return 0;
}

static void reopen(uint64_t seed, const struct link_profile *profile, unsigned ports)
{
    fabric_close(net.fabric);
    open_net(seed, profile, ports);
}

static void run(void)
{
    fabric_run(net.fabric, UINT64_MAX);
    assert_true(fabric_next(net.fabric) == UINT64_MAX);
}

static void arrived(unsigned index, unsigned port, uint64_t when)
{
    assert_true(index < net.count);
    assert_int_equal(net.arrivals[index].port, port);
    assert_int_equal(net.arrivals[index].when, when);
}

/* ---- instants and addresses ------------------------------------------------------------------------------------------- */

/* Cut through: the link's time counts once, though there are two links. */
static void a_frame_arrives_at_its_instant(void **state)
{
    struct link_profile slow = plain;

    (void)state;
    send(0, 1, 5000, 60);
    assert_int_equal(fabric_next(net.fabric), 5000 + WIRE(60));
    run();
    arrived(0, 1, 5000 + WIRE(60) + LATENCY);
    assert_int_equal(net.arrivals[0].length, 60);
    assert_int_equal(net.arrivals[0].sent, 5000);
    assert_int_equal(net.arrivals[0].number, 1);
    assert_string_equal(net.seen, "");

    slow.bits_per_s = 100000000;
    slow.latency_ns = 3;
    reopen(1, &slow, 2);
    send(0, 1, 0, 1514);
    run();
    assert_int_equal(net.count, 1);
    arrived(0, 1, 1538 * 80 + 3);
}

static void a_run_ends_before_its_time(void **state)
{
    uint64_t when = WIRE(60) + LATENCY;

    (void)state;
    send(0, 1, 0, 60);
    fabric_run(net.fabric, WIRE(60));
    assert_int_equal(net.seen_count, 0);
    fabric_run(net.fabric, when);
    assert_int_equal(net.seen_count, 1);
    assert_int_equal(net.count, 0);
    assert_int_equal(fabric_next(net.fabric), when);
    fabric_run(net.fabric, when + 1);
    assert_int_equal(net.count, PORTS - 1);
}

static void a_sender_waits_for_its_link(void **state)
{
    (void)state;
    reopen(1, &plain, 2);
    send(0, 1, 0, 1000);
    send(0, 1, 10, 60);
    run();
    arrived(0, 1, WIRE(1000) + LATENCY);
    arrived(1, 1, WIRE(1000) + WIRE(60) + LATENCY);
}

static void unknown_goes_to_all_and_known_to_one(void **state)
{
    (void)state;
    send(0, 1, 0, 60);
    run();
    assert_int_equal(net.count, PORTS - 1);
    for (unsigned i = 0; i < PORTS - 1; i++)
        arrived(i, i + 1, WIRE(60) + LATENCY);
    net.count = 0;
    send(1, 0, MS, 60);
    run();
    assert_int_equal(net.count, 1);
    arrived(0, 0, MS + WIRE(60) + LATENCY);
    net.count = 0;
    send(1, ALL, 2 * MS, 60);
    run();
    assert_int_equal(net.count, PORTS - 1);
    net.count = 0;
    send(2, 2, 3 * MS, 60); /* to itself, first unknown, then known */
    send(2, 2, 4 * MS, 60);
    run();
    assert_int_equal(net.count, PORTS - 1);
}

static void a_station_that_moves_is_found(void **state)
{
    uint8_t gratuitous[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};

    (void)state;
    send(1, ALL, 0, 60);
    assert_true(fabric_send(net.fabric, 3, MS, gratuitous, sizeof(gratuitous)));
    run();
    net.count = 0;
    send(0, 1, 2 * MS, 60);
    run();
    assert_int_equal(net.count, 1);
    assert_int_equal(net.arrivals[0].port, 3);
}

static void segments_are_apart(void **state)
{
    struct link_profile near = plain;

    (void)state;
    near.latency_ns = 7;
    assert_int_equal(fabric_latency(net.fabric), LATENCY);
    assert_int_equal(fabric_add_segment(net.fabric, &near), 1);
    assert_int_equal(fabric_add_port(net.fabric, 1, false), PORTS);
    assert_int_equal(fabric_latency(net.fabric), LATENCY);  /* one port has nobody to talk to */
    assert_int_equal(fabric_add_port(net.fabric, 1, false), PORTS + 1);
    assert_int_equal(fabric_latency(net.fabric), 7);
    send(PORTS, ALL, 0, 60);
    run();
    assert_int_equal(net.count, 1);
    arrived(0, PORTS + 1, WIRE(60) + 7);
    net.count = 0;
    send(0, PORTS, MS, 60); /* its address is known over there only */
    run();
    assert_int_equal(net.count, PORTS - 1);
    fabric_unplug(net.fabric, PORTS);
    assert_int_equal(fabric_latency(net.fabric), LATENCY);
    for (unsigned i = 1; i < PORTS; i++)
        fabric_unplug(net.fabric, i);
    assert_true(fabric_latency(net.fabric) == UINT64_MAX);
}

static void the_unplugged_gets_nothing(void **state)
{
    (void)state;
    reopen(1, &plain, 3);
    send(0, ALL, 0, 60);
    fabric_run(net.fabric, WIRE(60) + 1);   /* switched, and on its way */
    fabric_unplug(net.fabric, 1);
    send(0, ALL, MS, 60);
    run();
    assert_int_equal(net.count, 2);
    arrived(0, 2, WIRE(60) + LATENCY);
    arrived(1, 2, MS + WIRE(60) + LATENCY);
    assert_int_equal(fabric_counts(net.fabric, 1)->received, 0);
}

static void a_short_frame_does_no_harm(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 20; length++)
        send(0, ALL, length * MS, length);
    run();
    assert_true(net.count > 0);
}

/* ---- contention ------------------------------------------------------------------------------------------------------- */

static void receivers_take_turns(void **state)
{
    (void)state;
    send(0, ALL, 0, 60);
    run();
    net.count = 0;
    send(1, 0, MS, 1000);
    send(2, 0, MS, 60);
    send(3, 0, MS, 1000);
    run();
    assert_int_equal(net.count, 3);     /* the short one is the first out of its sender's link */
    arrived(0, 0, MS + WIRE(60) + LATENCY);
    arrived(1, 0, MS + WIRE(60) + WIRE(1000) + LATENCY);
    arrived(2, 0, MS + WIRE(60) + 2 * WIRE(1000) + LATENCY);
    assert_int_equal(net.arrivals[1].from, 1);
    assert_int_equal(net.arrivals[2].from, 3);
}

static void equal_times_are_in_the_order_of_causes(void **state)
{
    static const unsigned order[] = {3, 1, 4, 2};

    (void)state;
    send(0, ALL, 0, 60);
    run();
    net.count = 0;
    for (unsigned i = 0; i < 4; i++)
        send(order[i], 0, MS, 60);
    run();
    assert_int_equal(net.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        arrived(i, 0, MS + (i + 1) * WIRE(60) + LATENCY);
        assert_int_equal(net.arrivals[i].from, order[i]);
    }
}

static void many_come_out_in_order(void **state)
{
    uint64_t last = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        send(i % PORTS, (uint8_t)(i * 7 % PORTS), i * 37 % 1000 * 10, 60 + i * 13 % 1400);
    run();
    assert_true(net.count > 500);
    for (unsigned i = 0; i < net.count; i++) {
        assert_true(net.arrivals[i].when >= last);
        last = net.arrivals[i].when;
        assert_true(last >= net.arrivals[i].sent + LATENCY);
    }
}

static void a_delivery_may_send(void **state)
{
    (void)state;
    net.answers = true;
    send(0, 1, 0, LENGTH);
    run();
    arrived(net.count - 1, 0, 2 * (WIRE(LENGTH) + LATENCY));
}

/* Of 3000 bytes, the third frame of 1000 finds 2 * 1024 taken. Room comes with time. */
static void a_full_queue_loses(void **state)
{
    struct link_profile tight = plain;

    (void)state;
    tight.queue_bytes = 3000;
    reopen(1, &tight, 2);
    send(0, 1, 0, 1000);
    send(0, 1, 0, 1000);
    send(0, 1, 0, 1000);
    assert_string_equal(net.seen, "lost: the sender's queue is full");
    send(0, 1, 48 * 8, 1000);
    run();
    assert_int_equal(net.count, 3);
    assert_int_equal(net.arrivals[2].number, 4);
    assert_int_equal(fabric_counts(net.fabric, 0)->sent, 4);
    assert_int_equal(fabric_counts(net.fabric, 0)->queue_full, 1);
    assert_int_equal(fabric_counts(net.fabric, 1)->received, 3);

    reopen(1, &tight, PORTS);
    send(0, ALL, 0, 60);
    run();
    net.count = 0;
    for (unsigned i = 1; i < PORTS; i++)
        send(i, 0, MS, 1000);
    run();
    assert_int_equal(net.count, 3);
    assert_string_equal(net.seen, "lost: the queue to port 0 is full");
    assert_int_equal(fabric_counts(net.fabric, 0)->queue_full, 1);
}

static void the_oversize_is_lost(void **state)
{
    (void)state;
    send(0, 1, 0, 1515);
    assert_string_equal(net.seen, "lost: larger than the link carries");
    send(0, 1, 0, 2000);
    send(0, 1, 0, 1514);
    run();
    assert_int_equal(net.count, PORTS - 1);
    arrived(0, 1, WIRE(1514) + LATENCY);    /* they took no time */
    assert_int_equal(fabric_counts(net.fabric, 0)->oversize, 2);
}

/* ---- a participant who runs ahead -------------------------------------------------------------------------------------- */

static void ahead_is_told_at_once(void **state)
{
    struct fault late = {.action = FAULT_DELAY, .trigger = FAULT_AT_FRAME, .value = 2, .from = 0, .to = 2, .frames = 1, .ns = 700};

    (void)state;
    reopen(1, &plain, 2);
    assert_int_equal(fabric_add_port(net.fabric, 0, true), 2);
    assert_int_equal(fabric_add_fault(net.fabric, &late), 0);
    send(0, ALL, 0, 60);
    fabric_run(net.fabric, WIRE(60) + 1);   /* as soon as it is switched */
    assert_int_equal(net.count, 1);
    arrived(0, 2, WIRE(60) + LATENCY);
    run();
    assert_int_equal(net.count, 2);
    arrived(1, 1, WIRE(60) + LATENCY);
    net.count = 0;
    for (unsigned i = 0; i < 100; i++)
        send(i % 2, ALL, MS + i * 100, 60 + i);
    run();
    for (unsigned i = 0, second = 0; i < net.count; i++) {
        const struct arrival *a = &net.arrivals[i];

        assert_true(a->when >= a->sent + LATENCY);
        if (a->port == 2 && a->from == 0 && !second++)
            assert_int_equal(a->when, MS + WIRE(60) + LATENCY + 700);
    }
}

/* ---- chance ------------------------------------------------------------------------------------------------------------- */

/* Which of the first 64 frames of port 2 reach this port. */
static uint64_t reached(uint64_t seed, unsigned port)
{
    struct link_profile lossy = plain;
    uint64_t which = 0;

    lossy.loss = 500000;
    reopen(seed, &lossy, 3);
    for (unsigned i = 0; i < 64; i++)
        send(2, ALL, i * (uint64_t)MS, 60);
    run();
    for (unsigned i = 0; i < net.count; i++) {
        if (net.arrivals[i].port == port)
            which |= 1ULL << (net.arrivals[i].number - 1);
    }
    return which;
}

static void chance_is_the_seeds(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_true(reached(seed, 0) == reached(seed, 0));
        assert_true(reached(seed, 0) != reached(seed + 1, 0));
        assert_true(reached(seed, 0) != reached(seed, 1));
        assert_true(reached(seed, 1) != reached(seed + 1, 0)); /* nor is it another port's of the next seed */
    }
}

static void chances_come_true(void **state)
{
    struct link_profile bad = plain;
    const struct fabric_counts *c;
    unsigned corrupt = 0, late = 0;

    (void)state;
    bad.loss = 300000;
    bad.duplication = 200000;
    bad.reordering = 100000;
    bad.corruption = 50000;
    bad.reorder_ns = 5 * MS;
    reopen(7, &bad, 2);
    for (unsigned i = 0; i < 2000; i++)
        send(0, 1, i * (uint64_t)MS, 60);
    run();
    c = fabric_counts(net.fabric, 1);
    assert_in_range(c->lost, 500, 700);
    assert_in_range(c->duplicated, 200, 360);
    assert_in_range(c->reordered, 90, 190);
    assert_in_range(c->corrupted, 40, 100);
    assert_int_equal(c->received, 2000 - c->lost + c->duplicated);
    assert_int_equal(net.count, c->received);
    for (unsigned i = 0; i < net.count; i++) {
        corrupt += !net.arrivals[i].whole;
        late += net.arrivals[i].when - net.arrivals[i].sent > MS;
    }
    assert_true(corrupt >= c->corrupted);
    assert_true(late >= c->reordered);
}

static void certainty_is_certain(void **state)
{
    struct link_profile none = plain;

    (void)state;
    none.loss = 1000000;
    reopen(1, &none, 2);
    for (unsigned i = 0; i < 100; i++)
        send(0, 1, i * (uint64_t)MS, 60);
    run();
    assert_int_equal(net.count, 0);
    assert_string_equal(net.seen, "lost by chance, to port 1");
}

/* ---- faults --------------------------------------------------------------------------------------------------------------- */

static char pattern[65];

/* What has become of the frames from one port to another: as ever, lost (x), twice (2), late (l), corrupted (c). */
static const char *became(unsigned from, unsigned to, unsigned frames)
{
    memset(pattern, 'x', frames);
    pattern[frames] = 0;
    for (unsigned i = 0; i < net.count; i++) {
        const struct arrival *a = &net.arrivals[i];
        char *at = &pattern[a->number - 1];

        if (a->port != to || a->from != from)
            continue;
        *at = *at != 'x' ? '2' : !a->whole ? 'c' : a->when != a->sent + WIRE(LENGTH) + LATENCY ? 'l' : '.';
    }
    return pattern;
}

/* Eight frames each way, one every ms; those of port 0 come out of its link at WIRE(LENGTH) after it. */
static void exchange(struct fault fault)
{
    reopen(1, &plain, 3);
    assert_int_equal(fabric_add_fault(net.fabric, &fault), 0);
    for (unsigned i = 0; i < 8; i++) {
        send(0, ALL, i * (uint64_t)MS, LENGTH);
        send(1, ALL, i * (uint64_t)MS + MS / 2, LENGTH);
    }
    run();
    assert_string_equal(became(0, 2, 8), "........"); /* nobody else has a part in it */
    assert_string_equal(became(1, 2, 8), "........");
}

static void each_action_by_frame_number(void **state)
{
    static const struct {
        uint32_t action;
        const char *becomes, *why;
    } cases[] = {
        {FAULT_DROP, "..xx....", "fault: dropped, to port 1"}, {FAULT_DUPLICATE, "..22....", "fault: duplicated, to port 1"},
        {FAULT_DELAY, "..ll....", "fault: delayed, to port 1"}, {FAULT_CORRUPT, "..cc....", "fault: corrupted, to port 1"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fault fault = {.action = cases[i].action, .value = 3, .from = 0, .to = 1, .frames = 2, .ns = 123};

        exchange(fault);
        assert_string_equal(became(0, 1, 8), cases[i].becomes);
        assert_string_equal(became(1, 0, 8), "........");
        assert_int_equal(fabric_counts(net.fabric, 1)->faulted, 2);
        assert_int_equal(fabric_fault(net.fabric, 0)->done, 2);
        assert_null(fabric_fault(net.fabric, 1));

        fault.value = 1;
        fault.frames = 1;
        reopen(1, &plain, 2);
        fabric_add_fault(net.fabric, &fault);
        send(0, 1, 0, LENGTH);
        run();
        assert_string_equal(net.seen, cases[i].why);
        if (fault.action == FAULT_DELAY)
            arrived(0, 1, WIRE(LENGTH) + LATENCY + 123);
        if (fault.action == FAULT_DUPLICATE)
            arrived(1, 1, 2 * WIRE(LENGTH) + LATENCY);
    }
}

/* The time that counts is when a frame is switched. */
static void by_time(void **state)
{
    struct fault fault = {.action = FAULT_DROP, .trigger = FAULT_AT_TIME, .value = 4 * MS + WIRE(LENGTH), .from = 0, .to = 1,
                          .frames = 1};

    (void)state;
    exchange(fault);
    assert_string_equal(became(0, 1, 8), "....x...");
    fault.value++;
    exchange(fault);
    assert_string_equal(became(0, 1, 8), ".....x..");
    fault.frames = 0;
    exchange(fault);
    assert_string_equal(became(0, 1, 8), "........");
}

static void directions(void **state)
{
    struct fault fault = {.action = FAULT_DROP, .value = 2, .from = 1, .to = 0, .frames = 3};

    (void)state;
    exchange(fault);
    assert_string_equal(became(0, 1, 8), "........");
    assert_string_equal(became(1, 0, 8), ".xxx....");
    fault.both = 1;     /* one count for both; port 0 was first */
    exchange(fault);
    assert_string_equal(became(0, 1, 8), ".x......");
    assert_string_equal(became(1, 0, 8), "xx......");
}

static void any_port(void **state)
{
    struct fault fault = {.action = FAULT_DROP, .value = 1, .from = FAULT_ANY, .to = FAULT_ANY, .frames = 3};

    (void)state;
    reopen(1, &plain, 3);
    assert_int_equal(fabric_add_fault(net.fabric, &fault), 0);
    send(0, ALL, 0, LENGTH);
    send(1, ALL, MS, LENGTH);
    run();
    assert_int_equal(net.count, 1);     /* each of a frame's receivers counts */
    assert_int_equal(net.arrivals[0].from, 1);
    assert_int_equal(net.arrivals[0].port, 2);
}

static void cuts(void **state)
{
    struct fault cut = {.action = FAULT_CUT, .value = 3, .from = 0, .to = 1, .ns = 2 * MS};

    (void)state;
    exchange(cut);      /* it ends with its time, not with a count */
    assert_string_equal(became(0, 1, 8), "..xx....");
    assert_string_equal(became(1, 0, 8), "........");
    cut.ns++;
    exchange(cut);
    assert_string_equal(became(0, 1, 8), "..xxx...");
    cut.ns = 0;
    cut.both = 1;
    exchange(cut);
    assert_string_equal(became(0, 1, 8), ".xxxxxxx");
    assert_string_equal(became(1, 0, 8), ".xxxxxxx");
    cut.ns = UINT64_MAX;
    exchange(cut);
    assert_string_equal(became(0, 1, 8), ".xxxxxxx");
    cut = (struct fault){.action = FAULT_CUT, .trigger = FAULT_AT_TIME, .value = MS / 2, .from = 0, .to = 1, .ns = 2 * MS};
    exchange(cut);      /* from its time on, not from the first frame after it */
    assert_string_equal(became(0, 1, 8), ".xx.....");
    cut.ns = 10;
    exchange(cut);
    assert_string_equal(became(0, 1, 8), "........");
}

/* A TCP segment of port 0 to all: a SYN, or as many bytes of a stream of records as are given. */
static void send_tcp(uint64_t when, uint32_t sequence, bool syn, const uint8_t *payload, uint32_t size)
{
    uint8_t bytes[LENGTH] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0, 8, 0, 0x45};
    uint32_t total = 40 + size;

    bytes[17] = (uint8_t)total;
    bytes[23] = 6;
    bytes[34 + 2] = RECORD_PORT >> 8;
    bytes[34 + 3] = RECORD_PORT & 255;
    bytes[34 + 7] = (uint8_t)sequence;
    bytes[34 + 12] = 5 << 4;
    bytes[34 + 13] = syn ? 2 : 16;
    if (size)
        memcpy(bytes + 54, payload, size);
    assert_true(fabric_send(net.fabric, 0, when, bytes, sizeof(bytes)));
}

static unsigned at_port(unsigned port)
{
    unsigned count = 0;

    for (unsigned i = 0; i < net.count; i++)
        count += net.arrivals[i].port == port;
    return count;
}

static void by_record(void **state)
{
    static const uint8_t other[16] = {RECORD + 1}, one[16] = {RECORD};
    static const uint32_t actions[] = {FAULT_DROP, FAULT_DUPLICATE, FAULT_CUT};
    static const unsigned arrivals[] = {4, 6, 2};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct fault fault = {.action = actions[i], .trigger = FAULT_AT_RECORD, .value = RECORD, .from = 0, .to = 1, .frames = 1};

        reopen(1, &plain, 3);
        assert_int_equal(fabric_add_fault(net.fabric, &fault), 0);
        send_tcp(0, 9, true, NULL, 0);
        send_tcp(MS, 10, false, other, 16);
        send_tcp(2 * MS, 26, false, one, 16);
        send_tcp(3 * MS, 42, false, other, 16);
        send_tcp(4 * MS, 26, false, one, 16);   /* once more: not named again */
        run();
        assert_int_equal(at_port(1), arrivals[i]);
        assert_int_equal(at_port(2), 5);
    }
}

static void faults_add_up(void **state)
{
    struct fault twice = {.action = FAULT_DUPLICATE, .value = 2, .from = 0, .to = 1, .frames = 1};
    struct fault late = {.action = FAULT_DELAY, .value = 2, .from = 0, .to = 1, .frames = 1, .ns = 500};

    (void)state;
    fabric_add_fault(net.fabric, &twice);
    fabric_add_fault(net.fabric, &late);
    fabric_add_fault(net.fabric, &twice);
    send(1, ALL, 0, LENGTH);
    send(0, 1, MS, LENGTH);
    send(0, 1, 2 * MS, LENGTH);
    run();
    assert_int_equal(at_port(1), 4);
    assert_int_equal(net.arrivals[net.count - 3].when, 2 * MS + WIRE(LENGTH) + LATENCY + 500);
    assert_int_equal(net.arrivals[net.count - 1].when, 2 * MS + 3 * WIRE(LENGTH) + LATENCY + 500);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------------ */

static void bad_parts_are_refused(void **state)
{
    struct link_profile bad;

    (void)state;
    bad = plain, bad.bits_per_s = 0;
    assert_int_equal(fabric_add_segment(net.fabric, &bad), -1);
    bad = plain, bad.latency_ns = 0;
    assert_int_equal(fabric_add_segment(net.fabric, &bad), -1);
    bad = plain, bad.frame_max = 0;
    assert_int_equal(fabric_add_segment(net.fabric, &bad), -1);
    bad.frame_max = FABRIC_FRAME_MAX + 1;
    assert_int_equal(fabric_add_segment(net.fabric, &bad), -1);
    assert_int_equal(fabric_add_port(net.fabric, 1, false), -1);
    assert_int_equal(fabric_add_port(net.fabric, UINT32_MAX, false), -1);
    for (int i = 1; i < FABRIC_SEGMENTS; i++)
        assert_int_equal(fabric_add_segment(net.fabric, &plain), i);
    assert_int_equal(fabric_add_segment(net.fabric, &plain), -1);
    for (int i = PORTS; i < FABRIC_PORTS; i++)
        assert_int_equal(fabric_add_port(net.fabric, 0, false), i);
    assert_int_equal(fabric_add_port(net.fabric, 0, false), -1);
}

static void bad_faults_are_refused(void **state)
{
    const struct fault good = {.action = FAULT_DROP, .trigger = FAULT_AT_RECORD, .value = 63, .from = 0, .to = FAULT_ANY};
    struct fault bad;

#define REFUSED(field, is) (bad = good, bad.field = (is), assert_int_equal(fabric_add_fault(net.fabric, &bad), -1))
    (void)state;
    assert_int_equal(fabric_add_segment(net.fabric, &plain), 1);
    assert_int_equal(fabric_add_port(net.fabric, 1, false), PORTS);
    REFUSED(action, FAULT_CUT + 1);
    REFUSED(trigger, FAULT_AT_RECORD + 1);
    REFUSED(value, 64);
    REFUSED(segment, -1);
    REFUSED(segment, 2);
    REFUSED(segment, 1);        /* its port is on another one */
    REFUSED(from, PORTS);
    REFUSED(to, PORTS + 1);
    REFUSED(to, -2);
    assert_null(fabric_fault(net.fabric, 0));
    for (int i = 0; i < FABRIC_FAULTS; i++)
        assert_int_equal(fabric_add_fault(net.fabric, &good), 0);
    assert_int_equal(fabric_add_fault(net.fabric, &good), -1);
}

/* What is still on its way is freed: the leak checker looks. */
static void closed_with_frames_on_their_way(void **state)
{
    (void)state;
    send(0, ALL, 0, 60);
    fabric_run(net.fabric, WIRE(60) + 1);
    send(1, ALL, MS, 60);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_frame_arrives_at_its_instant), T(a_run_ends_before_its_time), T(a_sender_waits_for_its_link),
        T(unknown_goes_to_all_and_known_to_one), T(a_station_that_moves_is_found), T(segments_are_apart),
        T(the_unplugged_gets_nothing), T(a_short_frame_does_no_harm), T(receivers_take_turns),
        T(equal_times_are_in_the_order_of_causes), T(many_come_out_in_order), T(a_delivery_may_send), T(a_full_queue_loses),
        T(the_oversize_is_lost), T(ahead_is_told_at_once), T(chance_is_the_seeds), T(chances_come_true), T(certainty_is_certain),
        T(each_action_by_frame_number), T(by_time), T(directions), T(any_port), T(cuts), T(by_record), T(faults_add_up),
        T(bad_parts_are_refused), T(bad_faults_are_refused), T(closed_with_frames_on_their_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
