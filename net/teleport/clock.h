/*
 * The offset between two pods' clocks, measured in-band as NTP does it (RFC 5905, section 8 "On-Wire Protocol"), with its
 * error bar: whatever the two directions' delays are, the true offset lies within offset_ns +- error_ns. Pure.
 */
#ifndef TELEPOD_CLOCK_H
#define TELEPOD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock_estimate {
    uint32_t samples;
    int64_t offset_ns;        /* target's clock - source's clock */
    uint64_t error_ns;        /* half of the range that all samples allow */
    uint64_t round_trip_ns;   /* the shortest: the time on the wire, without the target's own */
    uint32_t steps;           /* how often a sample contradicted the estimate: one of the clocks had moved */
    uint64_t step_ns;         /* the largest of these steps since the estimate began */
};

/*
 * One exchange: the source sent at t1 and received the answer at t4 (source's clock); the target received at t2 and
 * answered at t3 (target's clock). False, and ignored: the times make no sense (t4 < t1, t3 < t2, or more time at the
 * target than between sending and receiving).
 *
 * Each sample allows the offsets from t3 - t4 to t2 - t1: the way forth took no less than no time, and neither did the way back.
 * The estimate is the middle of what all of them allow (Marzullo, Owicki: Maintaining the Time in a Distributed System, 1983), so
 * a fast way forth in one sample and a fast way back in another make a narrow bar, although both round trips were long: a source
 * whose guest keeps the CPU hears of every answer late, until the guest is paused. A sample that contradicts the estimate shows that a clock has moved since (a machine that was held up, in an emulator): then the later sample is the
 * truth, and the step is counted.
 */
bool clock_add_sample(struct clock_estimate *estimate, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4);
/*
 * Time has passed, and clocks drift: the next sample begins a new estimate, which has nothing to do with how the clocks
 * stood before. What the wire can do is remembered, and that there were steps.
 */
void clock_begin_again(struct clock_estimate *estimate);
/* How far off a converted time may be: the sample's own error, and what the clocks are known to have moved. */
uint64_t clock_error_ns(const struct clock_estimate *estimate);
uint64_t clock_target_to_source(const struct clock_estimate *estimate, uint64_t target_ns);

#endif
