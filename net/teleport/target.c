/*
 * The target side of a teleport. One thread a connection; a table from record type to handler. What a record may do is
 * decided by the state machine of handover.h.
 *
 * **A machine that comes in never runs before COMMIT.** Between READY and COMMIT it outlives its connection for
 * WAITING_LIFETIME_US, so that a source in doubt can ask; then all that it took is freed, and its epoch is remembered as
 * one that never ran.
 */
#include "net/teleport/teleport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/teleport/channel.h"
#include "net/teleport/handover.h"
#include "vmx/devices/lapic.h"
#include "vmx/devices/uart.h"
#include "vmx/vm.h"

#define ROOM "teleport"
#define INCOMING_MAX 4
#define SESSIONS_MAX 8
#define HISTORY_MAX 64
#define STATE_MAX (256 * KIB)
#define TIMEOUT_US 15000000
#define WAITING_LIFETIME_US 60000000
#define ACCEPT_POLL_US 1000000
#define FRAMES_BETWEEN_YIELDS 8

/* A machine on its way in. It belongs to a session while its connection lives, and to the reaper when it waits alone. */
struct incoming {
    bool used;
    bool attached;               /* a session works on it */
    bool was_paused, audit;
    enum target_state state;
    struct vm *vm;               /* NULL once it runs or is discarded */
    uint64_t epoch, source_boot_id;
    struct bitmap filled;        /* frames that were written here; the others are still zero from their birth */
    uint32_t *frame_crcs;        /* with audit: of each frame as it is stored; NULL without */
    uint64_t frames;
    uint8_t *vcpu_state;         /* STATE records, gathered */
    uint32_t state_size;
    struct msg_prepare prepare;
    struct msg_running times;
    uint64_t expires;            /* TSC; meaningful while it waits without a session */
    uint64_t audit_different, audit_first, audit_seen;
};

struct session {
    struct channel channel;
    struct msg_hello source;
    struct incoming *in;         /* NULL: none (yet) */
    uint32_t records;
    bool done;
};

static struct incoming incomings[INCOMING_MAX];
static uint32_t session_count;

/* How epochs ended, newest last: the answers to QUERY. */
static struct msg_status history[HISTORY_MAX];
static uint32_t history_next;

static void remember(uint64_t epoch, enum handover_status status)
{
    history[history_next++ % HISTORY_MAX] = (struct msg_status){ .epoch = epoch, .status = status };
}

static enum handover_status status_of(uint64_t epoch)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        if (incomings[i].used && incomings[i].epoch == epoch && incomings[i].state == TARGET_WAITING)
            return STATUS_WAITING;
    for (uint32_t i = 0; i < HISTORY_MAX; i++)
        if (history[i].epoch == epoch && epoch)
            return history[i].status;
    return STATUS_UNKNOWN;
}

static enum err wrong(struct session *s, enum err e, const char *why)
{
    snprintf(s->channel.why, sizeof s->channel.why, "%s", why);
    return e;
}

/* ---- the life of an incoming machine ---------------------------------------------------------------------------- */

static void free_buffers(struct incoming *in)
{
    free(in->filled.words);
    free(in->frame_crcs);
    free(in->vcpu_state);
    in->filled.words = NULL;
    in->frame_crcs = NULL;
    in->vcpu_state = NULL;
}

static void discard(struct incoming *in, const char *why)
{
    log_info(ROOM, "%s: incoming guest discarded: %s", in->vm ? in->vm->name : "?", why);
    if (in->vm) {
        in->vm->teleporting = false;
        vm_destroy(in->vm);
    }
    in->vm = NULL;
    free_buffers(in);
    remember(in->epoch, STATUS_DISCARDED);
    in->used = false;
}

/* Applies an event; frees the machine when the state machine says so. */
static enum target_action apply(struct incoming *in, enum target_event event, const char *why)
{
    struct target_step step = target_step(in->state, event);
    in->state = step.next;
    if (step.action == TARGET_FREE)
        discard(in, why);
    return step.action;
}

static void reap(void)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        struct incoming *in = &incomings[i];
        if (in->used && !in->attached && in->state == TARGET_WAITING && time_now() >= in->expires)
            apply(in, TARGET_EXPIRED, "nobody asked for it any more; it never ran here");
    }
}

/* A source that begins anew with a guest has it: what waits here of an earlier try of the same pod never ran. */
static void supersede(const struct session *s, const char *name)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        struct incoming *in = &incomings[i];
        if (in->used && !in->attached && in->vm && in->source_boot_id == s->source.boot_id &&
            !strcmp(in->vm->name, name))
            apply(in, TARGET_ABORT, "its source began a new teleport");
    }
}

static struct incoming *find_waiting(uint64_t epoch)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        if (incomings[i].used && incomings[i].epoch == epoch && incomings[i].state == TARGET_WAITING)
            return &incomings[i];
    return NULL;
}

/* ---- GUEST ------------------------------------------------------------------------------------------------------ */

static bool device_known(const char *name, uint32_t version)
{
    static const struct section *const known[] = { &lapic_section, &uart_section };
    for (uint32_t i = 0; i < ARRAY_SIZE(known); i++)
        if (!strcmp(known[i]->name, name) && known[i]->version == version)
            return true;
    return false;
}

/* Can this pod run that guest? Changes nothing. */
static enum err check_guest(struct session *s, const struct msg_guest *m)
{
    char *why = s->channel.why;
    size_t size = sizeof s->channel.why;

    if (!vmx_available()) {
        snprintf(why, size, "this pod runs no guests: %s", vmx_unavailable_reason());
        return ERR_UNSUPPORTED;
    }
    if (m->vcpus != 1) {
        snprintf(why, size, "the guest has %u vCPUs; this pod runs guests of 1", (unsigned)m->vcpus);
        return ERR_UNSUPPORTED;
    }
    if (m->range_count != 1 || m->range_base[0] != 0 || m->range_size[0] != m->memory_bytes) {
        snprintf(why, size, "the guest's memory map is not one range from 0");
        return ERR_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < m->device_count; i++)
        if (!device_known(m->devices[i], m->device_versions[i])) {
            snprintf(why, size, "this pod has no device %s version %u", m->devices[i], (unsigned)m->device_versions[i]);
            return ERR_UNSUPPORTED;
        }
    if (vm_find(m->name)) {
        snprintf(why, size, "this pod has a guest %s already", m->name);
        return ERR_EXISTS;
    }
    enum err e = vm_policy_check(&m->policy, why, size);
    if (e)
        return e;
    uint64_t missing = guest_memory_missing_mib(m->memory_bytes);
    if (missing) {
        snprintf(why, size, "the guest has %llu MiB of memory; this pod lacks %llu MiB of that",
                 (unsigned long long)(m->memory_bytes / MIB), (unsigned long long)missing);
        return ERR_NO_MEMORY;
    }
    return OK;
}

static struct incoming *free_slot(void)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        if (!incomings[i].used)
            return &incomings[i];
    return NULL;
}

static enum err create_incoming(struct session *s, const struct msg_guest *m)
{
    struct incoming *in = free_slot();
    if (!in)
        return wrong(s, ERR_BUSY, "too many guests are on their way into this pod");
    struct guest_config config = { .memory_bytes = m->memory_bytes, .vcpus = m->vcpus, .cpu = POD_CPU_ANY,
                                   .console = m->console };
    memcpy(config.name, m->name, sizeof config.name);
    memcpy(config.image, m->image, sizeof config.image);
    memcpy(config.cmdline, m->cmdline, sizeof config.cmdline);

    uint64_t frames = m->memory_bytes / PAGE_SIZE;
    *in = (struct incoming){ .epoch = m->epoch, .source_boot_id = s->source.boot_id, .state = TARGET_RECEIVING,
                             .was_paused = m->was_paused, .audit = m->audit, .frames = frames,
                             .filled = { calloc(bitmap_word_count(frames), 8), frames } };
    in->vcpu_state = malloc(STATE_MAX);
    if (in->audit)
        in->frame_crcs = calloc(frames, sizeof *in->frame_crcs);
    if (!in->filled.words || !in->vcpu_state || (in->audit && !in->frame_crcs)) {
        free_buffers(in);
        return wrong(s, ERR_NO_MEMORY, "no memory on the target for the teleport's own tables");
    }
    enum err e = vm_create_incoming(&in->vm, &config);
    if (!e)
        e = vm_policy_apply(in->vm, &m->policy);
    if (e) {
        if (in->vm)
            vm_destroy(in->vm);
        free_buffers(in);
        return wrong(s, e, "the target could not create the guest");
    }
    in->vm->teleporting = true;
    in->used = in->attached = true;
    s->in = in;
    return OK;
}

static enum err on_guest(struct session *s, const struct record *r)
{
    struct msg_guest *m = malloc(sizeof *m);
    if (!m)
        return wrong(s, ERR_NO_MEMORY, "no memory on the target for the guest's description");
    enum err e = message_decode(RECORD_GUEST, m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (!e && s->in)
        e = wrong(s, ERR_PROTOCOL, "a second GUEST on one connection");
    if (!e) {
        reap();
        supersede(s, m->name);
    }
    e = e ? e : check_guest(s, m);
    e = e ? e : create_incoming(s, m);
    if (!e) {
        log_info(ROOM, "%s: incoming from %s, %llu MiB", m->name, s->source.pod,
                 (unsigned long long)(m->memory_bytes / MIB));
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
    return wrong(s, ERR_PROTOCOL, "pages or state outside of a teleport's copying phase");
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
        return wrong(s, ERR_RANGE, "a PAGE record of the wrong length");
    uint64_t gfn = wire_get_u64(r->payload + PAGE_SIZE);
    if (gfn >= s->in->frames || guest_memory_fill_frame(&s->in->vm->memory, (struct gfn){ gfn }, r->payload))
        return wrong(s, ERR_RANGE, "a PAGE record for a frame outside the guest's memory");
    note_frame(s->in, gfn);
    return OK;
}

static enum err zero_frame(struct session *s, uint64_t gfn)
{
    if (!bitmap_test(&s->in->filled, gfn))
        return OK;
    enum err e = guest_memory_fill_frame(&s->in->vm->memory, (struct gfn){ gfn }, NULL);
    note_frame(s->in, gfn);
    return e;
}

static enum err on_zero(struct session *s, const struct record *r)
{
    enum err e = need_receiving(s);
    if (e)
        return e;
    if (r->length % ZERO_RUN_SIZE)
        return wrong(s, ERR_RANGE, "a ZERO record of the wrong length");
    for (uint32_t at = 0; at < r->length; at += ZERO_RUN_SIZE) {
        uint64_t first = wire_get_u64(r->payload + at), count = wire_get_u64(r->payload + at + 8);
        if (first > s->in->frames || count > s->in->frames - first)
            return wrong(s, ERR_RANGE, "a ZERO record for frames outside the guest's memory");
        for (uint64_t i = 0; i < count && !e; i++)
            e = zero_frame(s, first + i);
    }
    return e;
}

static enum err on_round_begin(struct session *s, const struct record *r)
{
    struct msg_round m;
    enum err e = need_receiving(s);
    return e ? e : message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
}

static enum err on_round_end(struct session *s, const struct record *r)
{
    struct msg_round m;
    enum err e = need_receiving(s);
    e = e ? e : message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    return e ? e : channel_send_now(&s->channel, RECORD_ROUND_ACK, &m);
}

static enum err on_state(struct session *s, const struct record *r)
{
    enum err e = need_receiving(s);
    if (e)
        return e;
    if (r->length > STATE_MAX - s->in->state_size)
        return wrong(s, ERR_RANGE, "more processor and device state than 256 KiB");
    memcpy(s->in->vcpu_state + s->in->state_size, r->payload, r->length);
    s->in->state_size += r->length;
    return OK;
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
        return wrong(s, ERR_CORRUPT, "PREPARE names another epoch or digest than what arrived");
    e = vm_state_load(in->vm, in->vcpu_state, in->state_size, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    apply(in, TARGET_PREPARED, "");
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
    uint64_t elapsed = elapsed_ns > 0 ? mul_div_u64((uint64_t)elapsed_ns, in->vm->guest_tsc_hz, 1000000000) : 0;
    vm_set_guest_tsc(in->vm, in->prepare.guest_tsc + elapsed, host_tsc);
}

static void run_guest(struct incoming *in)
{
    struct vm *vm = in->vm;
    vm->teleporting = false;
    vm->state = VM_PAUSED;
    set_guest_clock(in);
    if (!in->was_paused) {
        vm_resume(vm);
        thread_yield();   /* the vCPU's thread enters the guest now, if it runs on this CPU */
    }
    in->times.running_ns = vm->first_entry_tsc ? time_to_ns(vm->first_entry_tsc) : teleport_now_ns();
    remember(in->epoch, STATUS_RUNNING);
    log_info(ROOM, "%s: runs here now", vm->name);
}

static enum err refuse_commit(struct session *s, uint64_t epoch)
{
    struct msg_status status = { .epoch = epoch, .status = status_of(epoch) };
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
        return refuse_commit(s, m.epoch);
    if (apply(in, TARGET_COMMIT, "COMMIT came before READY") != TARGET_RUN_GUEST) {
        s->in = NULL;
        return wrong(s, ERR_PROTOCOL, "COMMIT came before READY");
    }
    in->times.commit_ns = arrived;
    run_guest(in);
    return channel_send_now(&s->channel, RECORD_RUNNING, &in->times);
}

/* A source in doubt asks. The image that waits is taken over by this connection; an older one can't commit it any more. */
static enum err on_query(struct session *s, const struct record *r)
{
    struct msg_query m;
    enum err e = message_decode(r->type, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
    if (e)
        return e;
    struct incoming *waiting = find_waiting(m.epoch);
    if (waiting && !waiting->attached) {
        waiting->attached = true;
        s->in = waiting;
    }
    return refuse_commit(s, m.epoch);
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
        if (apply(s->in, TARGET_ABORT, why) == TARGET_FREE)
            s->in = NULL;
    }
    s->done = true;
    return OK;
}

static enum err on_audit(struct session *s, const struct record *r)
{
    struct incoming *in = s->in;
    if (!in || in->state != TARGET_RUNNING || !in->audit || r->length < 16)
        return wrong(s, ERR_PROTOCOL, "AUDIT outside of an audited teleport");
    uint64_t first = wire_get_u64(r->payload), count = wire_get_u64(r->payload + 8);
    if (first != in->audit_seen || count > in->frames - first || count > r->length / 4 ||
        ALIGN_UP(16 + 4 * count, 8) != r->length)
        return wrong(s, ERR_RANGE, "an AUDIT record for the wrong frames");
    static const uint8_t zero_frame_content[PAGE_SIZE];
    uint32_t zero_crc = crc32c_update(0, zero_frame_content, PAGE_SIZE);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t here = bitmap_test(&in->filled, first + i) ? in->frame_crcs[first + i] : zero_crc;
        if (here == wire_get_u32(r->payload + 16 + 4 * i))
            continue;
        if (!in->audit_different++)
            in->audit_first = first + i;
    }
    in->audit_seen += count;
    if (in->audit_seen < in->frames)
        return OK;
    struct msg_audit_result result = { .epoch = in->epoch, .frames = in->audit_seen, .different = in->audit_different,
                                       .first_different = in->audit_first };
    if (in->audit_different)
        log_error(ROOM, "audit: %llu frames differ, the first is frame %llx", (unsigned long long)in->audit_different,
                  (unsigned long long)in->audit_first);
    return channel_send_now(&s->channel, RECORD_AUDIT_RESULT, &result);
}

static enum err on_goodbye(struct session *s, const struct record *r)
{
    struct msg_commit m;
    s->done = true;
    return message_decode(RECORD_GOODBYE, &m, r->payload, r->length, s->channel.why, sizeof s->channel.why);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

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

static enum err serve_record(struct session *s)
{
    struct record r;
    enum err e = channel_receive(&s->channel, &r);
    if (e)
        return e;
    if (r.type >= RECORD_TYPE_END)
        return OK;   /* unknown and not mandatory: skipped */
    if (!handlers[r.type]) {
        snprintf(s->channel.why, sizeof s->channel.why, "%s is not for a target", record_type_name(r.type));
        return ERR_PROTOCOL;
    }
    e = handlers[r.type](s, &r);
    if (++s->records % FRAMES_BETWEEN_YIELDS == 0)
        thread_yield();
    return e;
}

static enum err greet(struct session *s)
{
    struct msg_hello mine = teleport_hello();
    enum err e = channel_expect(&s->channel, RECORD_HELLO, &s->source);
    return e ? e : channel_send_now(&s->channel, RECORD_HELLO, &mine);
}

/* Says to the peer why it is turned away: REFUSE before a guest was accepted, ABORT after. */
static void turn_away(struct session *s, enum err e)
{
    struct msg_text text = { .epoch = s->in ? s->in->epoch : 0, .code = e };
    snprintf(text.text, sizeof text.text, "%s", s->channel.why);
    log_error(ROOM, "connection from %s: %s (%s)", s->source.pod[0] ? s->source.pod : "a peer", text.text, err_name(e));
    if (stream_is_dead(s->channel.stream))
        return;
    if (!channel_send_now(&s->channel, s->in ? RECORD_ABORT : RECORD_REFUSE, &text))
        stream_drain(s->channel.stream, time_after_us(TIMEOUT_US));
}

/* The connection is over; what becomes of its machine? */
static void detach(struct session *s)
{
    struct incoming *in = s->in;
    if (!in)
        return;
    in->attached = false;
    in->expires = time_after_us(WAITING_LIFETIME_US);
    if (in->state == TARGET_RUNNING) {
        free_buffers(in);
        in->used = false;
        return;
    }
    apply(in, TARGET_FAULT, s->channel.why);
}

static void session_thread(void *argument)
{
    struct stream *stream = argument;
    struct session *s = calloc(1, sizeof *s);
    enum err e = s ? OK : ERR_NO_MEMORY;

    if (!s)
        stream_abort(stream);
    else
        e = channel_open(&s->channel, stream, TIMEOUT_US);
    if (!e) {
        e = greet(s);
        while (!e && !s->done)
            e = serve_record(s);
        if (e)
            turn_away(s, e);
        detach(s);
        channel_close(&s->channel, false);
    }
    free(s);
    session_count--;
}

static void listener_thread(void *argument)
{
    struct stream_listener *listener = argument;
    for (;;) {
        struct stream *stream;
        enum err e = stream_accept(listener, &stream, time_after_us(ACCEPT_POLL_US));
        reap();
        if (e)
            continue;
        if (session_count == SESSIONS_MAX) {
            log_error(ROOM, "connection refused: %d are open", SESSIONS_MAX);
            stream_abort(stream);
            continue;
        }
        session_count++;
        if (thread_create(NULL, "teleport-in", NULL, session_thread, stream)) {
            session_count--;
            stream_abort(stream);
        }
    }
}

static char pod_name[POD_NAME_MAX];

enum err teleport_listen(const struct pod_config *config)
{
    struct stream_listener *listener;
    snprintf(pod_name, sizeof pod_name, "%s", config->name);
    enum err e = stream_listen(&listener, config->teleport_port);
    return e ? e : thread_create(NULL, "teleport-listen", NULL, listener_thread, listener);
}

const char *teleport_pod_name(void) { return pod_name; }
uint64_t teleport_now_ns(void) { return time_to_ns(time_now()); }

/* Drawn at the first use, which follows a network packet or an operator's command: no two power-ons agree on that TSC. */
uint64_t teleport_boot_id(void)
{
    static uint64_t id;
    if (!id) {
        struct { uint64_t tsc; char name[POD_NAME_MAX]; } seed = { .tsc = time_now() };
        memcpy(seed.name, pod_name, sizeof seed.name);
        id = ((uint64_t)crc32c_update(0, &seed, sizeof seed) << 32) | BIT(31);
    }
    return id;
}

struct msg_hello teleport_hello(void)
{
    struct msg_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .version_oldest = WIRE_VERSION_OLDEST,
                               .boot_id = teleport_boot_id(), .tsc_hz = time_tsc_hz() };
    memcpy(hello.pod, pod_name, sizeof hello.pod);
    return hello;
}
