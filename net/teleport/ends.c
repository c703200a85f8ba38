/* How a teleport ends: the guest moved, or it was kept. */
#include "net/teleport/source.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/teleport/guest_message.h"
#include "vmx/state.h"

#define ROOM "teleport"

/* What the target's clock saw, on the source's axis. A guest moved out of doubt has no RUNNING: the pod says no figure. */
static void record_target_phases(struct source *s)
{
    struct flight *f = s->flight;
    const struct msg_running *r = &s->running;
    if (!r->epoch)
        return;
    uint64_t prepare_ns = clock_target_to_source(&f->clock, r->prepare_ns);
    uint64_t ready_ns = clock_target_to_source(&f->clock, r->ready_ns);
    uint64_t commit_ns = clock_target_to_source(&f->clock, r->commit_ns);
    uint64_t running_ns = clock_target_to_source(&f->clock, r->running_ns);
    flight_add_phase(f, "load", true, true, prepare_ns, ready_ns);
    flight_add_phase(f, "await commit", true, true, ready_ns, commit_ns);
    flight_add_phase(f, "resume", true, true, commit_ns, running_ns);
    f->running_ns = running_ns - f->origin_ns;
}

/* Every frame as it was at the pause against every frame as the target stored it. Outside the downtime. */
static enum err audit(struct source *s)
{
    uint64_t frames = guest_memory_frames(&s->vm->memory);
    uint64_t begin = guest_message_first_frame(s->vm->memory.size, s->guest);
    uint8_t *payload = calloc(1, audit_payload_size(AUDIT_FRAMES_MAX));
    struct msg_audit_result result = { 0 };
    enum err e = payload ? OK : ERR_NO_MEMORY;

    for (uint64_t first = begin; !e && first < frames; first += AUDIT_FRAMES_MAX) {
        uint64_t count = MIN(frames - first, (uint64_t)AUDIT_FRAMES_MAX);
        frame_run_put(payload, (struct frame_run){ first, count });
        for (uint64_t i = 0; i < count; i++) {
            const void *content = guest_memory_frame(&s->vm->memory, (struct gfn){ first + i });
            audit_crc_put(payload, i, crc32c_update(0, content, PAGE_SIZE));
            if (i % WORK_BETWEEN_YIELDS == 0)
                thread_yield();
        }
        e = channel_send(&s->channel, RECORD_AUDIT, payload, audit_payload_size(count));
    }
    free(payload);
    e = e ? e : channel_flush(&s->channel);
    if (!e && begin < frames)
        e = channel_expect(&s->channel, RECORD_AUDIT_RESULT, &result);
    if (e)
        return e;
    s->flight->audited = true;
    s->flight->audit_frames = result.frames;
    s->flight->audit_different = result.different;
    return OK;
}

static teleport_departed *on_departure;

void teleport_on_departure(teleport_departed *fn) { on_departure = fn; }

static void tell_departure(const struct source *s)
{
    const struct teleport_departure to = { s->flight->target, s->options.address, s->peer_control_port };
    if (on_departure)
        on_departure(s->vm, &to);
}

static void finish_moved(struct source *s)
{
    struct msg_goodbye goodbye = { .epoch = s->epoch };
    s->vm->state = VM_MOVED;
    tell_departure(s);
    s->flight->outcome = "moved";
    s->flight->end_ns = teleport_now_ns() - s->flight->origin_ns;
    source_count_bytes(s);
    record_target_phases(s);
    if (s->options.audit && s->running.epoch && audit(s))
        log_error(ROOM, "%s: the audit did not end: %s", s->vm->name, s->channel.why);
    if (s->channel.stream && !channel_send_now(&s->channel, RECORD_GOODBYE, &goodbye))
        stream_drain(s->channel.stream, time_after_us(s->options.timeout_us));
    channel_close(&s->channel, false);
    s->vm->teleporting = false;
    vm_destroy(s->vm);
}

/* The guest runs on here, with nothing lost: tracking ends, and the next teleport begins with every frame. */
static void finish_kept(struct source *s)
{
    struct msg_text text = { .epoch = s->epoch };
    snprintf(text.text, sizeof text.text, "%s", s->flight->reason);
    s->flight->outcome = "kept";
    source_count_bytes(s);
    if (s->vm->state == VM_IN_DOUBT)
        s->vm->state = s->guest == GUEST_ENDED ? VM_HALTED : VM_PAUSED;
    if (s->tracking)
        vm_track_stop(s->vm);
    if (s->guest == GUEST_RUNS && s->vm->state == VM_PAUSED) {
        vm_resume(s->vm);
        s->flight->kept_ns = teleport_now_ns() - s->flight->origin_ns;
    }
    s->vm->teleporting = false;   /* from here on the operator may stop it, and it is not looked at again */
    if (s->channel.stream && !s->options.cut[0])
        channel_send_now(&s->channel, RECORD_ABORT, &text);
    channel_close(&s->channel, s->options.cut[0] != '\0');
    s->flight->end_ns = teleport_now_ns() - s->flight->origin_ns;
}

void source_finish(struct source *s)
{
    if (s->state == SOURCE_DONE)
        finish_moved(s);
    else
        finish_kept(s);
}

void source_release(struct source *s)
{
    if (s->held.copies)
        page_free(virt_to_hpa(s->held.copies), HELD_PAGES_ORDER);
    free(s->dirty.words);
    free(s->state_record);
    vm_state_room_free(s->room);
    free(s);
}
