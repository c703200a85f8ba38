/*
 * The flight record: what one teleport did, each number measured in that run. All times are nanoseconds on ONE axis, the
 * source pod's TSC counted from the start of the teleport; the target's are brought onto it by the measured offset, whose
 * error bar stands beside them. Pure but for the caller's clock.
 */
#ifndef TELEPOD_FLIGHT_H
#define TELEPOD_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/json.h"
#include "kernel/lib/pod_config.h"
#include "net/teleport/clock.h"
#include "net/teleport/messages.h"
#include "net/teleport/stop_policy.h"

#define FLIGHT_ROUNDS_MAX 64
#define FLIGHT_PHASES_MAX 24

struct flight_round {
    struct round_facts facts;
    uint64_t zero_pages;
    uint64_t start_ns;
    uint64_t busy_ticks;       /* TSC ticks of the source's CPU that went neither to the guest nor to idling */
};

struct flight_phase {
    const char *name;          /* a literal */
    bool on_target;
    bool in_downtime;          /* the guest stood still */
    uint64_t start_ns, end_ns;
};

struct flight {
    char guest[POD_NAME_MAX], source[POD_NAME_MAX], target[POD_NAME_MAX];
    uint64_t epoch;
    const char *outcome;       /* "moved", "kept", "in doubt" */
    const char *failed_step;   /* NULL: none */
    char reason[TEXT_MAX];     /* why it failed, in words */
    const char *stop_reason;   /* stop_decision_name of the last decision */
    uint64_t source_tsc_hz, target_tsc_hz;
    struct clock_estimate clock;

    uint64_t memory_bytes, disk_bytes;
    uint32_t round_count;
    struct flight_round rounds[FLIGHT_ROUNDS_MAX];
    uint64_t residual_pages, residual_zero_pages, residual_bytes;   /* sent while the guest stood still, state included */
    uint64_t state_bytes;
    uint64_t bytes;            /* all that the source sent, headers included */

    uint32_t phase_count;
    struct flight_phase phases[FLIGHT_PHASES_MAX];
    uint64_t origin_ns;        /* source's clock at the start: the axis's zero */
    uint64_t pause_ns;         /* on the axis, as the next two: the guest stands still; 0: did not happen, or is not known */
    uint64_t running_ns, end_ns;
    uint64_t kept_ns;          /* the guest, paused and not moved, ran on here at this time; 0: was not paused */

    bool audited;
    uint64_t audit_frames, audit_different;
};

/* The facts of all rounds so far, as the stop policy wants them; returns how many. */
uint32_t flight_facts(const struct flight *f, struct round_facts out[FLIGHT_ROUNDS_MAX]);

/*
 * The guest stands still since `ns` of the source's clock. That may be a while before it was paused: then the phase before ends
 * there, and the first one of the downtime, added next, begins there.
 */
void flight_begin_downtime(struct flight *f, uint64_t ns);
/* Adds a phase that ran from start_ns to end_ns of the source's clock (not yet on the axis). */
void flight_add_phase(struct flight *f, const char *name, bool on_target, bool in_downtime, uint64_t start_ns,
                      uint64_t end_ns);

/*
 * How long the guest stood still: from its last exit on the source, or the pause if it slept, to its first entry, on the
 * target if it moved, here if it was kept. False: it did not stand still, or nobody measured it (it moved out of doubt and
 * the target's times were lost, or the clocks moved so that it would be negative).
 */
bool flight_downtime_ns(const struct flight *f, uint64_t *ns);

/*
 * What the downtime would be if the pods cost nothing: the residual bytes at the best rate that the link has shown in this
 * teleport, PREPARE and READY (a round trip), and COMMIT (half of one). A link that could carry more than it was given has a
 * lower floor still: the record says which rate was used.
 */
uint64_t flight_floor_ns(const struct flight *f);

/* One JSON object. */
void flight_to_json(const struct flight *f, struct json *j, const char *key);
/* The progress line of a round (index < round_count). */
void flight_round_to_json(const struct flight *f, uint32_t round, struct json *j, const char *key);

#endif
