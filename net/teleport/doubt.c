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

    source_count_bytes(s);
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
        if (s->forced && s->force_here)   /* decided while the answer was on its way */
            return;
        s->options.cut[0] = '\0';
        if (source_commit(s))
            s->state = source_step(s->state, SOURCE_FAULT).next;
        return;
    }
    s->state = source_step(s->state, event).next;
}

/* What the peer says is known; the operator's word counts where it says nothing. */
static bool is_decided(struct source *s)
{
    if (s->state == SOURCE_IN_DOUBT && s->forced)
        s->state = source_step(s->state, s->force_here ? SOURCE_FORCE_HERE : SOURCE_FORCE_THERE).next;
    return s->state != SOURCE_IN_DOUBT;
}

void doubt_resolve(struct source *s, uint64_t deadline, uint64_t retry_us)
{
    while (!is_decided(s) && time_now() < deadline) {
        ask(s);
        if (!is_decided(s))
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

void doubt_begin(struct source *s)
{
    *free_doubt_slot() = s;
    s->asking = true;
}

void doubt_end(struct source *s)
{
    log_info(ROOM, "%s: no longer in doubt%s: it runs %s", s->vm->name, s->forced ? " (the operator's word)" : "",
             s->state == SOURCE_DONE ? "on the peer" : "here");
    *find_doubt(s->vm) = NULL;
}

static void end_left_doubt(struct source *s)
{
    doubt_end(s);
    source_finish(s);
    source_release(s);
}

static void background_doubt(void *argument)
{
    struct source *s = argument;
    while (s->state == SOURCE_IN_DOUBT)
        doubt_resolve(s, time_after_us(DOUBT_BACKGROUND_RETRY_US), DOUBT_BACKGROUND_RETRY_US);
    end_left_doubt(s);
}

/* Goes on asking in the background; without a thread for that, the guest stays in doubt for the operator alone. */
enum err doubt_leave(struct source *s)
{
    source_count_bytes(s);
    s->flight->outcome = "in doubt";
    s->own_flight = *s->flight;   /* the caller's ends with its call */
    s->flight = &s->own_flight;
    s->progress = NULL;
    log_error(ROOM, "%s: IN DOUBT: COMMIT was sent and the peer does not answer. It does not run here until the peer answers "
              "or the operator decides: `resume %s force` or `stop %s force`", s->vm->name, s->vm->name, s->vm->name);
    s->asking = !thread_create(NULL, "doubt", NULL, background_doubt, s);
    if (!s->asking)
        log_error(ROOM, "%s: no memory for a thread that goes on asking", s->vm->name);
    return ERR_IN_DOUBT;
}

enum err teleport_force(struct vm *vm, bool here)
{
    struct source **slot = find_doubt(vm), *s = slot ? *slot : NULL;
    if (vm->state != VM_IN_DOUBT || !s)
        return ERR_STATE;
    /* COMMIT is on its way once more: what the operator has seen on the peer may just have changed. */
    if (s->state != SOURCE_IN_DOUBT)
        return ERR_BUSY;
    s->force_here = here;
    s->forced = true;
    if (!s->asking && is_decided(s))
        end_left_doubt(s);
    return OK;
}
