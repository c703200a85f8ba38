/*
 * Pre-copy: the guest runs, and round by round its memory goes to the target. A round sends every frame of the dirty set as
 * it is at that moment; what the guest writes meanwhile is in the EPT's D bits, and becomes the next round's set.
 *
 * **No write is lost**: a frame leaves the dirty set before it is read (the harvest cleared its D bit), so that a write that
 * comes after the read is found by the next harvest. The last harvest is made while the guest stands still (pause_guest). What a
 * harvest finds and what is nevertheless as the target has it leaves the set in the same way: it is read after the harvest.
 */
#include "net/teleport/source.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/lib/zero.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/teleport/guest_message.h"
#include "vmx/stats.h"

#define CLOCK_GOOD_FOR_NS (1 * NS_PER_S)   /* how long the comparison before pre-copy is trusted */
#define CLOCK_EXCHANGES_AGAIN 3

/* Runs of zero frames, gathered until a record is full. */
struct zero_runs {
    uint32_t count;              /* complete runs in the payload */
    struct frame_run open;       /* the run that may still grow; count 0: none */
    uint8_t payload[ZERO_RUNS_MAX * FRAME_RUN_SIZE];
};

static void zero_close_run(struct zero_runs *z)
{
    if (z->open.count)
        frame_run_put(z->payload + FRAME_RUN_SIZE * z->count++, z->open);
    z->open.count = 0;
}

static enum err zero_flush(struct source *s, struct zero_runs *z)
{
    zero_close_run(z);
    uint32_t count = z->count;
    z->count = 0;
    return count ? channel_send(&s->channel, RECORD_ZERO, z->payload, count * FRAME_RUN_SIZE) : OK;
}

static enum err zero_add(struct source *s, struct zero_runs *z, uint64_t frame)
{
    if (z->open.count && z->open.first + z->open.count == frame) {
        z->open.count++;
        return OK;
    }
    zero_close_run(z);
    enum err e = z->count == ZERO_RUNS_MAX ? zero_flush(s, z) : OK;
    z->open = (struct frame_run){ frame, 1 };
    return e;
}

/* Round 0 sends every frame once, and after the last round nothing is compared. */
static bool keeps_copies(const struct source *s)
{
    return s->state == SOURCE_PRECOPY && s->flight->round_count > 0;
}

void source_drop_unchanged(struct source *s)
{
    uint32_t work = 0;
    for (uint64_t f = bitmap_next(&s->dirty, 0); f != BITMAP_NONE; f = bitmap_next(&s->dirty, f + 1)) {
        if (held_pages_unchanged(&s->held, f, guest_memory_frame(&s->vm->memory, (struct gfn){ f })))
            bitmap_clear(&s->dirty, f);
        if (++work % WORK_BETWEEN_YIELDS == 0 && s->state == SOURCE_PRECOPY)
            thread_yield();
    }
}

/* Sends every frame of s->dirty as it is now, and takes it out of the set. */
enum err source_send_dirty(struct source *s, uint64_t *pages, uint64_t *zero_pages)
{
    struct zero_runs *zero = malloc(sizeof *zero);
    enum err e = zero ? OK : source_fault(s, ERR_NO_MEMORY, "no memory for a record of zero frames");
    uint32_t work = 0;

    if (zero)
        zero->count = zero->open.count = 0;
    *pages = *zero_pages = 0;
    for (uint64_t f = bitmap_next(&s->dirty, 0); !e && f != BITMAP_NONE; f = bitmap_next(&s->dirty, f + 1)) {
        const void *content = guest_memory_frame(&s->vm->memory, (struct gfn){ f });
        bitmap_clear(&s->dirty, f);
        if (memory_is_zero(content, PAGE_SIZE)) {
            held_pages_forget(&s->held, f);
            e = zero_add(s, zero, f);
            ++*zero_pages;
            work += WORK_READ;
        } else {
            content = keeps_copies(s) ? held_pages_keep(&s->held, f, content) : content;
            e = channel_send_page(&s->channel, (struct gfn){ f }, content);
            work += WORK_SEND;
        }
        if (work >= WORK_BETWEEN_YIELDS) {
            work = 0;
            thread_yield();
        }
        ++*pages;
    }
    e = e ? e : zero_flush(s, zero);
    free(zero);
    return e;
}

/* Ticks of this CPU that were work: neither idle nor the guest's. The unit of the benchmarks where a tick is an instruction. */
static uint64_t work_ticks(const struct source *s)
{
    return time_now() - cpu_this()->idle_tsc - vm_guest_ticks_on(s->vm, cpu_this());
}

/* One round: everything dirty goes out, the target acknowledges it, what was written meanwhile is harvested. */
static enum err run_round(struct source *s, struct flight_round *r, uint32_t number)
{
    char name[TELEPORT_CUT_MAX];
    snprintf(name, sizeof name, "round:%u", (unsigned)number);
    uint64_t start = teleport_now_ns(), bytes = s->channel.bytes_sent, work = work_ticks(s);
    struct msg_round begin = { .round = number, .pages = bitmap_count(&s->dirty) }, ack;

    enum err e = channel_send_message(&s->channel, RECORD_ROUND_BEGIN, &begin);
    e = e ? e : source_send_dirty(s, &r->facts.pages, &r->zero_pages);
    if (!e && source_is_cut(s, name))
        return source_fault(s, ERR_CLOSED, "the link was cut by the operator's cut option");
    struct msg_round end = { .round = number, .pages = r->facts.pages, .bytes = s->channel.bytes_sent - bytes };
    e = e ? e : channel_send_now(&s->channel, RECORD_ROUND_END, &end);
    e = e ? e : channel_expect(&s->channel, RECORD_ROUND_ACK, &ack);
    if (!e && ack.round != number)
        e = source_fault(s, ERR_PROTOCOL, "ROUND_ACK of another round");
    if (e)
        return e;
    r->start_ns = start - s->flight->origin_ns;
    r->facts.bytes = s->channel.bytes_sent - bytes;
    r->facts.duration_ns = teleport_now_ns() - start;
    e = vm_track_harvest(s->vm, &s->dirty);
    source_drop_unchanged(s);
    r->busy_ticks = work_ticks(s) - work;
    r->facts.dirty_after = bitmap_count(&s->dirty);
    return e ? source_fault(s, e, "the dirty pages could not be harvested") : OK;
}

static enum stop_decision decide(const struct source *s)
{
    struct round_facts facts[FLIGHT_ROUNDS_MAX];
    uint32_t count = flight_facts(s->flight, facts);
    return stop_decide(&s->options.limits, facts, count, s->flight->clock.round_trip_ns);
}

/*
 * The downtime is measured with both clocks: after a long pre-copy they are compared anew, while the guest still runs. One more
 * round follows, if there may be one: what the guest wrote meanwhile is then not left for its downtime.
 */
static bool wants_fresh_clock(const struct source *s, uint64_t since_ns)
{
    return teleport_now_ns() - since_ns >= CLOCK_GOOD_FOR_NS && s->flight->round_count < s->options.limits.rounds_max;
}

static enum err refresh_clock(struct source *s)
{
    clock_begin_again(&s->flight->clock);
    return source_measure_clock(s, CLOCK_EXCHANGES_AGAIN);
}

enum err source_precopy(struct source *s)
{
    uint64_t start_ns = teleport_now_ns();
    bool fresh = false;
    enum err e = vm_track_start(s->vm);
    if (e)
        return source_fault(s, e, "dirty tracking could not be started: no memory for 4 KiB page tables");
    s->tracking = true;
    struct hpa copies;
    if (page_alloc(HELD_PAGES_ORDER, &copies) == OK)      /* else it costs time, and no more */
        s->held.copies = hpa_to_virt(copies);
    bitmap_set_range(&s->dirty, guest_message_first_frame(s->vm->memory.size, s->guest), s->dirty.bit_count);
    /* A guest that runs will stand still for its last changes alone: all else of its state goes ahead now. */
    e = s->guest == GUEST_RUNS ? source_send_state(s) : OK;
    if (e)
        return e;

    enum stop_decision decision = STOP_NOT_YET;
    while (decision == STOP_NOT_YET) {
        uint32_t number = s->flight->round_count;
        e = run_round(s, &s->flight->rounds[number], number);
        if (e)
            return e;
        s->flight->round_count++;
        decision = decide(s);
        if (decision != STOP_NOT_YET && decision != STOP_GIVE_UP && !fresh && wants_fresh_clock(s, start_ns)) {
            e = refresh_clock(s);
            if (e)
                return e;
            fresh = true;
            decision = STOP_NOT_YET;
        }
        /* Only while the guest runs: the last round is told when all is over. */
        if (decision == STOP_NOT_YET)
            source_tell_progress(s);
    }
    s->flight->stop_reason = stop_decision_name(decision);
    if (decision == STOP_GIVE_UP)
        return source_fault(s, ERR_TIMEOUT, "the guest writes faster than the link carries, and may not be stopped for so long");
    s->state = source_step(s->state, SOURCE_CONVERGED).next;
    return OK;
}
