/*
 * A guest's console that stays attached when the guest moves: nothing lost, nothing twice, in both directions. What the guest
 * prints goes to standard output as it is; standard input is typed to it. See net/control/attach_command.c for the pod's
 * part of it.
 */
#ifndef TELEPOD_TOOLS_FOLLOW_H
#define TELEPOD_TOOLS_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

enum follow_end {
    FOLLOW_DONE,        /* the operator has detached, or the guest was stopped */
    FOLLOW_REFUSED,     /* a pod says no; it was said why */
    FOLLOW_FAILED,      /* a connection came to its end without a word of where the guest is; it was said why */
};

struct follow_options {
    const char *pod, *guest;
    uint64_t position;      /* of the first byte to show, in all that the guest ever printed */
    int silence_ms;
    bool json;              /* the pods' lines as they are, instead of the guest's bytes */
};

enum follow_end follow_console(const struct follow_options *options);

#endif
