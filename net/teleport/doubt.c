/*
 * In doubt: COMMIT was handed to TCP and no RUNNING came. The source asks on new connections, and does what the answer says;
 * it never lets the guest run here by itself (handover.h).
 */
#include "net/teleport/source.h"

#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"

#define ROOM "teleport"
#define DOUBT_BACKGROUND_RETRY_US 2000000

static enum source_event status_event(uint32_t status)
{
    switch (status) {
    case STATUS_RUNNING:
        return SOURCE_STATUS_RUNNING;
    case STATUS_WAITING:
        return SOURCE_STATUS_WAITING;
    case STATUS_DISCARDED:
        return SOURCE_STATUS_NEVER;
    default:
        return SOURCE_STATUS_UNKNOWN;
    }
}

/* Asks the peer once, on a new connection, and follows the state machine. */
static void ask(struct source *s)
{
    struct msg_hello mine = teleport_hello(), theirs;
    struct msg_query query = { .epoch = s->epoch };
    struct msg_status status;

    channel_close(&s->channel, true);
    enum err e = source_open_channel(s);
    e = e ? e : channel_send_message(&s->channel, RECORD_HELLO, &mine);
    e = e ? e : channel_send_now(&s->channel, RECORD_QUERY, &query);
    e = e ? e : channel_expect(&s->channel, RECORD_HELLO, &theirs);
    e = e ? e : channel_expect(&s->channel, RECORD_STATUS, &status);
    if (e || status.epoch != s->epoch)
        return;
    enum source_event event = status_event(status.status);
    log_info(ROOM, "%s: in doubt; the peer says of epoch %llx: %s", s->vm->name, (unsigned long long)s->epoch,
             event == SOURCE_STATUS_RUNNING   ? "it runs here"
             : event == SOURCE_STATUS_WAITING ? "it waits for COMMIT"
             : event == SOURCE_STATUS_NEVER   ? "it never ran here, and never will"
                                              : "not known (the peer has restarted)");
    if (source_step(s->state, event).action == SOURCE_SEND_COMMIT) {
        s->options.cut[0] = '\0';
        if (source_commit(s))
            s->state = source_step(s->state, SOURCE_FAULT).next;
        return;
    }
    s->state = source_step(s->state, event).next;
}

void doubt_resolve(struct source *s, uint64_t deadline, uint64_t retry_us)
{
    while (s->state == SOURCE_IN_DOUBT && time_now() < deadline) {
        ask(s);
        if (s->state == SOURCE_IN_DOUBT)
            thread_sleep_until(time_after_us(retry_us));
    }
}

/* The guests in doubt that this pod holds: one slot each, all that is needed was allocated before COMMIT. */
static struct source *doubts[VMS_MAX];

static struct source **find_doubt(const struct vm *vm)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (doubts[i] && doubts[i]->vm == vm)
            return &doubts[i];
    return NULL;
}

static struct source **free_doubt_slot(void)
{
    uint32_t i = 0;
    while (doubts[i])    /* there are as many slots as guests */
        i++;
    return &doubts[i];
}

static void end_doubt(struct source **slot)
{
    struct source *s = *slot;
    if (s->state == SOURCE_IN_DOUBT)
        s->state = source_step(s->state, s->force_here ? SOURCE_FORCE_HERE : SOURCE_FORCE_THERE).next;
    log_info(ROOM, "%s: no longer in doubt%s: it runs %s", s->vm->name, s->forced ? " (the operator's word)" : "",
             s->state == SOURCE_DONE ? "on the peer" : "here");
    *slot = NULL;
    if (s->state == SOURCE_DONE)
        source_finish_moved(s);
    else
        source_finish_kept(s);
    source_release(s);
}

static void background_doubt(void *argument)
{
    struct source **slot = argument, *s = *slot;
    while (s->state == SOURCE_IN_DOUBT && !s->forced)
        doubt_resolve(s, time_after_us(DOUBT_BACKGROUND_RETRY_US), DOUBT_BACKGROUND_RETRY_US);
    end_doubt(slot);
}

/* Goes on asking in the background; without a thread for that, the guest stays in doubt for the operator alone. */
enum err doubt_leave(struct source *s)
{
    struct source **slot = free_doubt_slot();
    s->flight->outcome = "in doubt";
    s->own_flight = *s->flight;   /* the caller's ends with its call */
    s->flight = &s->own_flight;
    s->progress = NULL;
    *slot = s;
    log_error(ROOM, "%s: IN DOUBT: COMMIT was sent and the peer does not answer. It does not run here until the peer answers "
              "or the operator decides: `resume %s force` or `stop %s force`", s->vm->name, s->vm->name, s->vm->name);
    s->asking = !thread_create(NULL, "doubt", NULL, background_doubt, slot);
    if (!s->asking)
        log_error(ROOM, "%s: no memory for a thread that goes on asking", s->vm->name);
    return ERR_IN_DOUBT;
}

enum err teleport_force(struct vm *vm, bool here)
{
    struct source **slot = find_doubt(vm);
    if (vm->state != VM_IN_DOUBT || !slot)
        return ERR_STATE;
    (*slot)->force_here = here;
    (*slot)->forced = true;
    if (!(*slot)->asking)
        end_doubt(slot);
    return OK;
}
