/* How a session's thread looks at a guest's console while the guest may come to its end, or move, at any wait. */
#ifndef TELEPOD_CONSOLE_WATCH_H
#define TELEPOD_CONSOLE_WATCH_H

#include <stdint.h>

struct session;
struct vm;

struct console_watch {
    const char *name;
    uint64_t id;                    /* of the guest: another one may take the name */
    uint64_t position;              /* of the next byte to read in all that the guest ever printed */
};

/* The guest, if it is still the same one; NULL. */
struct vm *console_watched(const struct console_watch *watch);

/* The rest of a session as the guest's serial line: attach_command.c. */
void console_attach(struct session *session, const char *name, struct vm *vm, uint64_t position);

#endif
