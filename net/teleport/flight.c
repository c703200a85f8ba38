/* The flight record and its JSON form: see flight.h. */
#include "net/teleport/flight.h"

#include "kernel/lib/util.h"


uint32_t flight_facts(const struct flight *f, struct round_facts out[FLIGHT_ROUNDS_MAX])
{
    for (uint32_t i = 0; i < f->round_count; i++)
        out[i] = f->rounds[i].facts;
    return f->round_count;
}

void flight_begin_downtime(struct flight *f, uint64_t ns)
{
    f->pause_ns = MAX(ns, f->origin_ns) - f->origin_ns;
    for (uint32_t i = 0; i < f->phase_count; i++)
        f->phases[i].end_ns = MAX(f->phases[i].start_ns, MIN(f->phases[i].end_ns, f->pause_ns));
}

static bool opens_downtime(const struct flight *f, bool on_target, bool in_downtime)
{
    return in_downtime && !on_target && f->pause_ns && f->phase_count && !f->phases[f->phase_count - 1].in_downtime;
}

void flight_add_phase(struct flight *f, const char *name, bool on_target, bool in_downtime, uint64_t start_ns,
                      uint64_t end_ns)
{
    if (f->phase_count == FLIGHT_PHASES_MAX)
        return;
    if (opens_downtime(f, on_target, in_downtime))
        start_ns = f->origin_ns + f->pause_ns;
    /* A clock's error must not show as a phase that begins before the teleport or ends before it begins. */
    start_ns = MAX(start_ns, f->origin_ns);
    end_ns = MAX(end_ns, start_ns);
    f->phases[f->phase_count++] = (struct flight_phase){
        .name = name,
        .on_target = on_target,
        .in_downtime = in_downtime,
        .start_ns = start_ns - f->origin_ns,
        .end_ns = end_ns - f->origin_ns,
    };
}

bool flight_downtime_ns(const struct flight *f, uint64_t *ns)
{
    uint64_t end = f->running_ns ? f->running_ns : f->kept_ns;
    if (!f->pause_ns || end < f->pause_ns)
        return false;
    *ns = end - f->pause_ns;
    return true;
}

static uint64_t handover_ns(const struct flight *f)
{
    return f->clock.round_trip_ns + f->clock.round_trip_ns / 2;
}

static uint64_t best_round(const struct flight *f)
{
    struct round_facts facts[FLIGHT_ROUNDS_MAX];
    uint32_t count = flight_facts(f, facts);
    return stop_bandwidth(facts, count, f->clock.round_trip_ns);
}

/*
 * What the link has shown that it can carry: the best round or, if that went faster, the residue, whose own time is the
 * downtime without the handover's round trips. So the floor is never above a downtime that was reached.
 */
static uint64_t bandwidth(const struct flight *f)
{
    uint64_t rate = best_round(f), downtime;
    if (f->running_ns && flight_downtime_ns(f, &downtime) && downtime > handover_ns(f))
        rate = MAX(rate, mul_div_u64(f->residual_bytes, NS_PER_S, downtime - handover_ns(f)));
    return rate;
}

uint64_t flight_floor_ns(const struct flight *f)
{
    uint64_t rate = bandwidth(f);
    uint64_t transfer = rate ? mul_div_u64(f->residual_bytes, NS_PER_S, rate) : 0;
    return transfer + handover_ns(f);
}

void flight_round_to_json(const struct flight *f, uint32_t round, struct json *j, const char *key)
{
    const struct flight_round *r = &f->rounds[round];
    uint64_t ns = MAX(r->facts.duration_ns, 1);
    json_object_begin(j, key);
    json_u64(j, "round", round);
    json_u64(j, "pages", r->facts.pages);
    json_u64(j, "zero_pages", r->zero_pages);
    json_u64(j, "bytes", r->facts.bytes);
    json_u64(j, "start_us", r->start_ns / NS_PER_US);
    json_u64(j, "duration_us", r->facts.duration_ns / NS_PER_US);
    json_u64(j, "busy_ticks", r->busy_ticks);
    json_u64(j, "dirty_after", r->facts.dirty_after);
    json_u64(j, "dirty_pages_per_s", mul_div_u64(r->facts.dirty_after, NS_PER_S, ns));
    json_u64(j, "bytes_per_s", mul_div_u64(r->facts.bytes, NS_PER_S, ns));
    json_object_end(j);
}

static void phases_to_json(const struct flight *f, struct json *j)
{
    json_array_begin(j, "phases");
    for (uint32_t i = 0; i < f->phase_count; i++) {
        const struct flight_phase *p = &f->phases[i];
        json_object_begin(j, NULL);
        json_string(j, "name", p->name);
        json_string(j, "pod", p->on_target ? f->target : f->source);
        json_u64(j, "start_us", p->start_ns / NS_PER_US);
        json_u64(j, "end_us", p->end_ns / NS_PER_US);
        json_bool(j, "in_downtime", p->in_downtime);
        json_object_end(j);
    }
    json_array_end(j);
}

static void clock_to_json(const struct flight *f, struct json *j)
{
    json_object_begin(j, "clock");
    json_string(j, "axis", "TSC of the source pod, from the start of the teleport");
    json_u64(j, "source_tsc_hz", f->source_tsc_hz);
    json_u64(j, "target_tsc_hz", f->target_tsc_hz);
    json_i64(j, "offset_us", f->clock.offset_ns / (int64_t)NS_PER_US);
    json_u64(j, "offset_error_us", DIV_ROUND_UP(clock_error_ns(&f->clock), NS_PER_US));
    json_u64(j, "round_trip_us", f->clock.round_trip_ns / NS_PER_US);
    json_u64(j, "samples", f->clock.samples);
    json_u64(j, "steps", f->clock.steps);
    json_u64(j, "step_us", f->clock.step_ns / NS_PER_US);
    json_object_end(j);
}

static void totals_to_json(const struct flight *f, struct json *j)
{
    uint64_t pages = f->residual_pages, zero = f->residual_zero_pages;
    for (uint32_t i = 0; i < f->round_count; i++) {
        pages += f->rounds[i].facts.pages;
        zero += f->rounds[i].zero_pages;
    }
    json_u64(j, "memory_bytes", f->memory_bytes);
    json_u64(j, "disk_bytes", f->disk_bytes);
    json_u64(j, "pages", pages);
    json_u64(j, "zero_pages", zero);
    json_u64(j, "bytes", f->bytes);
    json_u64(j, "state_bytes", f->state_bytes);
    json_u64(j, "total_us", f->end_ns / NS_PER_US);
    uint64_t downtime;
    if (flight_downtime_ns(f, &downtime))
        json_u64(j, "downtime_us", downtime / NS_PER_US);
    if (!f->round_count)
        return;
    json_u64(j, "floor_us", flight_floor_ns(f) / NS_PER_US);
    json_object_begin(j, "floor");
    json_u64(j, "residual_pages", f->residual_pages);
    json_u64(j, "residual_bytes", f->residual_bytes);
    json_u64(j, "bytes_per_s", bandwidth(f));
    json_string(j, "bytes_per_s_from", bandwidth(f) > best_round(f) ? "the residue" : "the best round");
    json_u64(j, "round_trip_us", f->clock.round_trip_ns / NS_PER_US);
    json_string(j, "formula", "residual_bytes / bytes_per_s + 1.5 round trips");
    json_object_end(j);
}

void flight_to_json(const struct flight *f, struct json *j, const char *key)
{
    json_object_begin(j, key);
    json_string(j, "guest", f->guest);
    json_hex(j, "epoch", f->epoch);
    json_string(j, "source", f->source);
    json_string(j, "target", f->target);
    json_string(j, "outcome", f->outcome);
    if (f->failed_step) {
        json_string(j, "failed_step", f->failed_step);
        json_string(j, "reason", f->reason);
    }
    if (f->stop_reason)
        json_string(j, "stop_reason", f->stop_reason);
    totals_to_json(f, j);
    clock_to_json(f, j);
    json_array_begin(j, "rounds");
    for (uint32_t i = 0; i < f->round_count; i++)
        flight_round_to_json(f, i, j, NULL);
    json_array_end(j);
    phases_to_json(f, j);
    if (f->audited) {
        json_object_begin(j, "audit");
        json_u64(j, "frames", f->audit_frames);
        json_u64(j, "different", f->audit_different);
        json_object_end(j);
    }
    json_object_end(j);
}
