/*
 * The source side of a teleport, in the order in which it happens: the table `steps` is its table of contents. Each step
 * either succeeds or leaves the reason in the channel's `why`; what a failure means is decided in one place (teleport_send), by the
 * state machine of handover.h and by nothing else.
 *
 * **Until COMMIT is handed to TCP, every failure lets the guest run on here; from then on only an answer does.**
 */
#include "net/teleport/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"
#include "net/teleport/guest_message.h"
#include "vmx/state.h"

#define ROOM "teleport"
#define CLOCK_SAMPLES 8
#define STATE_RECORD_MAX 16384
_Static_assert(STATE_RECORD_MAX >= VM_STATE_RECORD_MIN && STATE_RECORD_MAX <= RECORD_PAYLOAD_MAX, "state.h, wire.h");
#define SLOWER_THAN_SHOWN 4   /* times: the rest may take so much longer than at the rate of pre-copy */
#define DOUBT_RETRY_US 500000
#define DEFAULT_DOWNTIME_NS (300 * US_PER_MS * NS_PER_US)
#define DEFAULT_ROUNDS_MAX 30
#define DEFAULT_TIMEOUT_US (10 * US_PER_S)
#define DEFAULT_DOUBT_US (15 * US_PER_S)

static uint64_t next_epoch(void)
{
    static uint64_t count;
    return teleport_boot_id() + ++count;
}

enum err source_fault(struct source *s, enum err e, const char *why)
{
    snprintf(s->channel.why, sizeof s->channel.why, "%s", why);
    return e;
}

bool source_is_cut(const struct source *s, const char *here)
{
    return !strcmp(s->options.cut, here);
}

/* ---- connect, negotiate ---------------------------------------------------------------------------------------- */

enum err source_open_channel(struct source *s)
{
    struct stream *stream;
    enum err e = stream_connect(&stream, s->options.address, s->options.port, time_after_us(s->options.timeout_us));
    if (e) {
        snprintf(s->channel.why, sizeof s->channel.why, "the peer cannot be reached: %s", err_name(e));
        return e;
    }
    return channel_open(&s->channel, stream, s->options.timeout_us);
}

void source_count_bytes(struct source *s)
{
    s->flight->bytes += s->channel.bytes_sent;
    s->channel.bytes_sent = 0;
}

void source_tell_progress(struct source *s)
{
    if (s->progress)
        s->progress(s->progress_context, s->flight);
}

static enum err connect_peer(struct source *s)
{
    return source_open_channel(s);
}

static enum err describe_guest(const struct source *s, struct msg_guest *m)
{
    const struct vm *vm = s->vm;
    enum err e = guest_message_make(m, &vm->config, vm->memory.size, vm->memory.disk_size, s->guest);
    m->epoch = s->epoch;
    m->audit = s->options.audit;
    if (s->guest == GUEST_ENDED)
        snprintf(m->reason, sizeof m->reason, "%s", vm->reason);
    vm_policy_of(vm, &m->policy);
    return e;
}

static enum err negotiate(struct source *s)
{
    struct msg_hello mine = teleport_hello(), theirs;
    struct msg_guest *guest = malloc(sizeof *guest);
    struct msg_accept accept;
    enum err e = guest ? describe_guest(s, guest) : ERR_NO_MEMORY;
    if (e) {
        free(guest);
        return source_fault(s, e, "no memory for the guest's description");
    }
    e = channel_send_message(&s->channel, RECORD_HELLO, &mine);
    e = e ? e : channel_send_now(&s->channel, RECORD_GUEST, guest);
    free(guest);
    e = e ? e : channel_expect(&s->channel, RECORD_HELLO, &theirs);
    if (e)
        return e;
    memcpy(s->flight->target, theirs.pod, sizeof s->flight->target);
    s->flight->target_tsc_hz = theirs.tsc_hz;
    s->peer_control_port = (uint16_t)theirs.control_port;
    e = channel_expect(&s->channel, RECORD_ACCEPT, &accept);
    if (!e && accept.epoch != s->epoch)
        e = source_fault(s, ERR_PROTOCOL, "ACCEPT names another epoch");
    if (e)
        return e;
    s->state = source_step(s->state, SOURCE_ACCEPTED).next;
    return OK;
}

enum err source_measure_clock(struct source *s, uint32_t exchanges)
{
    for (uint32_t i = 0; i < exchanges; i++) {
        struct msg_ping ping = { .source_ns = teleport_now_ns() };
        struct msg_pong pong;
        enum err e = channel_send_now(&s->channel, RECORD_CLOCK_PING, &ping);
        e = e ? e : channel_expect(&s->channel, RECORD_CLOCK_PONG, &pong);
        if (!e && pong.source_ns != ping.source_ns)
            e = source_fault(s, ERR_PROTOCOL, "CLOCK_PONG answers another CLOCK_PING");
        if (e)
            return e;
        clock_add_sample(&s->flight->clock, ping.source_ns, pong.received_ns, pong.sent_ns, teleport_now_ns());
    }
    return s->flight->clock.samples ? OK : source_fault(s, ERR_PROTOCOL, "the peer's clock answers make no sense");
}

static enum err measure_clock(struct source *s)
{
    return source_measure_clock(s, CLOCK_SAMPLES);
}

/* ---- stop-and-copy --------------------------------------------------------------------------------------------- */

/*
 * Until COMMIT the guest can go on here, so a slow peer keeps it stopped for a time-out, and no longer. Longer only if the
 * operator accepts that, or if the link has carried so little all the time.
 */
static uint64_t longest_standstill_us(const struct source *s)
{
    struct round_facts facts[FLIGHT_ROUNDS_MAX];
    uint32_t count = flight_facts(s->flight, facts);
    uint64_t rate = stop_bandwidth(facts, count, s->flight->clock.round_trip_ns);
    uint64_t rest_us = rate ? bitmap_count(&s->dirty) * PAGE_SIZE * US_PER_S / rate : 0;
    return MAX(MAX(s->options.timeout_us, s->options.limits.downtime_ns / NS_PER_US), SLOWER_THAN_SHOWN * rest_us);
}

/* The channel timed out: because of the link, or because of the guest? */
static enum err explain(struct source *s, enum err e)
{
    char text[TEXT_MAX];

    if (e != ERR_TIMEOUT || !s->channel.deadline || time_now() < s->channel.deadline)
        return e;
    snprintf(text, sizeof text, "the peer is too slow: the guest has stood still for %llu ms, and runs on here",
             (unsigned long long)(s->standstill_us / US_PER_MS));
    return source_fault(s, e, text);
}

static enum err pause_guest(struct source *s)
{
    struct vm *vm = s->vm;
    if (vm->state == VM_RUNNING) {
        enum err e = vm_pause(vm);
        if (e)
            return source_fault(s, e, "the guest could not be paused");
    }
    if (vm->state != (s->guest == GUEST_ENDED ? VM_HALTED : VM_PAUSED))
        return source_fault(s, ERR_STATE, "the guest ended by itself during the teleport");
    /* The clock of a guest that an operator holds goes on: it is read now. Such a guest has no downtime. */
    bool ran = s->guest == GUEST_RUNS;
    s->pause_tsc = ran ? vm->pause_tsc : time_now();
    s->guest_tsc = ran ? vm_guest_tsc_at_pause(vm) : clock_guest_tsc(&vm->clock, s->pause_tsc);
    if (ran)
        flight_begin_downtime(s->flight, time_to_ns(vm->last_ran_tsc));
    enum err e = vm_track_harvest(vm, &s->dirty);
    source_drop_unchanged(s);
    s->standstill_us = longest_standstill_us(s);
    if (ran)
        s->channel.deadline = vm->pause_tsc + time_from_us(s->standstill_us);
    return e ? source_fault(s, e, "the last dirty pages could not be harvested") : OK;
}

static enum err send_residue(struct source *s)
{
    uint64_t bytes = s->channel.bytes_sent;
    enum err e = source_send_dirty(s, &s->flight->residual_pages, &s->flight->residual_zero_pages);
    s->flight->residual_bytes = s->channel.bytes_sent - bytes;
    return e;
}

enum err source_send_state(struct source *s)
{
    uint64_t bytes = s->channel.bytes_sent;
    enum err e = vm_state_capture(s->vm, s->room);
    if (e)
        source_fault(s, e, "the guest ended by itself during the teleport");
    for (size_t size = 1; !e && size; ) {
        size = vm_state_write(s->room, s->state_record, STATE_RECORD_MAX);
        e = size ? channel_send(&s->channel, RECORD_STATE, s->state_record, (uint32_t)size) : OK;
    }
    s->flight->state_bytes += s->channel.bytes_sent - bytes;
    return e;
}

static enum err send_state(struct source *s)
{
    uint64_t bytes = s->channel.bytes_sent;
    enum err e = source_send_state(s);
    s->flight->residual_bytes += s->channel.bytes_sent - bytes;
    return e;
}

/* ---- handover -------------------------------------------------------------------------------------------------- */

static enum err prepare(struct source *s)
{
    struct msg_prepare prepare = {
        .epoch = s->epoch,
        .digest = s->channel.sent_digest,
        .pause_ns = time_to_ns(s->pause_tsc),
        .guest_tsc = s->guest_tsc,
        .offset_ns = s->flight->clock.offset_ns,
        .offset_error_ns = clock_error_ns(&s->flight->clock),
    };
    struct msg_ready ready;
    uint64_t sent = teleport_now_ns();
    s->channel.watch_us = CHANNEL_WATCH_US;
    enum err e = channel_send_now(&s->channel, RECORD_PREPARE, &prepare);
    e = e ? e : channel_expect(&s->channel, RECORD_READY, &ready);
    if (e)
        return e;
    clock_add_sample(&s->flight->clock, sent, ready.prepare_ns, ready.ready_ns, teleport_now_ns());
    if (ready.epoch != s->epoch || ready.digest != prepare.digest)
        return source_fault(s, ERR_CORRUPT, "READY names another epoch or digest");
    return OK;
}

/* COMMITTED begins before the first byte of COMMIT is given to TCP: from here on only an answer can bring it back. */
enum err source_commit(struct source *s)
{
    const struct clock_estimate *clock = &s->flight->clock;
    struct msg_commit commit = { .epoch = s->epoch, .offset_ns = clock->offset_ns, .offset_error_ns = clock_error_ns(clock) };
    uint64_t sent = teleport_now_ns();
    s->channel.deadline = 0;
    s->state = source_step(s->state, s->state == SOURCE_STOPPED ? SOURCE_READY : SOURCE_STATUS_WAITING).next;
    enum err e = channel_send_now(&s->channel, RECORD_COMMIT, &commit);
    if (!e && source_is_cut(s, "running"))
        return source_fault(s, ERR_CLOSED, "the link was cut by the operator's cut option");
    e = e ? e : channel_expect(&s->channel, RECORD_RUNNING, &s->running);
    if (e)
        return e;
    if (s->running.epoch != s->epoch) {
        s->running = (struct msg_running){ 0 };
        return source_fault(s, ERR_PROTOCOL, "RUNNING names another epoch");
    }
    clock_add_sample(&s->flight->clock, sent, s->running.commit_ns, s->running.sent_ns, teleport_now_ns());
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
    { "pre-copy", source_precopy, false },
    { "pause", pause_guest, true },
    { "residue", send_residue, true },
    { "state", send_state, true },
    { "prepare", prepare, true },
    { "commit", source_commit, true },
};

static enum err run_steps(struct source *s)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++) {
        uint64_t start = teleport_now_ns();
        enum err e = source_is_cut(s, steps[i].name)
                         ? source_fault(s, ERR_CLOSED, "the link was cut by the operator's cut option")
                         : explain(s, steps[i].run(s));
        if (e) {
            s->flight->failed_step = steps[i].name;
            return e;
        }
        flight_add_phase(s->flight, steps[i].name, false, steps[i].in_downtime, start, teleport_now_ns());
    }
    return OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static void begin_flight(struct source *s)
{
    struct flight *f = s->flight;
    *f = (struct flight){ .epoch = s->epoch, .outcome = "kept", .memory_bytes = s->vm->memory.size,
                          .disk_bytes = s->vm->memory.disk_size };
    snprintf(f->guest, sizeof f->guest, "%s", s->vm->name);
    snprintf(f->source, sizeof f->source, "%s", teleport_pod_name());
    f->source_tsc_hz = time_tsc_hz();
    f->origin_ns = teleport_now_ns();
}

void teleport_default_options(struct teleport_options *options)
{
    *options = (struct teleport_options){
        .limits = { .downtime_ns = DEFAULT_DOWNTIME_NS, .rounds_max = DEFAULT_ROUNDS_MAX },
        .timeout_us = DEFAULT_TIMEOUT_US,
        .doubt_us = DEFAULT_DOUBT_US,
    };
}

static enum msg_guest_state guest_state(const struct vm *vm)
{
    return vm->state == VM_HALTED ? GUEST_ENDED : vm->state == VM_PAUSED ? GUEST_PAUSED : GUEST_RUNS;
}

enum err teleport_send(struct vm *vm, const struct teleport_options *options, teleport_progress *progress, void *context,
                       struct flight *flight)
{
    if (vm->teleporting)
        return ERR_BUSY;
    if (vm->state != VM_RUNNING && vm->state != VM_PAUSED && vm->state != VM_HALTED)
        return ERR_STATE;
    uint64_t frames = guest_memory_frames(&vm->memory);
    struct source *s = calloc(1, sizeof *s);
    uint64_t *words = calloc(bitmap_word_count(frames), sizeof *words);
    struct vm_state_room *room = vm_state_room_new(vm, guest_state(vm) == GUEST_ENDED);
    uint8_t *state_record = malloc(STATE_RECORD_MAX);
    if (!s || !words || !room || !state_record) {
        free(s);
        free(words);
        free(state_record);
        vm_state_room_free(room);
        return ERR_NO_MEMORY;
    }
    *s = (struct source){ .vm = vm, .options = *options, .flight = flight, .progress = progress,
                          .progress_context = context, .epoch = next_epoch(), .dirty = { words, frames },
                          .guest = guest_state(vm), .room = room, .state_record = state_record };
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
            source_tell_progress(s);
            doubt_begin(s);
            doubt_resolve(s, time_after_us(s->options.doubt_us), DOUBT_RETRY_US);
            if (s->state == SOURCE_IN_DOUBT)
                return doubt_leave(s);
            doubt_end(s);
        }
    }
    e = s->state == SOURCE_DONE ? OK : e;
    source_finish(s);
    source_tell_progress(s);
    source_release(s);
    return e;
}
