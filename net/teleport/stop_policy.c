/* The stop policy: see stop_policy.h. */
#include "net/teleport/stop_policy.h"

#include "kernel/lib/util.h"
#include "net/teleport/wire.h"

#define NS_PER_S 1000000000ULL
/* A round that leaves more than 9/10 of what the one before left makes no progress worth another round. */
#define PROGRESS_NUMERATOR 9
#define PROGRESS_DENOMINATOR 10
#define STALLED_ROUNDS 3

const char *stop_decision_name(enum stop_decision decision)
{
    static const char *const names[] = { "another round", "converged", "within the limit", "rounds used up", "given up" };
    return names[decision];
}

/*
 * A short round is all latency, and would make the link look slow: the best round that moved a fair amount is the
 * measure; without one, the sum of all.
 */
uint64_t stop_bandwidth(const struct round_facts *rounds, uint32_t count)
{
    const uint64_t fair_bytes = 64 * KIB;
    uint64_t best = 0, bytes = 0, ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += rounds[i].bytes;
        ns += rounds[i].duration_ns;
        if (rounds[i].bytes >= fair_bytes && rounds[i].duration_ns)
            best = MAX(best, mul_div_u64(rounds[i].bytes, NS_PER_S, rounds[i].duration_ns));
    }
    if (best)
        return best;
    return ns ? mul_div_u64(bytes, NS_PER_S, ns) : 0;
}

static bool is_stalled(const struct round_facts *rounds, uint32_t count)
{
    if (count < STALLED_ROUNDS + 1)
        return false;
    for (uint32_t i = count - STALLED_ROUNDS; i < count; i++)
        if (rounds[i].dirty_after * PROGRESS_DENOMINATOR < rounds[i - 1].dirty_after * PROGRESS_NUMERATOR)
            return false;
    return true;
}

enum stop_decision stop_decide(const struct stop_limits *limits, const struct round_facts *rounds, uint32_t count,
                               uint64_t round_trip_ns)
{
    uint64_t left = rounds[count - 1].dirty_after * (RECORD_HEADER_SIZE + PAGE_RECORD_PAYLOAD);
    uint64_t bandwidth = stop_bandwidth(rounds, count);
    uint64_t left_ns = bandwidth ? mul_div_u64(left, NS_PER_S, bandwidth) : UINT64_MAX;

    if (!left || left_ns <= round_trip_ns)
        return STOP_CONVERGED;
    if (is_stalled(rounds, count) && left_ns <= limits->downtime_ns)
        return STOP_WITHIN_LIMIT;
    if (count < limits->rounds_max)
        return STOP_NOT_YET;
    if (limits->give_up && left_ns > limits->downtime_ns)
        return STOP_GIVE_UP;
    return STOP_ROUNDS_USED;
}
