/*
 * The target's side under any sequence of records, connections, faults and operator's commands, in any interleaving. The
 * input is a script: each step names a connection and what happens to it. The records are made here, with the right
 * sequence and CRC, so that the fuzzer gets behind them; a step can change any byte of the next record. The promises of
 * tests/fakes/target_pod.h are checked at each step, and at the end the pod must have nothing left.
 */
#include "tests/fakes/target_pod.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 160
#define SCRIPT_LINKS 5
#define BOOT_ID 0x8000

struct script {
    const uint8_t *at, *end;
};

static uint8_t take(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

/* Of something that follows in the script, in units: no more than there is. */
static uint32_t take_length(struct script *s, uint32_t unit)
{
    uint32_t wanted = take(s), there = (uint32_t)(s->end - s->at) / unit;
    return MIN(wanted, there);
}

/* Mostly small, sometimes a bound of its type. */
static uint64_t number(struct script *s)
{
    static const uint64_t bounds[] = { UINT64_MAX, UINT64_MAX / PAGE_SIZE, UINT32_MAX, POD_FRAMES_MAX, 512, 511, 1ULL << 63, 0 };
    uint8_t n = take(s);
    return n < 248 ? n : bounds[n - 248];
}

static uint64_t boot_id(struct script *s) { return BOOT_ID + take(s) % 2; }
static uint64_t epoch(struct script *s) { return take(s) % 6; }

static void do_connect(struct script *s, uint32_t l)
{
    uint64_t id = boot_id(s);
    if (links[l].stream)
        return;
    pod_connect(l, id);
    pod_send_hello(l);
}

static void do_guest(struct script *s, uint32_t l)
{
    static const char *const names[] = { "a", "b", "c", "d", "e", "not a name", "" };
    static const uint64_t sizes[] = { 2 * MIB, 2 * MIB, 4 * MIB, 8 * GIB };
    struct msg_guest guest;
    uint64_t e = epoch(s);
    uint8_t choice = take(s);
    pod_guest(&guest, e, names[choice % ARRAY_SIZE(names)], sizes[choice / 8 % ARRAY_SIZE(sizes)]);
    guest.audit = choice >> 5 & 1;
    guest.state = choice >> 6 & 1 ? GUEST_PAUSED : GUEST_RUNS;
    guest.console = choice >> 7;
    pod_send_guest(l, &guest);
}

/* An honest GUEST but for eight bytes. */
static void do_bent_guest(struct script *s, uint32_t l)
{
    struct msg_guest guest;
    uint8_t wire[MESSAGE_WIRE_MAX];
    pod_guest(&guest, epoch(s), "a", 2 * MIB);
    uint32_t length = message_encode(RECORD_GUEST, &guest, wire);
    uint32_t at = (take(s) | (uint32_t)take(s) << 8) % (length / 8) * 8;
    wire_put_u64(wire + at, take(s) & 1 ? number(s) : wire_get_u64(wire + at) ^ 1ULL << take(s) % 64);
    pod_send(l, RECORD_GUEST, wire, length);
}

static void do_pages(struct script *s, uint32_t l)
{
    uint64_t first = number(s);
    uint8_t count = take(s), byte = take(s);
    for (uint32_t i = 0; i < 1u + count % 32; i++)
        pod_send_page(l, first + i, byte);
}

static void do_zero(struct script *s, uint32_t l)
{
    static struct frame_run runs[RECORD_PAYLOAD_MAX / FRAME_RUN_SIZE];
    uint32_t count = take(s) % 8;
    for (uint32_t i = 0; i < count; i++) {
        runs[i].first = number(s);
        runs[i].count = number(s);
    }
    uint32_t copies = take(s) & 1 && count ? ARRAY_SIZE(runs) : count;
    for (uint32_t i = count; i < copies; i++)
        runs[i] = runs[i % count];
    pod_send_zero(l, runs, copies);
}

/* An honest copy in one step, so that short scripts get far. */
static void do_copy(struct script *s, uint32_t l)
{
    const struct frame_run rest = { 2, 500 };
    uint64_t e = links[l].epoch;
    uint8_t round = take(s) % 4;
    pod_send_round_begin(l, round, 502);
    pod_send_page(l, 0, 17);
    pod_send_page(l, 1, round);
    pod_send_zero(l, &rest, 1);
    pod_send_round_end(l, round);
    pod_send_page(l, 5, 9);
    pod_send_state(l);
    pod_send_prepare(l, e);
}

static void do_round(struct script *s, uint32_t l)
{
    uint8_t round = take(s);
    if (round & 0x80)
        pod_send_round_end(l, round & 7);
    else
        pod_send_round_begin(l, round & 7, number(s));
}

static void do_prepare(struct script *s, uint32_t l)
{
    const struct msg_prepare m = { .epoch = epoch(s), .digest = links[l].digest ^ (take(s) & 1), .pause_ns = number(s),
                                   .guest_tsc = number(s), .offset_ns = (int64_t)number(s), .offset_error_ns = number(s) };
    links[l].prepare_sent = true;
    pod_send_message(l, RECORD_PREPARE, &m);
}

static void do_abort(struct script *s, uint32_t l) { pod_send_abort(l, epoch(s)); }
static void do_commit(struct script *s, uint32_t l) { pod_send_epoch(l, RECORD_COMMIT, epoch(s)); }
static void do_query(struct script *s, uint32_t l) { pod_send_epoch(l, RECORD_QUERY, epoch(s)); }
static void do_goodbye(struct script *s, uint32_t l) { pod_send_epoch(l, RECORD_GOODBYE, epoch(s)); }
static void do_state(struct script *s, uint32_t l) { (void)s; pod_send_state(l); }

static void do_audit(struct script *s, uint32_t l)
{
    uint64_t first = number(s), count = number(s);
    pod_send_audit(l, first, MIN(count, (uint64_t)AUDIT_FRAMES_MAX));
}

/* A record of any type with any payload. What it may have changed is not in the model: its guest is not to be compared. */
static void do_raw(struct script *s, uint32_t l)
{
    static uint8_t payload[RECORD_PAYLOAD_MAX];
    uint16_t type = take(s) % (RECORD_TYPE_END + 1);
    uint32_t length = 8 * take_length(s, 8);
    memcpy(payload, s->at, length);
    s->at += length;
    if (type == RECORD_COMMIT && length == 8 && links[l].stream)
        story_of(links[l].boot_id, wire_get_u64(payload))->committed = true;
    if (type == RECORD_PAGE || type == RECORD_ZERO || type == RECORD_HELLO || type == RECORD_GUEST)
        return;
    pod_send(l, type, payload, length);
}

static void do_bytes(struct script *s, uint32_t l)
{
    uint32_t length = take_length(s, 1);
    pod_send_bytes(l, s->at, length);
    s->at += length;
}

static void do_turn(struct script *s, uint32_t l)
{
    uint8_t turns = take(s);
    (void)l;
    for (uint32_t i = 0; i < 4; i++)
        pod_step(turns >> (2 * i) & 15);
}

static void do_run(struct script *s, uint32_t l) { (void)s; (void)l; pod_run(); }
static void do_hang_up(struct script *s, uint32_t l) { (void)s; pod_hang_up(l); }
static void do_time_out(struct script *s, uint32_t l) { (void)s; pod_time_out(l); }
static void do_pass(struct script *s, uint32_t l) { (void)l; pod_pass(take(s) % 64); }

static void do_operator(struct script *s, uint32_t l)
{
    const char name[2] = { (char)('a' + l), '\0' };
    if (take(s) & 1)
        pod_stop_guest(name);
    else
        pod_resume_guest(name);
}

static void do_starve(struct script *s, uint32_t l)
{
    uint8_t after = take(s);
    (void)l;
    pod_fail_after = after > 32 ? UINT32_MAX : after;
}

static void (*const steps[])(struct script *s, uint32_t l) = {
    do_connect, do_guest, do_copy, do_commit, do_query, do_turn, do_run, do_hang_up, do_pages, do_zero, do_round, do_state,
    do_prepare, do_abort, do_goodbye, do_audit, do_raw, do_bytes, do_time_out, do_pass, do_operator, do_starve, do_bent_guest,
    do_turn, do_run,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = { data, data + size };
    pod_boot();
    pod_many_cpus = take(&s) & 1;
    for (int i = 0; i < STEPS_MAX && s.at < s.end; i++) {
        uint8_t what = take(&s);
        steps[what % 32 % ARRAY_SIZE(steps)](&s, what / 32 % SCRIPT_LINKS);
    }
    pod_shut();
    return 0;
}
