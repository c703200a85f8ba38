/*
 * Who may run the guest: the two state machines of a teleport, pure. Time, the network and the guest are events; what must
 * happen is returned as an action. tests/unit/test_handover.c explores every interleaving of the two with a network that
 * loses, cuts and delays, and finds none in which the guest runs twice, or exists nowhere.
 *
 * **A guest runs on at most one pod at any instant, and its state exists in full on at least one.**
 */
#ifndef TELEPOD_HANDOVER_H
#define TELEPOD_HANDOVER_H

#include <stdbool.h>

enum source_state {
    SOURCE_NEGOTIATING,  /* connecting; HELLO and GUEST sent; the guest runs here */
    SOURCE_PRECOPY,      /* ACCEPT came; rounds go out; the guest runs here */
    SOURCE_STOPPED,      /* the guest is held here; the residue, the state and PREPARE go out */
    SOURCE_COMMITTED,    /* READY came; COMMIT is being sent or was: it must not run here */
    SOURCE_IN_DOUBT,     /* the connection went after COMMIT: nobody here knows where it runs */
    SOURCE_DONE,         /* it runs on the target */
    SOURCE_KEPT,         /* the teleport failed; the guest runs here, as before */
    SOURCE_STATES
};

enum source_event {
    SOURCE_ACCEPTED,         /* ACCEPT came */
    SOURCE_CONVERGED,        /* the stop policy says: now */
    SOURCE_READY,            /* READY came, for this epoch and with the right digest */
    SOURCE_RUNNING,          /* RUNNING came */
    SOURCE_FAULT,            /* refused, link lost, time out, garbage, out of memory, called off */
    SOURCE_STATUS_RUNNING,   /* answers to QUERY, on a new connection */
    SOURCE_STATUS_WAITING,
    SOURCE_STATUS_NEVER,     /* DISCARDED: it never ran there, and never will */
    SOURCE_STATUS_UNKNOWN,   /* the peer does not know (it has restarted): stays in doubt */
    SOURCE_FORCE_HERE,       /* the operator takes the responsibility */
    SOURCE_FORCE_THERE,
    SOURCE_EVENTS
};

enum source_action {
    SOURCE_NOTHING,
    SOURCE_HOLD_GUEST,       /* pause it */
    SOURCE_SEND_COMMIT,
    SOURCE_ASK,              /* connect again and send QUERY */
    SOURCE_DROP_GUEST,       /* destroy what is left here */
    SOURCE_KEEP_GUEST,       /* let it run on here (if no operator had paused it); tell the target ABORT */
    SOURCE_IMPOSSIBLE,       /* the event can't happen in this state: the peer's mistake, treated as SOURCE_FAULT */
};

struct source_step {
    enum source_state next;
    enum source_action action;
};
struct source_step source_step(enum source_state state, enum source_event event);
/* May the guest's vCPUs be in guest mode on the source in this state? */
bool source_may_run(enum source_state state);

enum target_state {
    TARGET_RECEIVING,    /* GUEST accepted; pages and state come in */
    TARGET_WAITING,      /* all is here and READY was said: waits for COMMIT, even without a connection, for a while */
    TARGET_RUNNING,      /* COMMIT came */
    TARGET_DISCARDED,    /* never ran, all is freed; a COMMIT that comes now is refused */
    TARGET_STATES
};

enum target_event {
    TARGET_PREPARED,     /* PREPARE came, digest right, state loaded */
    TARGET_COMMIT,       /* COMMIT came, for this epoch */
    TARGET_FAULT,        /* link lost, garbage, wrong digest, time out */
    TARGET_ABORT,        /* the source called it off */
    TARGET_EXPIRED,      /* nobody asked for the image for too long */
    TARGET_EVENTS
};

enum target_action {
    TARGET_NOTHING,
    TARGET_SEND_READY,
    TARGET_RUN_GUEST,
    TARGET_FREE,         /* free all that it took */
    TARGET_REFUSE,       /* answer STATUS(DISCARDED) */
};

struct target_step {
    enum target_state next;
    enum target_action action;
};
struct target_step target_step(enum target_state state, enum target_event event);

#endif
