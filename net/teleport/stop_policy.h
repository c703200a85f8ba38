/*
 * When to stop the guest: after each pre-copy round, from what the rounds so far measured. Pure.
 */
#ifndef TELEPOD_STOP_POLICY_H
#define TELEPOD_STOP_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct stop_limits {
    uint64_t downtime_ns;      /* the downtime that the operator accepts */
    uint32_t rounds_max;
    bool give_up;              /* at rounds_max and still over downtime_ns: fail instead of stopping the guest anyway */
};

/* What one round did, and what it left behind. */
struct round_facts {
    uint64_t pages;            /* frames sent, zero frames included */
    uint64_t bytes;            /* on the wire */
    uint64_t duration_ns;
    uint64_t dirty_after;      /* frames written while the round ran */
};

enum stop_decision {
    STOP_NOT_YET,      /* another round */
    STOP_CONVERGED,    /* what is left takes no longer than a round trip: another round would not shorten the downtime */
    STOP_WITHIN_LIMIT, /* rounds no longer shrink what is left, it is near the least so far, and fits the operator's limit */
    STOP_ROUNDS_USED,  /* rounds_max: stop and accept the longer downtime */
    STOP_GIVE_UP,      /* rounds_max, and give_up is set */
};
const char *stop_decision_name(enum stop_decision decision);

/*
 * What the link has shown that it can carry, in bytes a second: the best round, without the round trip that its
 * acknowledgement took. The best, because a round of zero frames or of three pages says nothing against the link.
 * 0: nothing measured yet.
 */
uint64_t stop_bandwidth(const struct round_facts *rounds, uint32_t count, uint64_t round_trip_ns);

/* count >= 1; round_trip_ns as measured by the clock exchange. */
enum stop_decision stop_decide(const struct stop_limits *limits, const struct round_facts *rounds, uint32_t count,
                               uint64_t round_trip_ns);

#endif
