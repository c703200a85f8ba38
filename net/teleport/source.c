/*
 * The source side of a teleport, in the order in which it happens: the table `steps` is its table of contents. Each step
 * either succeeds or leaves the reason in the channel's `why`; what a failure means is decided in one place (fail), by the
 * state machine of handover.h and by nothing else.
 *
 * **Until COMMIT is handed to TCP, every failure lets the guest run on here; from then on only an answer does.**
 */
#include "net/teleport/teleport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/lib/zero.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "net/teleport/channel.h"
#include "net/teleport/handover.h"
#include "vmx/devices/lapic.h"
#include "vmx/devices/uart.h"
#include "vmx/stats.h"
#include "vmx/vm.h"

#define ROOM "teleport"
#define CLOCK_SAMPLES 8
#define STATE_CHUNK 16384
#define AUDIT_FRAMES_PER_RECORD 2048
/* Other threads, guests too, get the CPU after this much work: a page that is sent counts as 8, one that is only read as 1. */
#define WORK_BETWEEN_YIELDS 64
#define WORK_SEND 8
#define WORK_READ 1
#define DOUBT_RETRY_US 500000
#define DOUBT_BACKGROUND_RETRY_US 2000000

struct source {
    struct vm *vm;
    struct teleport_options options;
    struct channel channel;
    struct flight *flight;
    teleport_progress *progress;
    void *progress_context;
    enum source_state state;
    uint64_t epoch;
    bool was_paused;             /* by an operator, before the teleport */
    bool tracking;
    struct bitmap dirty;         /* frames whose content the target does not have */
    uint64_t guest_tsc;          /* at the pause */
    struct msg_running running;
    /* in doubt */
    struct flight own_flight;
    bool asking;                 /* a background thread asks the peer */
    bool forced, force_here;     /* the operator's word */
};

static uint64_t next_epoch(void)
{
    static uint64_t count;
    return teleport_boot_id() + ++count;
}

static enum err fault(struct source *s, enum err e, const char *why)
{
    snprintf(s->channel.why, sizeof s->channel.why, "%s", why);
    return e;
}

/* ---- connect, negotiate ---------------------------------------------------------------------------------------- */

static enum err open_channel(struct source *s)
{
    struct stream *stream;
    enum err e = stream_connect(&stream, s->options.address, s->options.port, time_after_us(s->options.timeout_us));
    if (e) {
        snprintf(s->channel.why, sizeof s->channel.why, "the peer cannot be reached: %s", err_name(e));
        return e;
    }
    return channel_open(&s->channel, stream, s->options.timeout_us);
}

static enum err connect_peer(struct source *s)
{
    return open_channel(s);
}

static void describe_device(struct msg_guest *m, const struct section *section)
{
    snprintf(m->devices[m->device_count], DEVICE_NAME_MAX, "%s", section->name);
    m->device_versions[m->device_count++] = section->version;
}

static void describe_guest(const struct source *s, struct msg_guest *m)
{
    const struct vm *vm = s->vm;
    *m = (struct msg_guest){
        .epoch = s->epoch,
        .memory_bytes = vm->memory.size,
        .vcpus = vm->vcpu_count,
        .console = vm->config.console,
        .range_count = 1,
        .range_size = { vm->memory.size },
        .was_paused = s->was_paused,
        .audit = s->options.audit,
    };
    snprintf(m->name, sizeof m->name, "%s", vm->name);
    snprintf(m->image, sizeof m->image, "%s", vm->config.image);
    snprintf(m->cmdline, sizeof m->cmdline, "%s", vm->config.cmdline);
    describe_device(m, &lapic_section);
    describe_device(m, &uart_section);
    vm_policy_of(vm, &m->policy);
}

static enum err negotiate(struct source *s)
{
    struct msg_hello mine = teleport_hello(), theirs;
    struct msg_guest *guest = malloc(sizeof *guest);
    struct msg_accept accept;
    if (!guest)
        return fault(s, ERR_NO_MEMORY, "no memory for the guest's description");
    describe_guest(s, guest);
    enum err e = channel_send_message(&s->channel, RECORD_HELLO, &mine);
    e = e ? e : channel_send_now(&s->channel, RECORD_GUEST, guest);
    free(guest);
    e = e ? e : channel_expect(&s->channel, RECORD_HELLO, &theirs);
    if (e)
        return e;
    memcpy(s->flight->target, theirs.pod, sizeof s->flight->target);
    s->flight->target_tsc_hz = theirs.tsc_hz;
    e = channel_expect(&s->channel, RECORD_ACCEPT, &accept);
    if (e)
        return e;
    s->state = source_step(s->state, SOURCE_ACCEPTED).next;
    return OK;
}

static enum err measure_clock(struct source *s)
{
    for (int i = 0; i < CLOCK_SAMPLES; i++) {
        struct msg_ping ping = { .source_ns = teleport_now_ns() };
        struct msg_pong pong;
        enum err e = channel_send_now(&s->channel, RECORD_CLOCK_PING, &ping);
        e = e ? e : channel_expect(&s->channel, RECORD_CLOCK_PONG, &pong);
        if (e)
            return e;
        clock_add_sample(&s->flight->clock, ping.source_ns, pong.received_ns, pong.sent_ns, teleport_now_ns());
    }
    return s->flight->clock.samples ? OK : fault(s, ERR_PROTOCOL, "the peer's clock answers make no sense");
}

/* ---- pre-copy -------------------------------------------------------------------------------------------------- */

/* Runs of zero frames, gathered until a record is full. */
struct zero_runs {
    uint32_t count;
    uint64_t next;    /* the frame that would prolong the last run */
    uint8_t payload[ZERO_RUNS_MAX * ZERO_RUN_SIZE];
};

static enum err zero_flush(struct source *s, struct zero_runs *z)
{
    uint32_t count = z->count;
    z->count = 0;
    return count ? channel_send(&s->channel, RECORD_ZERO, z->payload, count * ZERO_RUN_SIZE) : OK;
}

static enum err zero_add(struct source *s, struct zero_runs *z, uint64_t frame)
{
    if (z->count && z->next == frame) {
        uint8_t *run = z->payload + (z->count - 1) * ZERO_RUN_SIZE;
        wire_put_u64(run + 8, wire_get_u64(run + 8) + 1);
        z->next++;
        return OK;
    }
    enum err e = z->count == ZERO_RUNS_MAX ? zero_flush(s, z) : OK;
    uint8_t *run = z->payload + z->count++ * ZERO_RUN_SIZE;
    wire_put_u64(run, frame);
    wire_put_u64(run + 8, 1);
    z->next = frame + 1;
    return e;
}

/* Sends every frame of s->dirty as it is now, and clears the set. */
static enum err send_dirty(struct source *s, uint64_t *pages, uint64_t *zero_pages)
{
    struct zero_runs *zero = calloc(1, sizeof *zero);
    enum err e = zero ? OK : fault(s, ERR_NO_MEMORY, "no memory for a record of zero frames");
    uint32_t work = 0;

    *pages = *zero_pages = 0;
    for (uint64_t f = bitmap_next(&s->dirty, 0); !e && f != BITMAP_NONE; f = bitmap_next(&s->dirty, f + 1)) {
        const void *content = guest_memory_frame(&s->vm->memory, (struct gfn){ f });
        if (memory_is_zero(content, PAGE_SIZE)) {
            e = zero_add(s, zero, f);
            ++*zero_pages;
            work += WORK_READ;
        } else {
            e = channel_send_page(&s->channel, (struct gfn){ f }, content);
            work += WORK_SEND;
        }
        if (work >= WORK_BETWEEN_YIELDS) {
            work = 0;
            thread_yield();
        }
        ++*pages;
    }
    e = e ? e : zero_flush(s, zero);
    free(zero);
    bitmap_clear_all(&s->dirty);
    return e;
}

static bool is_cut(const struct source *s, const char *here)
{
    return !strcmp(s->options.cut, here);
}

/* Ticks of this CPU that were work: neither idle nor the guest's. The unit of the benchmarks where a tick is an instruction. */
static uint64_t work_ticks(const struct source *s)
{
    return time_now() - cpu_this()->idle_tsc - vm_guest_ticks(s->vm);
}

/* One round: everything dirty goes out, the target acknowledges it, what was written meanwhile is harvested. */
static enum err run_round(struct source *s, struct flight_round *r, uint32_t number)
{
    char name[TELEPORT_CUT_MAX];
    snprintf(name, sizeof name, "round:%u", (unsigned)number);
    uint64_t start = teleport_now_ns(), bytes = s->channel.bytes_sent, work = work_ticks(s);
    struct msg_round begin = { .round = number, .pages = bitmap_count(&s->dirty) }, ack;

    enum err e = channel_send_message(&s->channel, RECORD_ROUND_BEGIN, &begin);
    e = e ? e : send_dirty(s, &r->facts.pages, &r->zero_pages);
    if (!e && is_cut(s, name))
        return fault(s, ERR_CLOSED, "the link was cut by the operator's cut option");
    struct msg_round end = { .round = number, .pages = r->facts.pages, .bytes = s->channel.bytes_sent - bytes };
    e = e ? e : channel_send_now(&s->channel, RECORD_ROUND_END, &end);
    e = e ? e : channel_expect(&s->channel, RECORD_ROUND_ACK, &ack);
    if (!e && ack.round != number)
        e = fault(s, ERR_PROTOCOL, "ROUND_ACK of another round");
    if (e)
        return e;
    r->start_ns = start - s->flight->origin_ns;
    r->facts.bytes = s->channel.bytes_sent - bytes;
    r->facts.duration_ns = teleport_now_ns() - start;
    e = vm_track_harvest(s->vm, &s->dirty);
    r->busy_ticks = work_ticks(s) - work;
    r->facts.dirty_after = bitmap_count(&s->dirty);
    return e ? fault(s, e, "the dirty pages could not be harvested") : OK;
}

static enum stop_decision decide(const struct source *s)
{
    struct round_facts facts[FLIGHT_ROUNDS_MAX];
    for (uint32_t i = 0; i < s->flight->round_count; i++)
        facts[i] = s->flight->rounds[i].facts;
    return stop_decide(&s->options.limits, facts, s->flight->round_count, s->flight->clock.round_trip_ns);
}

static enum err precopy(struct source *s)
{
    enum err e = vm_track_start(s->vm);
    if (e)
        return fault(s, e, "dirty tracking could not be started: no memory for 4 KiB page tables");
    s->tracking = true;
    bitmap_set_range(&s->dirty, 0, s->dirty.bit_count);

    enum stop_decision decision = STOP_NOT_YET;
    while (decision == STOP_NOT_YET) {
        uint32_t number = s->flight->round_count;
        e = run_round(s, &s->flight->rounds[number], number);
        if (e)
            return e;
        s->flight->round_count++;
        if (s->progress)
            s->progress(s->progress_context, s->flight);
        decision = decide(s);
    }
    s->flight->stop_reason = stop_decision_name(decision);
    if (decision == STOP_GIVE_UP)
        return fault(s, ERR_TIMEOUT, "the guest writes faster than the link carries, and may not be stopped for so long");
    s->state = source_step(s->state, SOURCE_CONVERGED).next;
    return OK;
}

/* ---- stop-and-copy --------------------------------------------------------------------------------------------- */

static enum err pause_guest(struct source *s)
{
    struct vm *vm = s->vm;
    if (vm->state == VM_RUNNING) {
        enum err e = vm_pause(vm);
        if (e)
            return fault(s, e, "the guest could not be paused");
    }
    if (vm->state != VM_PAUSED)
        return fault(s, ERR_STATE, "the guest ended by itself during the teleport");
    if (s->was_paused)
        vm->pause_tsc = time_now();
    s->flight->pause_ns = time_to_ns(vm->pause_tsc) - s->flight->origin_ns;
    s->guest_tsc = vm_guest_tsc_at_pause(vm);
    enum err e = vm_track_harvest(vm, &s->dirty);
    return e ? fault(s, e, "the last dirty pages could not be harvested") : OK;
}

static enum err send_residue(struct source *s)
{
    uint64_t bytes = s->channel.bytes_sent;
    enum err e = send_dirty(s, &s->flight->residual_pages, &s->flight->residual_zero_pages);
    s->flight->residual_bytes = s->channel.bytes_sent - bytes;
    return e;
}

static enum err send_state(struct source *s)
{
    uint64_t bytes = s->channel.bytes_sent;
    size_t size = vm_state_size(s->vm), used = 0;
    uint8_t *state = malloc(size);
    if (!state)
        return fault(s, ERR_NO_MEMORY, "no memory for the guest's processor and device state");
    enum err e = vm_state_save(s->vm, state, size, &used);
    if (e)
        fault(s, e, "the guest's processor and device state could not be saved");
    for (size_t at = 0; !e && at < used; at += STATE_CHUNK)
        e = channel_send(&s->channel, RECORD_STATE, state + at, (uint32_t)MIN(used - at, (size_t)STATE_CHUNK));
    free(state);
    s->flight->state_bytes = used;
    s->flight->residual_bytes += s->channel.bytes_sent - bytes;
    return e;
}

/* ---- handover -------------------------------------------------------------------------------------------------- */

static enum err prepare(struct source *s)
{
    struct msg_prepare prepare = {
        .epoch = s->epoch,
        .digest = s->channel.sent_digest,
        .pause_ns = time_to_ns(s->vm->pause_tsc),
        .guest_tsc = s->guest_tsc,
        .offset_ns = s->flight->clock.offset_ns,
        .offset_error_ns = s->flight->clock.error_ns,
    };
    struct msg_ready ready;
    enum err e = channel_send_now(&s->channel, RECORD_PREPARE, &prepare);
    e = e ? e : channel_expect(&s->channel, RECORD_READY, &ready);
    if (e)
        return e;
    if (ready.epoch != s->epoch || ready.digest != prepare.digest)
        return fault(s, ERR_CORRUPT, "READY names another epoch or digest");
    return OK;
}

/* COMMITTED begins before the first byte of COMMIT is given to TCP: from here on only an answer can bring it back. */
static enum err commit(struct source *s)
{
    struct msg_commit commit = { .epoch = s->epoch };
    s->state = source_step(s->state, s->state == SOURCE_STOPPED ? SOURCE_READY : SOURCE_STATUS_WAITING).next;
    enum err e = channel_send_now(&s->channel, RECORD_COMMIT, &commit);
    if (!e && is_cut(s, "running"))
        return fault(s, ERR_CLOSED, "the link was cut by the operator's cut option");
    e = e ? e : channel_expect(&s->channel, RECORD_RUNNING, &s->running);
    if (e)
        return e;
    if (s->running.epoch != s->epoch)
        return fault(s, ERR_PROTOCOL, "RUNNING names another epoch");
    s->state = source_step(s->state, SOURCE_RUNNING).next;
    return OK;
}

static const struct step {
    const char *name;      /* also the name of its phase, and of the cut at its start */
    enum err (*run)(struct source *s);
    bool in_downtime;
} steps[] = {
    { "connect", connect_peer, false },
    { "negotiate", negotiate, false },
    { "clock", measure_clock, false },
    { "pre-copy", precopy, false },
    { "pause", pause_guest, true },
    { "residue", send_residue, true },
    { "state", send_state, true },
    { "prepare", prepare, true },
    { "commit", commit, true },
};

static enum err run_steps(struct source *s)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++) {
        uint64_t start = teleport_now_ns();
        enum err e = is_cut(s, steps[i].name)
                         ? fault(s, ERR_CLOSED, "the link was cut by the operator's cut option")
                         : steps[i].run(s);
        if (e) {
            s->flight->failed_step = steps[i].name;
            return e;
        }
        flight_add_phase(s->flight, steps[i].name, false, steps[i].in_downtime, start, teleport_now_ns());
    }
    return OK;
}

/* ---- in doubt -------------------------------------------------------------------------------------------------- */

static enum source_event status_event(uint32_t status)
{
    switch (status) {
    case STATUS_RUNNING:
        return SOURCE_STATUS_RUNNING;
    case STATUS_WAITING:
        return SOURCE_STATUS_WAITING;
    case STATUS_DISCARDED:
        return SOURCE_STATUS_NEVER;
    default:
        return SOURCE_STATUS_UNKNOWN;
    }
}

/* Asks the peer once, on a new connection, and follows the state machine. */
static void ask(struct source *s)
{
    struct msg_hello mine = teleport_hello(), theirs;
    struct msg_query query = { .epoch = s->epoch };
    struct msg_status status;

    channel_close(&s->channel, true);
    enum err e = open_channel(s);
    e = e ? e : channel_send_message(&s->channel, RECORD_HELLO, &mine);
    e = e ? e : channel_send_now(&s->channel, RECORD_QUERY, &query);
    e = e ? e : channel_expect(&s->channel, RECORD_HELLO, &theirs);
    e = e ? e : channel_expect(&s->channel, RECORD_STATUS, &status);
    if (e || status.epoch != s->epoch)
        return;
    enum source_event event = status_event(status.status);
    log_info(ROOM, "%s: in doubt; the peer says of epoch %llx: %s", s->vm->name, (unsigned long long)s->epoch,
             event == SOURCE_STATUS_RUNNING   ? "it runs here"
             : event == SOURCE_STATUS_WAITING ? "it waits for COMMIT"
             : event == SOURCE_STATUS_NEVER   ? "it never ran here, and never will"
                                              : "not known (the peer has restarted)");
    if (source_step(s->state, event).action == SOURCE_SEND_COMMIT) {
        s->options.cut[0] = '\0';
        if (commit(s))
            s->state = source_step(s->state, SOURCE_FAULT).next;
        return;
    }
    s->state = source_step(s->state, event).next;
}

static void resolve(struct source *s, uint64_t deadline, uint64_t retry_us)
{
    while (s->state == SOURCE_IN_DOUBT && time_now() < deadline) {
        ask(s);
        if (s->state == SOURCE_IN_DOUBT)
            thread_sleep_until(time_after_us(retry_us));
    }
}

/* ---- ends ------------------------------------------------------------------------------------------------------ */

/* What the target's clock saw, on the source's axis. A guest moved out of doubt has no RUNNING: the pod says no figure. */
static void record_target_phases(struct source *s)
{
    struct flight *f = s->flight;
    const struct msg_running *r = &s->running;
    if (!r->epoch)
        return;
    uint64_t prepare_ns = clock_target_to_source(&f->clock, r->prepare_ns);
    uint64_t ready_ns = clock_target_to_source(&f->clock, r->ready_ns);
    uint64_t commit_ns = clock_target_to_source(&f->clock, r->commit_ns);
    uint64_t running_ns = clock_target_to_source(&f->clock, r->running_ns);
    flight_add_phase(f, "load", true, true, prepare_ns, ready_ns);
    flight_add_phase(f, "await commit", true, true, ready_ns, commit_ns);
    flight_add_phase(f, "resume", true, true, commit_ns, running_ns);
    f->running_ns = running_ns - f->origin_ns;
}

/* Every frame as it was at the pause against every frame as the target stored it. Outside the downtime. */
static enum err audit(struct source *s)
{
    uint64_t frames = guest_memory_frames(&s->vm->memory);
    uint8_t *payload = malloc(16 + 4 * AUDIT_FRAMES_PER_RECORD);
    struct msg_audit_result result;
    enum err e = payload ? OK : ERR_NO_MEMORY;

    for (uint64_t first = 0; !e && first < frames; first += AUDIT_FRAMES_PER_RECORD) {
        uint64_t count = MIN(frames - first, (uint64_t)AUDIT_FRAMES_PER_RECORD);
        wire_put_u64(payload, first);
        wire_put_u64(payload + 8, count);
        for (uint64_t i = 0; i < count; i++) {
            const void *content = guest_memory_frame(&s->vm->memory, (struct gfn){ first + i });
            wire_put_u32(payload + 16 + 4 * i, crc32c_update(0, content, PAGE_SIZE));
            if (i % WORK_BETWEEN_YIELDS == 0)
                thread_yield();
        }
        e = channel_send(&s->channel, RECORD_AUDIT, payload, (uint32_t)ALIGN_UP(16 + 4 * count, 8));
    }
    free(payload);
    e = e ? e : channel_flush(&s->channel);
    e = e ? e : channel_expect(&s->channel, RECORD_AUDIT_RESULT, &result);
    if (e)
        return e;
    s->flight->audited = true;
    s->flight->audit_frames = result.frames;
    s->flight->audit_different = result.different;
    return OK;
}

static void finish_moved(struct source *s)
{
    struct msg_commit goodbye = { .epoch = s->epoch };
    s->vm->state = VM_MOVED;
    s->flight->outcome = "moved";
    s->flight->end_ns = teleport_now_ns() - s->flight->origin_ns;
    s->flight->bytes = s->channel.bytes_sent;
    record_target_phases(s);
    if (s->options.audit && s->running.epoch && audit(s))
        log_error(ROOM, "%s: the audit did not end: %s", s->vm->name, s->channel.why);
    if (s->channel.stream && !channel_send_now(&s->channel, RECORD_GOODBYE, &goodbye))
        stream_drain(s->channel.stream, time_after_us(s->options.timeout_us));
    channel_close(&s->channel, false);
    s->vm->teleporting = false;
    vm_destroy(s->vm);
}

/* The guest runs on here, with nothing lost: tracking ends, and the next teleport begins with every frame. */
static void finish_kept(struct source *s)
{
    struct msg_text text = { .epoch = s->epoch };
    snprintf(text.text, sizeof text.text, "%s", s->flight->reason);
    s->flight->outcome = "kept";
    s->flight->bytes = s->channel.bytes_sent;
    if (s->vm->state == VM_IN_DOUBT)
        s->vm->state = VM_PAUSED;
    if (s->tracking)
        vm_track_stop(s->vm);
    s->vm->teleporting = false;
    if (!s->was_paused && s->vm->state == VM_PAUSED) {
        vm_resume(s->vm);
        s->flight->kept_ns = teleport_now_ns() - s->flight->origin_ns;
    }
    if (s->channel.stream && !s->options.cut[0])
        channel_send_now(&s->channel, RECORD_ABORT, &text);
    channel_close(&s->channel, s->options.cut[0] != '\0');
    s->flight->end_ns = teleport_now_ns() - s->flight->origin_ns;
}

static void release(struct source *s)
{
    free(s->dirty.words);
    free(s);
}

/* The guests in doubt that this pod holds: one slot each, all that is needed was allocated before COMMIT. */
static struct source *doubts[VMS_MAX];

static struct source **find_doubt(const struct vm *vm)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (doubts[i] && doubts[i]->vm == vm)
            return &doubts[i];
    return NULL;
}

static struct source **free_doubt_slot(void)
{
    uint32_t i = 0;
    while (doubts[i])    /* there are as many slots as guests */
        i++;
    return &doubts[i];
}

static void end_doubt(struct source **slot)
{
    struct source *s = *slot;
    if (s->state == SOURCE_IN_DOUBT)
        s->state = source_step(s->state, s->force_here ? SOURCE_FORCE_HERE : SOURCE_FORCE_THERE).next;
    log_info(ROOM, "%s: no longer in doubt%s: it runs %s", s->vm->name, s->forced ? " (the operator's word)" : "",
             s->state == SOURCE_DONE ? "on the peer" : "here");
    *slot = NULL;
    if (s->state == SOURCE_DONE)
        finish_moved(s);
    else
        finish_kept(s);
    release(s);
}

static void background_doubt(void *argument)
{
    struct source **slot = argument, *s = *slot;
    while (s->state == SOURCE_IN_DOUBT && !s->forced)
        resolve(s, time_after_us(DOUBT_BACKGROUND_RETRY_US), DOUBT_BACKGROUND_RETRY_US);
    end_doubt(slot);
}

/* Goes on asking in the background; without a thread for that, the guest stays in doubt for the operator alone. */
static enum err leave_in_doubt(struct source *s)
{
    struct source **slot = free_doubt_slot();
    s->flight->outcome = "in doubt";
    s->own_flight = *s->flight;   /* the caller's ends with its call */
    s->flight = &s->own_flight;
    s->progress = NULL;
    *slot = s;
    log_error(ROOM, "%s: IN DOUBT: COMMIT was sent and the peer does not answer. It does not run here until the peer answers "
              "or the operator decides: `resume %s force` or `stop %s force`", s->vm->name, s->vm->name, s->vm->name);
    s->asking = !thread_create(NULL, "doubt", NULL, background_doubt, slot);
    if (!s->asking)
        log_error(ROOM, "%s: no memory for a thread that goes on asking", s->vm->name);
    return ERR_IN_DOUBT;
}

enum err teleport_force(struct vm *vm, bool here)
{
    struct source **slot = find_doubt(vm);
    if (vm->state != VM_IN_DOUBT || !slot)
        return ERR_STATE;
    (*slot)->force_here = here;
    (*slot)->forced = true;
    if (!(*slot)->asking)
        end_doubt(slot);
    return OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static void begin_flight(struct source *s)
{
    struct flight *f = s->flight;
    *f = (struct flight){ .epoch = s->epoch, .outcome = "kept", .memory_bytes = s->vm->memory.size };
    snprintf(f->guest, sizeof f->guest, "%s", s->vm->name);
    snprintf(f->source, sizeof f->source, "%s", teleport_pod_name());
    f->source_tsc_hz = time_tsc_hz();
    f->origin_ns = teleport_now_ns();
}

void teleport_default_options(struct teleport_options *options)
{
    *options = (struct teleport_options){
        .limits = { .downtime_ns = 300000000, .rounds_max = 30 },
        .timeout_us = 10000000,
        .doubt_us = 15000000,
    };
}

enum err teleport_send(struct vm *vm, const struct teleport_options *options, teleport_progress *progress, void *context,
                       struct flight *flight)
{
    if (vm->teleporting)
        return ERR_BUSY;
    if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
        return ERR_STATE;
    uint64_t frames = guest_memory_frames(&vm->memory);
    struct source *s = calloc(1, sizeof *s);
    uint64_t *words = calloc(bitmap_word_count(frames), sizeof *words);
    if (!s || !words) {
        free(s);
        free(words);
        return ERR_NO_MEMORY;
    }
    *s = (struct source){ .vm = vm, .options = *options, .flight = flight, .progress = progress,
                          .progress_context = context, .epoch = next_epoch(), .dirty = { words, frames },
                          .was_paused = vm->state == VM_PAUSED };
    s->options.limits.rounds_max = MIN(MAX(options->limits.rounds_max, 1u), (uint32_t)FLIGHT_ROUNDS_MAX);
    vm->teleporting = true;
    begin_flight(s);

    enum err e = run_steps(s);
    if (e) {
        snprintf(flight->reason, sizeof flight->reason, "%s", s->channel.why);
        log_error(ROOM, "%s: %s: %s (%s)", vm->name, flight->failed_step, flight->reason, err_name(e));
        s->state = source_step(s->state, SOURCE_FAULT).next;
        if (s->state == SOURCE_IN_DOUBT) {
            vm->state = VM_IN_DOUBT;
            resolve(s, time_after_us(s->options.doubt_us), DOUBT_RETRY_US);
        }
    }
    if (s->state == SOURCE_IN_DOUBT)
        return leave_in_doubt(s);
    if (s->state == SOURCE_DONE) {
        finish_moved(s);
        e = OK;
    } else {
        finish_kept(s);
    }
    release(s);
    return e;
}
