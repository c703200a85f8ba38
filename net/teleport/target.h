/* What the files of the target side share: listener.c (connections), target.c (records), incoming.c (machines on their way in). */
#ifndef TELEPOD_TARGET_H
#define TELEPOD_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/bitmap.h"
#include "kernel/lib/err.h"
#include "net/teleport/channel.h"
#include "net/teleport/handover.h"
#include "net/teleport/messages.h"
#include "vmx/vm.h"

/* A machine on its way in. It belongs to a session while its connection lives, and to the reaper when it waits alone. */
struct incoming {
    bool used;
    bool attached;               /* a session works on it */
    bool audit;
    enum msg_guest_state guest;  /* as its source found it: so it will stand here */
    enum target_state state;
    struct vm *vm;               /* NULL once it runs or is discarded */
    uint64_t epoch, source_boot_id;
    struct bitmap filled;        /* frames that were written here; the others are still zero from their birth */
    uint32_t *frame_crcs;        /* with audit: of each frame as it is stored; NULL without */
    uint64_t first_frame, frames;    /* those that come are from the one to below the other */
    struct {
        bool open;               /* between ROUND_BEGIN and ROUND_END */
        uint32_t next;           /* number of the next one */
        uint64_t announced;      /* frames, by ROUND_BEGIN */
        uint64_t arrived;        /* frames since then */
        uint64_t start;          /* bytes that the connection had carried before it */
    } round;
    struct vm_state_room *room;  /* processor and device state, as far as it has come */
    struct msg_prepare prepare;
    struct msg_running times;
    uint64_t expires;            /* TSC; meaningful while it waits without a session */
    uint64_t audit_different, audit_first, audit_seen;
};

struct session {
    struct channel channel;
    struct msg_hello source;
    struct incoming *in;         /* NULL: none (yet) */
    uint32_t records;
    bool done;
};

/* Leaves the reason in the channel's `why` and returns e. */
enum err session_wrong(struct session *s, enum err e, const char *why);
/* target.c: one record, by its table of handlers. Any error ends the session. */
enum err session_handle(struct session *s, const struct record *r);

/* Can this pod run that guest? Changes nothing; the reason is in the channel's `why`. */
enum err incoming_check_guest(struct session *s, const struct msg_guest *m);
/* Takes all that the guest needs, and ties it to the session. All or nothing. */
enum err incoming_create(struct session *s, const struct msg_guest *m);
/* Applies an event of the state machine; frees the machine when that says so. */
enum target_action incoming_apply(struct incoming *in, enum target_event event, const char *why);
void incoming_free_buffers(struct incoming *in);
/* The machine that waits for this epoch's COMMIT; NULL: none. A pod's epochs are its own: its boot id belongs to the name. */
struct incoming *incoming_find_waiting(uint64_t source_boot_id, uint64_t epoch);
/* Discards what waits here of an earlier try of the same pod with the same guest: it has the guest, so that never ran. */
void incoming_supersede(const struct session *s, const char *name);
/* Discards what has waited for too long. */
void incoming_reap(void);
/* How an epoch ended, and the question after it. The last HISTORY_MAX ends are known. */
void incoming_remember(const struct incoming *in, enum handover_status status);
enum handover_status incoming_status_of(uint64_t source_boot_id, uint64_t epoch);

#endif
