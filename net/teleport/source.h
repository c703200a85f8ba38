/* What the files of the source side share: source.c (the steps), precopy.c, ends.c, doubt.c. */
#ifndef TELEPOD_SOURCE_H
#define TELEPOD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/bitmap.h"
#include "kernel/lib/err.h"
#include "net/teleport/channel.h"
#include "net/teleport/flight.h"
#include "net/teleport/handover.h"
#include "net/teleport/held_pages.h"
#include "net/teleport/teleport.h"
#include "vmx/vm.h"

/* Other threads, guests too, get the CPU after this much work: a page that is sent counts as 8, one that is only read as 1. */
#define WORK_BETWEEN_YIELDS 64
#define WORK_SEND 8
#define WORK_READ 1

/* One teleport, from teleport_send to its end; a guest in doubt keeps it until it is resolved. */
struct source {
    struct vm *vm;
    struct teleport_options options;
    struct channel channel;
    struct flight *flight;
    teleport_progress *progress;
    void *progress_context;
    enum source_state state;
    uint64_t epoch;
    enum msg_guest_state guest;  /* as the teleport found it */
    bool tracking;
    struct vm_state_room *room;  /* for processor and device state */
    uint8_t *state_record;       /* and for a record of it */
    struct bitmap dirty;         /* frames whose content the target does not have */
    struct held_pages held;      /* what the target has of those that were sent more than once */
    uint64_t standstill_us;      /* after the pause: so long it waits for the target before COMMIT, all in all */
    uint64_t pause_tsc;          /* no vCPU in guest mode from here on */
    uint64_t guest_tsc;          /* the guest's at that instant */
    struct msg_running running;
    uint16_t peer_control_port;
    /* in doubt */
    struct flight own_flight;
    bool asking;                 /* a thread asks the peer */
    bool forced, force_here;     /* the operator's word */
};

/* Leaves the reason in the channel's `why` and returns e. */
enum err source_fault(struct source *s, enum err e, const char *why);
/* Does the operator's cut option name this place? */
bool source_is_cut(const struct source *s, const char *here);
enum err source_open_channel(struct source *s);
/* Compares the two pods' clocks by this many exchanges. */
enum err source_measure_clock(struct source *s, uint32_t exchanges);
/* What the channel has sent is the teleport's: into the flight record, once. */
void source_count_bytes(struct source *s);

/* Whoever watches the teleport hears of the rounds so far. */
void source_tell_progress(struct source *s);

/* precopy.c: rounds until the stop policy says now. */
enum err source_precopy(struct source *s);
/* Sends every frame of s->dirty as it is now, and takes it out of the set; after an error some are left in it. */
enum err source_send_dirty(struct source *s, uint64_t *pages, uint64_t *zero_pages);

/* After a harvest: takes those frames out of s->dirty that hold what was sent of them last. */
void source_drop_unchanged(struct source *s);

/* Processor and device state as they are: all of it the first time, then what has changed. */
enum err source_send_state(struct source *s);

/* COMMIT and RUNNING; also from doubt. */
enum err source_commit(struct source *s);

/* ends.c: each ends the teleport, closes the channel and gives the guest its last state; then source_release. */
void source_finish(struct source *s);         /* as its state says; if it moved, vm is gone afterwards */
void source_release(struct source *s);

/* doubt.c: from here on the operator may decide. */
void doubt_begin(struct source *s);
/* Asks the peer until the doubt ends, by its answer or by the operator's word, or the deadline (TSC) comes. */
void doubt_resolve(struct source *s, uint64_t deadline, uint64_t retry_us);
/* The doubt has ended: says so. The guest's end, kept or moved, is the caller's. */
void doubt_end(struct source *s);
/* Goes on asking in the background. Always ERR_IN_DOUBT. */
enum err doubt_leave(struct source *s);

#endif
