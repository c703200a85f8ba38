/*
 * The source's side against a peer that is played here, record by record, with one fake guest: how each teleport ends, what
 * the flight record says of it, and whose word counts when the guest is in doubt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE_DIRECT_MAP 0
#include "net/teleport/channel.c"
#include "net/teleport/doubt.c"
#include "net/teleport/ends.c"
#include "net/teleport/identity.c"
#include "net/teleport/precopy.c"
#include "net/teleport/source.c"

#define MEMORY (2 * MIB)
#define GUEST_TSC_AHEAD 1000000000000ULL      /* of the host's */

/* ---- the pod ------------------------------------------------------------------------------------------------------ */

static uint64_t now;                          /* a tick is a nanosecond */
static struct vm *vm;
static uint8_t *memory, writes;           /* what the guest adds to frame 1 before each harvest */
static uint64_t busy_frames;                  /* and to how many behind it */
static bool tracking, destroyed;
static uint32_t resumed, blocks;
static struct cpu this_cpu, another_cpu;
static uint64_t guest_ticks;
static void (*background)(void *);
static void *background_argument;
static enum err thread_result;

uint64_t time_now(void) { return now += 100; }
uint64_t time_tsc_hz(void) { return NS_PER_S; }
uint64_t time_from_us(uint64_t us) { return us * NS_PER_US; }
uint64_t time_to_ns(uint64_t ticks) { return ticks; }
void log_info(const char *room, const char *format, ...) { (void)room; (void)format; }
void log_error(const char *room, const char *format, ...) { (void)room; (void)format; }
struct cpu *cpu_this(void) { return &this_cpu; }
void thread_yield(void) {}
void thread_sleep_until(uint64_t deadline) { now = MAX(now, deadline); }
enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg)
{
    (void)out, (void)name, (void)cpu;
    background = thread_result ? NULL : fn;
    background_argument = arg;
    return thread_result;
}

enum err vm_pause(struct vm *v)
{
    v->state = VM_PAUSED;
    v->last_ran_tsc = time_now();
    v->pause_tsc = time_now();
    v->pause_guest_tsc = clock_guest_tsc(&v->clock, v->pause_tsc);
    return OK;
}
enum err vm_resume(struct vm *v)
{
    assert_true(v->teleporting);              /* else an operator could stop it while this waits for its CPU */
    assert_int_equal(v->state, VM_PAUSED);
    v->state = VM_RUNNING;
    resumed++;
    return OK;
}
enum err vm_destroy(struct vm *v)
{
    assert_int_equal(v->state, VM_MOVED);
    destroyed = true;
    return OK;
}
enum err vm_track_start(struct vm *v) { (void)v; tracking = true; return OK; }
enum err vm_track_stop(struct vm *v) { (void)v; tracking = false; return OK; }
enum err vm_track_harvest(struct vm *v, struct bitmap *out)
{
    (void)v;
    guest_ticks += 50000;                     /* it has run meanwhile */
    memory[PAGE_SIZE] += writes;
    bitmap_set(out, 1);
    for (uint64_t f = 2; f < 2 + busy_frames; f++) {
        memory[f * PAGE_SIZE]++;
        bitmap_set(out, f);
    }
    return OK;
}
enum err page_alloc(unsigned order, struct hpa *out)
{
    out->raw = (uint64_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);
    blocks++;
    return OK;
}
void page_free(struct hpa base, unsigned order)
{
    (void)order;
    free((void *)base.raw);
    blocks--;
}
struct vm_state_room {
    bool ended, full;
};
struct vm_state_room *vm_state_room_new(struct vm *v, bool ended)
{
    struct vm_state_room *room = calloc(1, sizeof *room);
    (void)v;
    room->ended = ended;
    return room;
}
void vm_state_room_free(struct vm_state_room *room) { free(room); }
enum err vm_state_capture(struct vm *v, struct vm_state_room *room)
{
    assert_int_equal(room->ended, v->state == VM_HALTED);
    room->full = true;
    return OK;
}
size_t vm_state_write(struct vm_state_room *room, void *buffer, size_t size)
{
    assert_true(size >= VM_STATE_RECORD_MIN);
    if (!room->full)
        return 0;
    room->full = false;
    memset(buffer, 1, 64);
    return 64;
}
uint64_t vm_guest_tsc_at_pause(const struct vm *v) { return v->pause_guest_tsc; }
uint64_t vm_guest_ticks_on(const struct vm *v, const struct cpu *cpu) { return v->cpu == cpu ? guest_ticks : 0; }
void vm_policy_of(const struct vm *v, struct vm_policy *out) { (void)v; *out = (struct vm_policy){ .version = 1 }; }
const void *guest_memory_frame(const struct guest_memory *m, struct gfn gfn) { (void)m; return memory + gfn.raw * PAGE_SIZE; }

/* ---- the peer ----------------------------------------------------------------------------------------------------- */

#define ABSENT 99u                            /* a status that means: it does not answer a new connection */

static struct peer {
    bool wrong_accept, wrong_pong;
    uint64_t slow_ns;                         /* what each write costs once the guest stands still */
    bool never_ready;
    bool silent_after_commit;
    uint32_t answer;                          /* to QUERY */
    bool run_on_second_commit;
    void (*on_query)(void);
    uint32_t commits, queries, aborts, connections;
    struct msg_prepare prepare;
} peer;

struct stream {
    uint8_t in[1 << 16];                      /* for the source */
    size_t size, at;
    uint32_t sequence, sent;
    uint32_t digest, digest_before;
    bool closed;
};
static uint32_t streams;

static void answer(struct stream *s, uint16_t type, const void *message)
{
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(type, message, wire);
    record_header_put(s->in + s->size, type, length, s->sent++, crc32c_update(0, wire, length));
    memcpy(s->in + s->size + RECORD_HEADER_SIZE, wire, length);
    s->size += RECORD_HEADER_SIZE + length;
}

static void serve_pre_copy(struct stream *s, uint16_t type, const uint8_t *payload, uint32_t length)
{
    static struct msg_guest guest;
    char why[TEXT_MAX];
    struct msg_hello hello = teleport_hello();
    struct msg_round round;
    struct msg_ping ping;
    if (type == RECORD_HELLO) {
        answer(s, RECORD_HELLO, &hello);
    } else if (type == RECORD_GUEST) {
        message_decode(type, &guest, payload, length, why, sizeof why);
        answer(s, RECORD_ACCEPT, &(struct msg_accept){ guest.epoch + peer.wrong_accept });
    } else if (type == RECORD_CLOCK_PING) {
        message_decode(type, &ping, payload, length, why, sizeof why);
        answer(s, RECORD_CLOCK_PONG, &(struct msg_pong){ ping.source_ns + peer.wrong_pong, now - 5000, now - 5000 });
    } else if (type == RECORD_ROUND_END) {
        message_decode(type, &round, payload, length, why, sizeof why);
        answer(s, RECORD_ROUND_ACK, &round);
    }
}

static void serve_handover(struct stream *s, uint16_t type, const uint8_t *payload, uint32_t length)
{
    char why[TEXT_MAX];
    uint64_t epoch = peer.prepare.epoch;
    if (type == RECORD_PREPARE) {
        message_decode(type, &peer.prepare, payload, length, why, sizeof why);
        if (!peer.never_ready)
            answer(s, RECORD_READY, &(struct msg_ready){ peer.prepare.epoch, peer.prepare.digest, 0, now, now });
    } else if (type == RECORD_COMMIT) {
        peer.commits++;
        bool runs = peer.commits > 1 ? peer.run_on_second_commit : !peer.silent_after_commit;
        s->closed = !runs;
        if (runs)
            answer(s, RECORD_RUNNING, &(struct msg_running){ epoch, now - 4000, now - 3500, now - 3200, now - 3000, now - 2900 });
    } else if (type == RECORD_QUERY) {
        peer.queries++;
        if (peer.on_query)
            peer.on_query();
        answer(s, RECORD_STATUS, &(struct msg_status){ epoch, peer.answer, 0 });
    } else if (type == RECORD_ABORT) {
        peer.aborts++;
    }
}

enum err stream_connect(struct stream **out, uint32_t address, uint16_t port, uint64_t deadline)
{
    (void)address, (void)port, (void)deadline;
    if (peer.connections++ && peer.answer == ABSENT)
        return ERR_TIMEOUT;
    *out = calloc(1, sizeof **out);
    streams++;
    return OK;
}
enum err stream_write(struct stream *s, const void *data, size_t size, bool push, uint64_t deadline)
{
    (void)push;
    now += size;                              /* a byte a nanosecond */
    if (vm->state == VM_PAUSED && now + peer.slow_ns > deadline) {
        now = MAX(now, deadline);
        s->closed = true;                     /* nothing of it, nor of what follows, is looked at */
        return ERR_TIMEOUT;
    }
    now += vm->state == VM_PAUSED ? peer.slow_ns : 0;
    for (const uint8_t *at = data, *end = at + size; at < end && !s->closed;) {
        struct record_header h;
        char why[TEXT_MAX];
        assert_int_equal(record_header_get(at, s->sequence++, &h, why, sizeof why), OK);
        serve_pre_copy(s, h.type, at + RECORD_HEADER_SIZE, h.length);
        serve_handover(s, h.type, at + RECORD_HEADER_SIZE, h.length);
        at += RECORD_HEADER_SIZE + h.length;
    }
    return OK;
}
bool stream_has_input(const struct stream *s) { (void)s; return true; }
enum err stream_read(struct stream *s, void *buffer, size_t size, uint64_t deadline)
{
    if (peer.never_ready && s->size == s->at) {
        now = MAX(now, deadline);
        return ERR_TIMEOUT;
    }
    if (s->size - s->at < size)
        return ERR_CLOSED;
    memcpy(buffer, s->in + s->at, size);
    s->at += size;
    return OK;
}
enum err stream_drain(struct stream *s, uint64_t deadline) { (void)s, (void)deadline; return OK; }
void stream_close(struct stream *s) { streams -= s != NULL; free(s); }
void stream_abort(struct stream *s) { stream_close(s); }

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static struct flight flight;
static struct teleport_options options;

static int setup(void **state)
{
    (void)state;
    peer = (struct peer){ 0 };
    now = NS_PER_S;
    tracking = destroyed = false;
    resumed = 0;
    guest_ticks = 0;
    background = NULL;
    thread_result = OK;
    memory = calloc(1, MEMORY);
    memory[0] = 1;
    writes = 0;
    busy_frames = 0;
    vm = calloc(1, sizeof *vm);
    strcpy(vm->name, "g");
    strcpy(vm->config.name, "g");
    vm->config.vcpus = 1;
    vm->state = VM_RUNNING;
    vm->memory.size = MEMORY;
    vm->vcpu_count = 1;
    vm->cpu = &this_cpu;
    vm->clock = (struct guest_clock){ TSC_MULTIPLIER_ONE, GUEST_TSC_AHEAD };
    teleport_default_options(&options);
    options.limits.rounds_max = 2;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(streams, 0);
    assert_int_equal(blocks, 0);
    for (uint32_t i = 0; i < VMS_MAX; i++)
        assert_null(doubts[i]);
    free(memory);
    free(vm);
    return 0;
}

static enum err send_guest(void)
{
    return teleport_send(vm, &options, NULL, NULL, &flight);
}

static void is_kept(void)
{
    assert_int_equal(vm->state, VM_RUNNING);
    assert_int_equal(resumed, 1);
    assert_false(destroyed);
    assert_false(tracking);
    assert_false(vm->teleporting);
}

static void is_moved(void)
{
    assert_true(destroyed);
    assert_int_equal(resumed, 0);
}

static void a_guest_moves(void **state)
{
    (void)state;
    uint64_t downtime;
    assert_int_equal(send_guest(), OK);
    is_moved();
    assert_int_equal(peer.commits, 1);
    assert_true(flight_downtime_ns(&flight, &downtime));
    assert_int_equal(flight.clock.samples, CLOCK_SAMPLES + 2);   /* and READY, and RUNNING */
}

/* The operator holds it: its clock has gone on all the time, and nothing of that is a downtime. */
static void a_paused_guest_moves(void **state)
{
    (void)state;
    uint64_t downtime;
    vm_pause(vm);
    now += 5 * NS_PER_S;
    assert_int_equal(send_guest(), OK);
    assert_int_equal(peer.prepare.guest_tsc, peer.prepare.pause_ns + GUEST_TSC_AHEAD);
    assert_true(peer.prepare.pause_ns > 6 * NS_PER_S);
    assert_false(flight_downtime_ns(&flight, &downtime));
}

/* Nothing of its RAM is sent, and what fails leaves it as it was: ended. */
static void an_ended_guest_moves(void **state)
{
    (void)state;
    uint64_t downtime;
    vm->state = VM_HALTED;
    assert_int_equal(send_guest(), OK);
    assert_int_equal(flight.rounds[0].facts.pages, 0);
    assert_false(flight_downtime_ns(&flight, &downtime));
    teardown(state);
    setup(state);
    vm->state = VM_HALTED;
    snprintf(options.cut, sizeof options.cut, "prepare");
    assert_int_equal(send_guest(), ERR_CLOSED);
    assert_int_equal(vm->state, VM_HALTED);
    assert_int_equal(resumed, 0);
}

static void answers_to_something_else(void **state)
{
    (void)state;
    peer.wrong_accept = true;
    assert_int_equal(send_guest(), ERR_PROTOCOL);
    assert_string_equal(flight.failed_step, "negotiate");
    peer.wrong_accept = false;
    peer.wrong_pong = true;
    assert_int_equal(send_guest(), ERR_PROTOCOL);
    assert_string_equal(flight.failed_step, "clock");
    assert_int_equal(vm->state, VM_RUNNING);
    assert_false(vm->teleporting);
}

/* Frame 1 is written before each harvest: it is sent again if that changed it, and not if it holds what was sent last. */
static void only_what_has_changed_is_sent_again(void **state)
{
    for (writes = 0; writes < 2; writes++) {
        bool changes = writes;
        memory[PAGE_SIZE] = 3;
        options.limits.rounds_max = 4;
        assert_int_equal(send_guest(), OK);
        assert_int_equal(flight.rounds[0].facts.dirty_after, 1);     /* round 0 keeps no copies */
        assert_int_equal(flight.rounds[1].facts.dirty_after, changes);
        assert_int_equal(flight.residual_pages, changes);
        teardown(state);
        setup(state);
        writes = changes;
    }
}

/* Guests of other CPUs take nothing from this one. */
static void work_of_this_cpu_only(void **state)
{
    (void)state;
    vm->cpu = &another_cpu;
    assert_int_equal(send_guest(), OK);
    assert_true(flight.rounds[0].busy_ticks < NS_PER_S);
}

static void a_failure_keeps_it(void **state)
{
    (void)state;
    strcpy(options.cut, "commit");
    assert_int_equal(send_guest(), ERR_CLOSED);
    is_kept();
    assert_int_equal(peer.commits, 0);
}

/* However slowly the peer takes the rest: the guest stands still for one time-out, not for one a write. */
static void a_slow_peer_does_not_keep_it_stopped(void **state)
{
    const char *failed[] = { "residue", "prepare" };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(failed); i++) {
        vm->state = VM_RUNNING;
        resumed = 0;
        busy_frames = i == 0 ? 64 : 4;        /* many writes, or few */
        peer.slow_ns = i == 0 ? 4 * NS_PER_S : 3 * NS_PER_S;
        peer.never_ready = i == 1;
        options.limits.rounds_max = 1;
        assert_int_equal(send_guest(), ERR_TIMEOUT);
        is_kept();
        assert_string_equal(flight.failed_step, failed[i]);
        assert_non_null(strstr(flight.reason, "the guest has stood still for 10000 ms"));
        assert_in_range(flight.origin_ns + flight.kept_ns - vm->pause_tsc, 9 * NS_PER_S, 11 * NS_PER_S);
        assert_int_equal(peer.commits, 0);
    }
}

/* ---- in doubt ----------------------------------------------------------------------------------------------------- */

static void the_peer_runs_it(void **state)
{
    (void)state;
    peer.silent_after_commit = true;
    peer.answer = STATUS_RUNNING;
    assert_int_equal(send_guest(), OK);
    is_moved();
    assert_true(flight.bytes > PAGE_SIZE);      /* of all connections, not of the last one */
}

static void the_peer_never_ran_it(void **state)
{
    (void)state;
    peer.silent_after_commit = true;
    peer.answer = STATUS_DISCARDED;
    assert_int_not_equal(send_guest(), OK);
    is_kept();
    assert_true(flight.bytes > PAGE_SIZE);
}

static void the_peer_waits(void **state)
{
    (void)state;
    peer.silent_after_commit = true;
    peer.run_on_second_commit = true;
    peer.answer = STATUS_WAITING;
    assert_int_equal(send_guest(), OK);
    is_moved();
    assert_int_equal(peer.commits, 2);
}

static void leave_in_doubt(void)
{
    peer.silent_after_commit = true;
    peer.answer = ABSENT;
    assert_int_equal(send_guest(), ERR_IN_DOUBT);
    assert_int_equal(vm->state, VM_IN_DOUBT);
    assert_string_equal(flight.outcome, "in doubt");
    assert_true(flight.bytes > PAGE_SIZE);
    assert_int_equal(resumed, 0);
}

static void the_operator_decides(void **state)
{
    (void)state;
    for (int asking = 0; asking < 2; asking++) {
        for (int here = 0; here < 2; here++) {
            thread_result = asking ? OK : ERR_NO_MEMORY;
            vm->state = VM_RUNNING;
            destroyed = false;
            resumed = 0;
            peer.connections = peer.commits = 0;
            leave_in_doubt();
            assert_int_equal(teleport_force(vm, here), OK);
            if (asking)
                background(background_argument);
            if (here)
                is_kept();
            else
                is_moved();
            assert_int_equal(teleport_force(vm, here), ERR_STATE);
        }
    }
}

static void force_here(void) { assert_int_equal(teleport_force(vm, true), OK); }
static void force_there(void) { assert_int_equal(teleport_force(vm, false), OK); }

/* The peer says WAITING while the operator says "here": a COMMIT after his word could make it run twice. */
static void no_commit_after_the_operators_word(void **state)
{
    (void)state;
    leave_in_doubt();
    peer.answer = STATUS_WAITING;
    peer.on_query = force_here;
    background(background_argument);
    is_kept();
    assert_int_equal(peer.commits, 1);
    assert_int_equal(peer.aborts, 1);
}

/* "It runs there", and there it only waits: then COMMIT is what he wants; without it the guest would be lost. */
static void there_means_commit(void **state)
{
    (void)state;
    leave_in_doubt();
    peer.answer = STATUS_WAITING;
    peer.run_on_second_commit = true;
    peer.on_query = force_there;
    background(background_argument);
    is_moved();
    assert_int_equal(peer.commits, 2);
}

/* What the peer knows is better than what the operator thinks. */
static void the_peers_word_wins(void **state)
{
    (void)state;
    leave_in_doubt();
    peer.answer = STATUS_RUNNING;
    peer.on_query = force_here;
    background(background_argument);
    is_moved();
}

/* The operator need not wait until the teleport command gives up asking. */
static void a_word_while_the_command_asks(void **state)
{
    (void)state;
    peer.silent_after_commit = true;
    peer.answer = STATUS_UNKNOWN;
    peer.on_query = force_here;
    assert_int_not_equal(send_guest(), OK);
    is_kept();
    assert_int_equal(peer.queries, 1);
}

static void no_word_between_commit_and_its_answer(void **state)
{
    (void)state;
    leave_in_doubt();
    struct source *s = doubts[0];
    s->state = SOURCE_COMMITTED;
    assert_int_equal(teleport_force(vm, true), ERR_BUSY);
    s->state = SOURCE_IN_DOUBT;
    assert_int_equal(teleport_force(vm, false), OK);
    background(background_argument);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_guest_moves),
        TEST(a_paused_guest_moves),
        TEST(an_ended_guest_moves),
        TEST(answers_to_something_else),
        TEST(only_what_has_changed_is_sent_again),
        TEST(work_of_this_cpu_only),
        TEST(a_failure_keeps_it),
        TEST(a_slow_peer_does_not_keep_it_stopped),
        TEST(the_peer_runs_it),
        TEST(the_peer_never_ran_it),
        TEST(the_peer_waits),
        TEST(the_operator_decides),
        TEST(no_commit_after_the_operators_word),
        TEST(there_means_commit),
        TEST(the_peers_word_wins),
        TEST(a_word_while_the_command_asks),
        TEST(no_word_between_commit_and_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
