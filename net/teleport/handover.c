/* The two state machines as tables: see handover.h for what they guarantee and PROTOCOL.md for the diagram. */
#include "net/teleport/handover.h"

/* A row that a table leaves out is {0, 0}; this flag tells it from a real one. */
#define GO(next_state, action) { true, { next_state, action } }

static const struct {
    bool defined;
    struct source_step step;
} source_table[SOURCE_STATES][SOURCE_EVENTS] = {
    [SOURCE_NEGOTIATING] = {
        [SOURCE_ACCEPTED] = GO(SOURCE_PRECOPY, SOURCE_NOTHING),
        [SOURCE_FAULT] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
    },
    [SOURCE_PRECOPY] = {
        [SOURCE_CONVERGED] = GO(SOURCE_STOPPED, SOURCE_HOLD_GUEST),
        [SOURCE_FAULT] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
    },
    [SOURCE_STOPPED] = {
        [SOURCE_READY] = GO(SOURCE_COMMITTED, SOURCE_SEND_COMMIT),
        /* COMMIT was not sent, and the target cannot run without it: to go on here is safe. */
        [SOURCE_FAULT] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
    },
    [SOURCE_COMMITTED] = {
        [SOURCE_RUNNING] = GO(SOURCE_DONE, SOURCE_DROP_GUEST),
        [SOURCE_STATUS_RUNNING] = GO(SOURCE_DONE, SOURCE_DROP_GUEST),
        [SOURCE_STATUS_NEVER] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
        /* COMMIT may have arrived or not. It never resumes by itself. */
        [SOURCE_FAULT] = GO(SOURCE_IN_DOUBT, SOURCE_ASK),
    },
    [SOURCE_IN_DOUBT] = {
        [SOURCE_STATUS_RUNNING] = GO(SOURCE_DONE, SOURCE_DROP_GUEST),
        [SOURCE_STATUS_WAITING] = GO(SOURCE_COMMITTED, SOURCE_SEND_COMMIT),
        [SOURCE_STATUS_NEVER] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
        [SOURCE_STATUS_UNKNOWN] = GO(SOURCE_IN_DOUBT, SOURCE_NOTHING),
        [SOURCE_FAULT] = GO(SOURCE_IN_DOUBT, SOURCE_ASK),
        [SOURCE_FORCE_HERE] = GO(SOURCE_KEPT, SOURCE_KEEP_GUEST),
        [SOURCE_FORCE_THERE] = GO(SOURCE_DONE, SOURCE_DROP_GUEST),
    },
    /* Ends: nothing moves them. */
};

struct source_step source_step(enum source_state state, enum source_event event)
{
    if (source_table[state][event].defined)
        return source_table[state][event].step;
    return (struct source_step){ state, SOURCE_IMPOSSIBLE };
}

bool source_may_run(enum source_state state)
{
    return state == SOURCE_NEGOTIATING || state == SOURCE_PRECOPY || state == SOURCE_KEPT;
}

static const struct {
    bool defined;
    struct target_step step;
} target_table[TARGET_STATES][TARGET_EVENTS] = {
    [TARGET_RECEIVING] = {
        [TARGET_PREPARED] = GO(TARGET_WAITING, TARGET_SEND_READY),
        [TARGET_COMMIT] = GO(TARGET_DISCARDED, TARGET_FREE),   /* COMMIT without READY: the peer is broken */
        [TARGET_FAULT] = GO(TARGET_DISCARDED, TARGET_FREE),
        [TARGET_ABORT] = GO(TARGET_DISCARDED, TARGET_FREE),
        [TARGET_EXPIRED] = GO(TARGET_DISCARDED, TARGET_FREE),
    },
    [TARGET_WAITING] = {
        [TARGET_COMMIT] = GO(TARGET_RUNNING, TARGET_RUN_GUEST),
        /* The source may be in doubt and ask: the image stays until it expires. */
        [TARGET_FAULT] = GO(TARGET_WAITING, TARGET_NOTHING),
        [TARGET_ABORT] = GO(TARGET_DISCARDED, TARGET_FREE),
        [TARGET_EXPIRED] = GO(TARGET_DISCARDED, TARGET_FREE),
    },
    [TARGET_DISCARDED] = {
        [TARGET_COMMIT] = GO(TARGET_DISCARDED, TARGET_REFUSE),
    },
    /* TARGET_RUNNING: it is ours now, whatever comes. */
};

struct target_step target_step(enum target_state state, enum target_event event)
{
    if (target_table[state][event].defined)
        return target_table[state][event].step;
    return (struct target_step){ state, TARGET_NOTHING };
}
