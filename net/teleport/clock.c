/* Clock offset: see clock.h. */
#include "net/teleport/clock.h"

bool clock_add_sample(struct clock_estimate *estimate, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
    if (t4 < t1 || t3 < t2 || t3 - t2 > t4 - t1)
        return false;
    uint64_t round_trip = (t4 - t1) - (t3 - t2);
    if (!estimate->samples || round_trip < estimate->round_trip_ns) {
        /* ((t2 - t1) + (t3 - t4)) / 2, each half in modular arithmetic: the clocks' zeros are unrelated. */
        int64_t forth = (int64_t)(t2 - t1), back = (int64_t)(t3 - t4);
        estimate->offset_ns = forth / 2 + back / 2 + (forth % 2 + back % 2) / 2;
        estimate->error_ns = round_trip / 2 + 1;
        estimate->round_trip_ns = round_trip;
    }
    estimate->samples++;
    return true;
}

uint64_t clock_target_to_source(const struct clock_estimate *estimate, uint64_t target_ns)
{
    return target_ns - (uint64_t)estimate->offset_ns;
}

uint64_t clock_source_to_target(const struct clock_estimate *estimate, uint64_t source_ns)
{
    return source_ns + (uint64_t)estimate->offset_ns;
}
