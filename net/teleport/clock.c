/* Clock offset: see clock.h. */
#include "net/teleport/clock.h"

#include "kernel/lib/util.h"

static uint64_t distance(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* What both the estimate and the sample allow. False: nothing, so they contradict each other. */
static bool narrow(struct clock_estimate *estimate, int64_t offset, uint64_t error)
{
    /* As seen from the estimate's offset, in modular arithmetic. */
    int64_t apart = (int64_t)((uint64_t)offset - (uint64_t)estimate->offset_ns);
    int64_t low = MAX(-(int64_t)estimate->error_ns, apart - (int64_t)error);
    int64_t high = MIN((int64_t)estimate->error_ns, apart + (int64_t)error);
    if (low > high)
        return false;
    int64_t middle = low + (high - low) / 2;
    estimate->offset_ns = (int64_t)((uint64_t)estimate->offset_ns + (uint64_t)middle);
    estimate->error_ns = (uint64_t)(high - middle);
    return true;
}

bool clock_add_sample(struct clock_estimate *estimate, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
    if (t4 < t1 || t3 < t2 || t3 - t2 > t4 - t1)
        return false;
    uint64_t round_trip = (t4 - t1) - (t3 - t2), error = round_trip / 2 + 1;
    /* ((t2 - t1) + (t3 - t4)) / 2, each half in modular arithmetic: the clocks' zeros are unrelated. */
    int64_t forth = (int64_t)(t2 - t1), back = (int64_t)(t3 - t4);
    int64_t offset = forth / 2 + back / 2 + (forth % 2 + back % 2) / 2;

    if (!estimate->samples++) {
        estimate->offset_ns = offset;
        estimate->error_ns = error;
    } else if (!narrow(estimate, offset, error)) {
        estimate->steps++;
        estimate->step_ns = MAX(estimate->step_ns, distance(offset, estimate->offset_ns));
        estimate->offset_ns = offset;
        estimate->error_ns = error;
    }
    if (!estimate->round_trip_ns || round_trip < estimate->round_trip_ns)
        estimate->round_trip_ns = round_trip;
    return true;
}

void clock_begin_again(struct clock_estimate *estimate)
{
    *estimate = (struct clock_estimate){ .round_trip_ns = estimate->round_trip_ns, .steps = estimate->steps };
}

uint64_t clock_error_ns(const struct clock_estimate *estimate)
{
    return estimate->error_ns + estimate->step_ns;
}

uint64_t clock_target_to_source(const struct clock_estimate *estimate, uint64_t target_ns)
{
    return target_ns - (uint64_t)estimate->offset_ns;
}
