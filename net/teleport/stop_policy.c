/* The stop policy: see stop_policy.h. */
#include "net/teleport/stop_policy.h"

#include "kernel/lib/util.h"
#include "net/teleport/wire.h"

/* A round that leaves more than 9/10 of the least that was left so far makes no progress; after three of them, it has stalled. */
#define PROGRESS_NUMERATOR 9
#define PROGRESS_DENOMINATOR 10
#define STALLED_ROUNDS 3
/*
 * What is left then goes up and down: a guest forks, a timer fires. The guest is stopped after a round that leaves at most 5/4 of
 * the least so far; but if none does that for so many more rounds, after any.
 */
#define NEAR_LEAST_NUMERATOR 5
#define NEAR_LEAST_DENOMINATOR 4
#define PATIENT_ROUNDS 8

const char *stop_decision_name(enum stop_decision decision)
{
    static const char *const names[] = { "another round", "converged", "within the limit", "rounds used up", "given up" };
    return names[decision];
}

uint64_t stop_bandwidth(const struct round_facts *rounds, uint32_t count, uint64_t round_trip_ns)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ns = rounds[i].duration_ns;
        /* The clock's error must not make a round all round trip: at least half of it was transfer. */
        uint64_t transfer_ns = ns - MIN(round_trip_ns, ns / 2);
        if (transfer_ns)
            best = MAX(best, mul_div_u64(rounds[i].bytes, NS_PER_S, transfer_ns));
    }
    return best;
}

/* Rounds no longer shrink what is left, and this one left little. */
static bool is_time(const struct round_facts *rounds, uint32_t count)
{
    uint64_t least = rounds[0].dirty_after, left = rounds[count - 1].dirty_after;
    uint32_t gained = 0;    /* the last round that made progress */
    for (uint32_t i = 1; i < count; i++) {
        if (rounds[i].dirty_after * PROGRESS_DENOMINATOR >= least * PROGRESS_NUMERATOR)
            continue;
        least = rounds[i].dirty_after;
        gained = i;
    }
    uint32_t since = count - 1 - gained;
    if (since < STALLED_ROUNDS)
        return false;
    return left * NEAR_LEAST_DENOMINATOR <= least * NEAR_LEAST_NUMERATOR || since >= STALLED_ROUNDS + PATIENT_ROUNDS;
}

enum stop_decision stop_decide(const struct stop_limits *limits, const struct round_facts *rounds, uint32_t count,
                               uint64_t round_trip_ns)
{
    uint64_t left = rounds[count - 1].dirty_after * (RECORD_HEADER_SIZE + PAGE_RECORD_PAYLOAD);
    uint64_t bandwidth = stop_bandwidth(rounds, count, round_trip_ns);
    uint64_t left_ns = bandwidth ? mul_div_u64(left, NS_PER_S, bandwidth) : UINT64_MAX;

    if (!left || left_ns <= round_trip_ns)
        return STOP_CONVERGED;
    if (is_time(rounds, count) && left_ns <= limits->downtime_ns)
        return STOP_WITHIN_LIMIT;
    if (count < limits->rounds_max)
        return STOP_NOT_YET;
    if (limits->give_up && left_ns > limits->downtime_ns)
        return STOP_GIVE_UP;
    return STOP_ROUNDS_USED;
}
