/*
 * fabric.h: Ethernet in virtual time: segments, each a switch with a port for every participant, and what happens to a frame
 * between two of them. Pure: no clock, no memory but its own, no randomness but its seed's.
 *
 * A frame waits in its sender's queue, takes its time on the sender's link, is switched by the addresses that the switch has
 * learned, takes its turn on the receiver's link, and arrives a latency later. It is cut through: on an idle segment it takes
 * the link's time once. Loss, duplication, reordering and corruption by chance, and the faults of a script, happen on the way to
 * one receiver, so a frame to several may reach some.
 *
 * Time is in nanoseconds. The caller lets the fabric come to a time once it has sent all that was sent before that time; what
 * the fabric then delivers is due no earlier than one latency after it was sent. So a participant who is never further ahead
 * than the shortest latency receives every frame at its instant.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_FABRIC_H
#define TELEPOD_TOOLS_LAB_CABLE_FABRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/lab/cable/records.h"

enum { FABRIC_SEGMENTS = 4, FABRIC_PORTS = 32, FABRIC_STATIONS = 256, FABRIC_FAULTS = 64, FABRIC_FRAME_MAX = 1518, FABRIC_WHY = 64 };

struct link_profile {
    uint64_t bits_per_s;  /* of each link, in each direction */
    uint64_t latency_ns;  /* from the sender's link to the receiver */
    uint32_t queue_bytes; /* that may wait for a link; what finds it full is lost */
    uint32_t frame_max;   /* bytes; larger ones are lost */
    /* Of a million frames. */
    uint32_t loss, duplication, reordering, corruption;
    uint64_t reorder_ns; /* by which a reordered frame is late */
};

enum fault_action { FAULT_DROP, FAULT_DUPLICATE, FAULT_DELAY, FAULT_CORRUPT, FAULT_CUT };
enum fault_trigger { FAULT_AT_FRAME, FAULT_AT_TIME, FAULT_AT_RECORD };
enum { FAULT_ANY = -1 };

/* What is done to frames from one port to another, from a moment on. */
struct fault {
    uint32_t action;  /* enum fault_action */
    uint32_t trigger; /* enum fault_trigger */
    uint64_t value;   /* frame: the n-th, from 1; time: ns; record: its type */
    int32_t segment;
    int32_t from, to; /* ports; FAULT_ANY */
    uint32_t both;    /* 1: and those from `to` to `from` */
    uint32_t frames;  /* how many; a cut counts time instead */
    uint32_t reserved;
    uint64_t ns;      /* delay: how late; cut: for how long, 0 for good */
    /* ---- by the fabric ---- */
    uint64_t seen, done, since; /* frames that matched; frames that it was done to; when a cut began */
};

struct fabric_counts {
    uint64_t sent, received, queue_full, oversize, lost, duplicated, reordered, corrupted, faulted;
};

/* A frame on its way, shared by those it is delivered to. */
struct frame {
    uint32_t users, length, port;
    uint64_t number;        /* of its sender, from 1 */
    uint64_t sent_ns;
    uint64_t records;       /* records_in() */
    uint8_t bytes[FABRIC_FRAME_MAX];
};

void frame_release(struct frame *frame);

struct fabric_calls {
    /* A frame arrives at a port; it has to be held by frame->users if it is kept. `when` may run backwards by a frame's delay. */
    void (*deliver)(void *context, unsigned port, uint64_t when, struct frame *frame);
    /* What the switch has seen, once a frame, with what was done to it in words, or "". May be NULL. */
    void (*seen)(void *context, uint64_t when, const struct frame *frame, const char *done);
    void *context;
};

struct fabric;

/* NULL: no memory. Owned by the caller, until fabric_close(). */
struct fabric *fabric_open(uint64_t seed, const struct fabric_calls *calls, uint16_t first_record_port, uint16_t last_record_port);
void fabric_close(struct fabric *fabric);

/* The new one's number, or -1: there are too many, or the profile makes no sense (no rate, no latency). */
int fabric_add_segment(struct fabric *fabric, const struct link_profile *profile);
/* `ahead`: frames are delivered as soon as the instant of their arrival is known, for a participant who runs by itself. */
int fabric_add_port(struct fabric *fabric, unsigned segment, bool ahead);
/* The link of a port that is not there any more: what is on its way to it is lost. */
void fabric_unplug(struct fabric *fabric, unsigned port);
/* 0, or -1: too many, or a segment or port that is not there. */
int fabric_add_fault(struct fabric *fabric, const struct fault *fault);
/* NULL behind the last one. */
const struct fault *fabric_fault(const struct fabric *fabric, unsigned index);

const struct fabric_counts *fabric_counts(const struct fabric *fabric, unsigned port);
/* The shortest latency between two participants; UINT64_MAX where there are no two. */
uint64_t fabric_latency(const struct fabric *fabric);

/* A port sends, at `when`, which is not before the time that the fabric has come to. False: no memory. */
bool fabric_send(struct fabric *fabric, unsigned port, uint64_t when, const uint8_t *bytes, uint32_t length);

/* When the next thing happens; UINT64_MAX: nothing is on its way. */
uint64_t fabric_next(const struct fabric *fabric);
/* Lets all happen that happens before `time`; deliver() and seen() are called in the order of their times, and may send. */
void fabric_run(struct fabric *fabric, uint64_t time);

#endif
