/*
 * The teleport: a running guest goes from this pod (the source, source.c) to a peer (the target, target.c). PROTOCOL.md is
 * the contract between the two. All threads here live on the network's CPU; the guest may run on any.
 */
#ifndef TELEPOD_TELEPORT_H
#define TELEPOD_TELEPORT_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "net/teleport/flight.h"

struct vm;

/* Where a teleport can be made to lose its link, for tests: at the start of that step. */
#define TELEPORT_CUT_MAX 16

struct teleport_options {
    uint32_t address;              /* the peer's, IPv4, network byte order */
    uint16_t port;
    struct stop_limits limits;
    bool audit;                    /* after the move, compare a CRC of every frame on both pods */
    uint64_t timeout_us;           /* of each answer, and of each wait for the link */
    uint64_t doubt_us;             /* how long to ask after an unanswered COMMIT before the operator is left to decide */
    char cut[TELEPORT_CUT_MAX];    /* "": never; a step's name, or "round:N" */
};
void teleport_default_options(struct teleport_options *options);

/*
 * Called from the teleport's thread after each round that another one follows, with flight->round_count grown by one, and at
 * the end: not while the guest stands still.
 */
typedef void teleport_progress(void *context, const struct flight *flight);

/*
 * Moves the guest; blocks the calling thread until it runs on the peer (OK: vm is gone), or runs on here (any other error,
 * with flight->reason in words), or nobody knows (ERR_IN_DOUBT: vm is VM_IN_DOUBT; a background thread goes on asking,
 * and teleport_force decides). ERR_BUSY, ERR_STATE: not begun.
 */
enum err teleport_send(struct vm *vm, const struct teleport_options *options, teleport_progress *progress, void *context,
                       struct flight *flight);

/*
 * The operator takes the responsibility for a guest in doubt: here (it runs on here) or there (what is here is freed). What
 * the peer says meanwhile is better knowledge, and wins. ERR_STATE: not in doubt. ERR_BUSY: the peer has just said that it
 * waits, and COMMIT is on its way once more; look there again.
 */
enum err teleport_force(struct vm *vm, bool here);

/* Where a guest has gone: what the peer said of itself, and where it was reached. */
struct teleport_departure {
    const char *pod;
    uint32_t address;              /* network byte order */
    uint16_t control_port;         /* 0: it did not say */
};
/* Called once for each guest that runs on a peer now, from a teleport's thread, before the guest's image here is freed. */
typedef void teleport_departed(const struct vm *vm, const struct teleport_departure *to);
void teleport_on_departure(teleport_departed *fn);

/* Accepts teleports on config->teleport_port from now on. */
enum err teleport_listen(const struct pod_config *config);

/* This power-on of this pod; never 0. */
uint64_t teleport_boot_id(void);
uint64_t teleport_now_ns(void);          /* this pod's clock as the wire has it */
const char *teleport_pod_name(void);
void teleport_set_identity(const struct pod_config *config);   /* what HELLO says of us */

/* Our HELLO, for either side. */
struct msg_hello teleport_hello(void);

#endif
