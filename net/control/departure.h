/*
 * Where guests went that ran here: so that a console can follow one. An attached console gets all that the guest had printed
 * on this pod, although the machine itself is gone. Bounded: the last few departures are remembered, and the output of a
 * guest that has gone only as long as somebody still reads it.
 *
 * For threads of the network's CPU only.
 */
#ifndef TELEPOD_DEPARTURE_H
#define TELEPOD_DEPARTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/json.h"
#include "kernel/lib/pod_config.h"
#include "net/control/control.h"

struct vm;

struct departure {
    uint64_t vm_id;                 /* 0: nothing here */
    char guest[POD_NAME_MAX];
    char pod[POD_NAME_MAX];
    uint32_t address;               /* IPv4, network byte order */
    uint16_t control_port;
    uint8_t mac[GUEST_MAC_BYTES];
    uint64_t console_start, console_position;   /* the guest's output is [start, position) */
    char *console;                  /* that output; NULL: nobody reads it */
    uint32_t readers;
    uint64_t number;                /* counts up: which is the oldest */
};

/* From now on teleports are noted. */
void departure_init(void);

/* A session's place beside a guest; it lies in the session's thread. */
struct attachment {
    uint64_t vm_id;
    struct departure *departure;    /* set when the guest has gone to a peer */
};
/* ERR_BUSY: as many are attached as there can be. */
enum err attachment_begin(struct attachment *attachment, uint64_t vm_id);
void attachment_end(struct attachment *attachment);

/* Output of a guest that has gone, as vm_console_read gives it. */
size_t departure_read(const struct departure *departure, uint64_t *position, char *buffer, size_t size);

/* The last one of a guest of that name; NULL: none is known. */
const struct departure *departure_find(const char *guest);

/* Did a guest go to a peer with this MAC, that it may still have there? */
bool departure_has_mac(const uint8_t mac[GUEST_MAC_BYTES]);

/* "KEY":{"pod":...,"address":...,"control_port":...} */
void departure_to_json(const struct departure *departure, struct json *json, const char *key);

#endif
