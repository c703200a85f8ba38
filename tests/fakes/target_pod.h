/*
 * The target's side of a teleport on a pod of fakes, for unit tests and the fuzzer. Threads are coroutines: every call that
 * may block on a real pod (also the calls to a machine's own CPU) gives the turn back to the test, so that any interleaving
 * of connections, operator and reaper can be played. Streams are byte queues with the test at the other end.
 *
 * What the handover promises is checked at each call, and a broken promise aborts: a machine enters guest mode once at
 * most, after COMMIT, with exactly the memory that its source sent; no epoch is called DISCARDED that runs or ran; nobody
 * uses a machine that is gone; no record holds the CPU for long.
 */
#ifndef TELEPOD_TARGET_POD_H
#define TELEPOD_TARGET_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net/teleport/messages.h"

#define POD_LINKS 8              /* connections of one run */
#define POD_FRAMES_MAX 1024      /* of a guest that is accepted: 4 MiB */

/* One connection as its source sees it. */
struct link {
    struct stream *stream;       /* NULL: never opened, or both ends are closed */
    uint64_t boot_id;
    uint32_t sequence, digest;
    uint64_t bytes, round_start; /* sent so far, and when the round began */
    uint64_t pages;              /* of the round */
    bool guest_sent, prepare_sent;
    uint64_t epoch;              /* of its GUEST */
    struct msg_guest guest;
    uint8_t *frames;             /* what each frame must hold: all its bytes are this one */
    uint32_t answers;            /* records that came back */
    uint16_t last;               /* type of the last one; 0: none */
    struct msg_status status;    /* the last STATUS */
    struct msg_running running;
    struct msg_audit_result audit;
    char words[TEXT_MAX];        /* of the last REFUSE or ABORT */
    bool closed_by_pod;
    bool deaf;                   /* acknowledges nothing until it hangs up: a test's wish */
};
extern struct link links[POD_LINKS];

/* A pod just booted that listens; everything of an earlier one is forgotten. */
void pod_boot(void);
/* Ends all connections and guests and lets time pass; aborts if the pod has kept anything. */
void pod_shut(void);

/* The guest's code runs on another CPU than the network's: each call to it takes turns, and it enters the guest late. */
extern bool pod_many_cpus;
extern uint32_t pod_fail_after;  /* allocations that still succeed; UINT32_MAX: all */

void pod_connect(uint32_t index, uint64_t boot_id);
void pod_send(uint32_t index, uint16_t type, const void *payload, uint32_t length);
void pod_send_message(uint32_t index, uint16_t type, const void *message);
void pod_send_bytes(uint32_t index, const void *bytes, size_t size);   /* no record */
void pod_hang_up(uint32_t index);
void pod_time_out(uint32_t index);             /* nothing comes for longer than the pod waits */

/* Honest records of link `index`, with what the model of its guest needs. */
void pod_send_hello(uint32_t index);
/* A guest of one vCPU; then of any configuration. */
void pod_guest(struct msg_guest *out, uint64_t epoch, const char *name, uint64_t memory_bytes);
void pod_guest_of(struct msg_guest *out, uint64_t epoch, const struct guest_config *config, enum msg_guest_state state);
void pod_send_guest(uint32_t index, const struct msg_guest *guest);
void pod_send_page(uint32_t index, uint64_t frame, uint8_t byte);
void pod_send_zero(uint32_t index, const struct frame_run *runs, uint32_t count);
void pod_send_round_begin(uint32_t index, uint32_t round, uint64_t pages);
void pod_send_round_end(uint32_t index, uint32_t round);
void pod_send_state(uint32_t index);
void pod_send_prepare(uint32_t index, uint64_t epoch);
void pod_send_epoch(uint32_t index, uint16_t type, uint64_t epoch);    /* COMMIT, QUERY, GOODBYE */
void pod_send_abort(uint32_t index, uint64_t epoch);
void pod_send_audit(uint32_t index, uint64_t first, uint64_t count);   /* with the right CRCs */

/* One turn for one of the pod's threads; false: it has nothing to do. */
bool pod_step(uint32_t thread);
void pod_run(void);                            /* until nobody has anything to do */
void pod_pass(uint64_t seconds);               /* time goes by, and the listener looks at what waits */

/* As net/control does it: false if the guest is not there, or not the operator's to command now. */
bool pod_stop_guest(const char *name);
bool pod_resume_guest(const char *name);
bool pod_has_guest(const char *name, bool running);
uint32_t pod_guest_count(void);

#endif
