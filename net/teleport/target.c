/*
 * The target side of a teleport, record by record: the table `handlers` at the end is its table of contents. What a record
 * may do is decided by the state machine of handover.h. Each handler decodes and checks all before it changes anything.
 */
#include "net/teleport/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/teleport/teleport.h"
#include "vmx/state.h"

#define ROOM "teleport"
/* A record may speak of the whole memory: others get the CPU after this much work. A frame that holds zeros already is 1. */
#define WORK_BETWEEN_YIELDS 4096
#define WORK_CLEAR_FRAME 64
/* How long to look for the first entry of a guest on another CPU. One that waits in HLT may not enter for long. */
#define FIRST_ENTRY_WAIT_US 200

enum err session_wrong(struct session *s, enum err e, const char *why)
{
    snprintf(s->channel.why, sizeof s->channel.why, "%s", why);
    return e;
}

static enum err on_guest(struct session *s, const struct record *r)
{
    struct msg_guest *m = malloc(sizeof *m);
    if (!m)
        return session_wrong(s, ERR_NO_MEMORY, "no memory on the target for the guest's description");
    enum err e = message_decode(RECORD_GUEST, m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (!e && s->in)
        e = session_wrong(s, ERR_PROTOCOL, "a second GUEST on one connection");
    if (!e) {
        incoming_reap();
        incoming_supersede(s, m->name);
    }
    e = e ? e : incoming_check_guest(s, m);
    e = e ? e : incoming_create(s, m);
    if (!e) {
        log_info(ROOM, "%s: incoming from %s, %llu MiB, %llu MiB of disk", m->name, s->source.pod,
                 (unsigned long long)(m->memory_bytes / MIB), (unsigned long long)(m->disk_bytes / MIB));
        struct msg_accept accept = { .epoch = m->epoch };
        e = channel_send_now(&s->channel, RECORD_ACCEPT, &accept);
    }
    free(m);
    return e;
}

/* ---- pages and state --------------------------------------------------------------------------------------------- */

static enum err need_receiving(struct session *s)
{
    if (s->in && s->in->state == TARGET_RECEIVING)
        return OK;
    return session_wrong(s, ERR_PROTOCOL, "pages or state outside of a teleport's copying phase");
}

/* The CRC is of what the frame holds now, read back: the audit sees what was stored, not what was meant. */
static void note_frame(struct incoming *in, uint64_t gfn)
{
    bitmap_set(&in->filled, gfn);
    if (in->audit)
        in->frame_crcs[gfn] = crc32c_update(0, guest_memory_frame(&in->vm->memory, (struct gfn){ gfn }), PAGE_SIZE);
}

static enum err on_page(struct session *s, const struct record *r)
{
    enum err e = need_receiving(s);
    if (e)
        return e;
    if (r->length != PAGE_RECORD_PAYLOAD)
        return session_wrong(s, ERR_RANGE, "a PAGE record of the wrong length");
    uint64_t gfn = wire_get_u64(r->payload + PAGE_RECORD_GFN_AT);
    if (gfn < s->in->first_frame || gfn >= s->in->frames || guest_memory_fill_frame(&s->in->vm->memory, (struct gfn){ gfn }, r->payload))
        return session_wrong(s, ERR_RANGE, "a PAGE record for a frame outside the guest's memory and disk");
    note_frame(s->in, gfn);
    s->in->round.arrived++;
    return OK;
}

static enum err zero_run(struct incoming *in, struct frame_run run, uint32_t *work)
{
    enum err e = OK;
    for (uint64_t gfn = run.first; gfn < run.first + run.count && !e; gfn++) {
        if (bitmap_test(&in->filled, gfn)) {
            e = guest_memory_fill_frame(&in->vm->memory, (struct gfn){ gfn }, NULL);
            note_frame(in, gfn);
            *work += WORK_CLEAR_FRAME;
        }
        if (++*work >= WORK_BETWEEN_YIELDS) {
            *work = 0;
            thread_yield();
        }
    }
    return e;
}

static enum err on_zero(struct session *s, const struct record *r)
{
    enum err e = need_receiving(s);
    if (e)
        return e;
    if (r->length % FRAME_RUN_SIZE || r->length > ZERO_RUNS_MAX * FRAME_RUN_SIZE)
        return session_wrong(s, ERR_RANGE, "a ZERO record of the wrong length");
    uint64_t next = 0;
    uint32_t work = 0;
    for (uint32_t at = 0; at < r->length && !e; at += FRAME_RUN_SIZE) {
        struct frame_run run = frame_run_get(r->payload + at);
        if (!frame_run_fits(run, s->in->frames) || run.first < s->in->first_frame)
            return session_wrong(s, ERR_RANGE, "a ZERO record for frames outside the guest's memory and disk");
        if (run.first < next)
            return session_wrong(s, ERR_RANGE, "a ZERO record whose runs are out of order");
        next = run.first + run.count;
        e = zero_run(s->in, run, &work);
        s->in->round.arrived += run.count;
    }
    return e;
}

/* Bytes that the connection had carried before this record. */
static uint64_t bytes_before(const struct session *s, const struct record *r)
{
    return s->channel.bytes_received - RECORD_HEADER_SIZE - r->length;
}

static enum err on_round_begin(struct session *s, const struct record *r)
{
    struct msg_round m;
    enum err e = need_receiving(s);
    e = e ? e : message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    if (s->in->round.open || m.round != s->in->round.next || m.reserved || m.pages > s->in->frames || m.bytes)
        return session_wrong(s, ERR_PROTOCOL, "ROUND_BEGIN is not that of the next round");
    s->in->round.open = true;
    s->in->round.announced = m.pages;
    s->in->round.arrived = 0;
    s->in->round.start = bytes_before(s, r);
    return OK;
}

static enum err on_round_end(struct session *s, const struct record *r)
{
    struct msg_round m;
    enum err e = need_receiving(s);
    e = e ? e : message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    if (!s->in->round.open || m.round != s->in->round.next || m.reserved)
        return session_wrong(s, ERR_PROTOCOL, "ROUND_END is not that of the round that runs");
    if (m.pages != s->in->round.announced || m.pages != s->in->round.arrived ||
        m.bytes != bytes_before(s, r) - s->in->round.start)
        return session_wrong(s, ERR_PROTOCOL, "ROUND_END names other pages or bytes than what arrived");
    s->in->round.open = false;
    s->in->round.next++;
    return channel_send_now(&s->channel, RECORD_ROUND_ACK, &m);
}

/* Decoded as it comes: what comes ahead of the pause is out of the downtime. */
static enum err on_state(struct session *s, const struct record *r)
{
    enum err e = need_receiving(s);
    return e ? e : vm_state_read(s->in->room, r->payload, r->length, s->channel.why, sizeof s->channel.why);
}

static enum err on_ping(struct session *s, const struct record *r)
{
    struct msg_ping ping;
    struct msg_pong pong = { .received_ns = teleport_now_ns() };
    enum err e = message_decode(r->type, &ping, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    pong.source_ns = ping.source_ns;
    pong.sent_ns = teleport_now_ns();
    return channel_send_now(&s->channel, RECORD_CLOCK_PONG, &pong);
}

/* ---- handover ---------------------------------------------------------------------------------------------------- */

static enum err on_prepare(struct session *s, const struct record *r)
{
    uint64_t arrived = teleport_now_ns();
    struct incoming *in = s->in;
    enum err e = need_receiving(s);
    e = e ? e : message_decode(r->type, &in->prepare, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    if (in->prepare.epoch != in->epoch || in->prepare.digest != s->channel.digest_before_last)
        return session_wrong(s, ERR_CORRUPT, "PREPARE names another epoch or digest than what arrived");
    e = vm_state_load(in->vm, in->room, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    incoming_apply(in, TARGET_PREPARED, "");
    s->channel.watch_us = CHANNEL_WATCH_US;     /* COMMIT will be here soon */
    in->times = (struct msg_running){ .epoch = in->epoch, .prepare_ns = arrived, .ready_ns = teleport_now_ns() };
    struct msg_ready ready = { .epoch = in->epoch, .digest = in->prepare.digest, .prepare_ns = arrived,
                               .ready_ns = in->times.ready_ns };
    return channel_send_now(&s->channel, RECORD_READY, &ready);
}

/*
 * The guest's TSC goes on as if it had never stopped: its value at the pause, and the time since then by the source's
 * clock, which the measured offset makes readable here. An error of the offset shifts the guest's clock by as much, but
 * never before the pause.
 */
static void set_guest_clock(struct incoming *in)
{
    uint64_t host_tsc = time_now();
    int64_t elapsed_ns = (int64_t)(time_to_ns(host_tsc) - (uint64_t)in->prepare.offset_ns - in->prepare.pause_ns);
    uint64_t elapsed = elapsed_ns > 0 ? mul_div_u64((uint64_t)elapsed_ns, in->vm->guest_tsc_hz, NS_PER_S) : 0;
    vm_set_guest_tsc(in->vm, in->prepare.guest_tsc + elapsed, host_tsc);
}

/* When the guest entered for the first time; if that is not in sight, when it was let go. */
static uint64_t first_entry_ns(const struct vm *vm)
{
    uint64_t let_go = teleport_now_ns(), deadline = time_after_us(FIRST_ENTRY_WAIT_US);
    do
        thread_yield();   /* the vCPU's thread enters the guest now, if it runs on this CPU */
    while (!vm->first_entry_tsc && time_now() < deadline);
    return vm->first_entry_tsc ? time_to_ns(vm->first_entry_tsc) : let_go;
}

/* Until it is done the guest belongs to the teleport: an operator's `stop` in between would free what is used here. */
static void run_guest(struct incoming *in)
{
    struct vm *vm = in->vm;
    incoming_remember(in, STATUS_RUNNING);
    vm->state = in->guest == GUEST_ENDED ? VM_HALTED : VM_PAUSED;
    set_guest_clock(in);
    if (in->guest == GUEST_RUNS)
        vm_resume(vm);
    in->times.running_ns = in->guest == GUEST_RUNS ? first_entry_ns(vm) : teleport_now_ns();
    log_info(ROOM, "%s: %s", vm->name, in->guest == GUEST_RUNS ? "runs here now" : "is here now, as it was: at rest");
    in->vm = NULL;
    vm->teleporting = false;
}

static enum err tell_status(struct session *s, uint64_t epoch)
{
    struct msg_status status = { .epoch = epoch, .status = incoming_status_of(s->source.boot_id, epoch) };
    return channel_send_now(&s->channel, RECORD_STATUS, &status);
}

static enum err on_commit(struct session *s, const struct record *r)
{
    struct msg_commit m;
    uint64_t arrived = teleport_now_ns();
    enum err e = message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    struct incoming *in = s->in && s->in->epoch == m.epoch ? s->in : NULL;
    if (!in || in->state == TARGET_RUNNING)
        return tell_status(s, m.epoch);
    if (incoming_apply(in, TARGET_COMMIT, "COMMIT came before READY") != TARGET_RUN_GUEST) {
        s->in = NULL;
        return session_wrong(s, ERR_PROTOCOL, "COMMIT came before READY");
    }
    in->times.commit_ns = arrived;
    in->prepare.offset_ns = m.offset_ns;
    in->prepare.offset_error_ns = m.offset_error_ns;
    s->channel.watch_us = 0;
    run_guest(in);
    in->times.sent_ns = teleport_now_ns();
    return channel_send_now(&s->channel, RECORD_RUNNING, &in->times);
}

/* A source in doubt asks. The image that waits is taken over by this connection; an older one can't commit it any more. */
static enum err on_query(struct session *s, const struct record *r)
{
    struct msg_query m;
    enum err e = message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    if (s->in)   /* two machines on one connection: the first would belong to nobody */
        return session_wrong(s, ERR_PROTOCOL, "QUERY on a connection that has a guest");
    struct incoming *waiting = incoming_find_waiting(s->source.boot_id, m.epoch);
    if (waiting && !waiting->attached) {
        waiting->attached = true;
        s->in = waiting;
    }
    return tell_status(s, m.epoch);
}

static enum err on_abort(struct session *s, const struct record *r)
{
    struct msg_text m;
    enum err e = message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    if (s->in && s->in->epoch == m.epoch) {
        char why[TEXT_MAX + 32];
        snprintf(why, sizeof why, "its source called it off: %s", m.text);
        if (incoming_apply(s->in, TARGET_ABORT, why) == TARGET_FREE)
            s->in = NULL;
    }
    s->done = true;
    return OK;
}

static enum err on_audit(struct session *s, const struct record *r)
{
    struct incoming *in = s->in;
    if (!in || in->state != TARGET_RUNNING || !in->audit || r->length < FRAME_RUN_SIZE)
        return session_wrong(s, ERR_PROTOCOL, "AUDIT outside of an audited teleport");
    struct frame_run run = frame_run_get(r->payload);
    if (run.first != in->audit_seen || !frame_run_fits(run, in->frames) || run.count > AUDIT_FRAMES_MAX ||
        audit_payload_size(run.count) != r->length)
        return session_wrong(s, ERR_RANGE, "an AUDIT record for the wrong frames");
    static const uint8_t zero_frame_content[PAGE_SIZE];
    uint32_t zero_crc = crc32c_update(0, zero_frame_content, PAGE_SIZE);
    for (uint64_t i = 0; i < run.count; i++) {
        uint64_t frame = run.first + i;
        uint32_t here = bitmap_test(&in->filled, frame) ? in->frame_crcs[frame] : zero_crc;
        if (here != audit_crc_get(r->payload, i) && !in->audit_different++)
            in->audit_first = frame;
    }
    in->audit_seen += run.count;
    if (in->audit_seen < in->frames)
        return OK;
    struct msg_audit_result result = { .epoch = in->epoch, .frames = in->audit_seen - in->first_frame,
                                       .different = in->audit_different, .first_different = in->audit_first };
    if (in->audit_different)
        log_error(ROOM, "audit: %llu frames differ, the first is frame %llx", (unsigned long long)in->audit_different,
                  (unsigned long long)in->audit_first);
    return channel_send_now(&s->channel, RECORD_AUDIT_RESULT, &result);
}

static enum err on_goodbye(struct session *s, const struct record *r)
{
    struct msg_goodbye m;
    s->done = true;
    return message_decode(RECORD_GOODBYE, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
}

static enum err (*const handlers[RECORD_TYPE_END])(struct session *s, const struct record *r) = {
    [RECORD_GUEST] = on_guest,
    [RECORD_CLOCK_PING] = on_ping,
    [RECORD_ROUND_BEGIN] = on_round_begin,
    [RECORD_PAGE] = on_page,
    [RECORD_ZERO] = on_zero,
    [RECORD_ROUND_END] = on_round_end,
    [RECORD_STATE] = on_state,
    [RECORD_PREPARE] = on_prepare,
    [RECORD_COMMIT] = on_commit,
    [RECORD_AUDIT] = on_audit,
    [RECORD_ABORT] = on_abort,
    [RECORD_QUERY] = on_query,
    [RECORD_GOODBYE] = on_goodbye,
};

enum err session_handle(struct session *s, const struct record *r)
{
    if (r->type >= RECORD_TYPE_END)
        return OK;   /* unknown and not mandatory: skipped */
    if (handlers[r->type])
        return handlers[r->type](s, r);
    snprintf(s->channel.why, sizeof s->channel.why, "%s is not for a target", record_type_name(r->type));
    return ERR_PROTOCOL;
}
