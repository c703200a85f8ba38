/*
 * The payloads of the small records: a structure and a table of fields each (vmx/fields.h), so that encode, decode, size
 * and the dissector come from one description. Times on the wire are nanoseconds of the clock of the pod that the field
 * names, counted from its power-on.
 */
#ifndef TELEPOD_MESSAGES_H
#define TELEPOD_MESSAGES_H

#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "net/teleport/wire.h"
#include "vmx/fields.h"
#include "vmx/state.h"

#define TEXT_MAX 160

struct msg_hello {
    uint64_t magic;               /* WIRE_MAGIC */
    uint32_t version;             /* what the sender speaks best */
    uint32_t version_oldest;      /* and at least */
    uint64_t boot_id;             /* of the sender's power-on: a pod that restarted remembers nothing */
    uint64_t tsc_hz;
    char pod[POD_NAME_MAX];
    uint32_t control_port;        /* TCP, where the sender's operator is served: consoles follow a guest there */
    uint32_t reserved;
};

#define MEMORY_RANGES_MAX 8
#define DEVICES_MAX 8
#define DEVICE_NAME_MAX 16

struct msg_guest {
    uint64_t epoch;               /* names this teleport, for ever */
    uint64_t memory_bytes;
    uint32_t vcpus;
    uint32_t console;             /* enum guest_console */
    char name[POD_NAME_MAX];
    char image[FILE_NAME_MAX];
    char cmdline[GUEST_CMDLINE_MAX];
    uint32_t range_count;
    uint32_t device_count;
    uint64_t range_base[MEMORY_RANGES_MAX];
    uint64_t range_size[MEMORY_RANGES_MAX];
    char devices[DEVICES_MAX][DEVICE_NAME_MAX];
    uint32_t device_versions[DEVICES_MAX];
    uint32_t was_paused;          /* bool: an operator has paused the guest, and it shall stay so */
    uint32_t audit;               /* bool: the target keeps a CRC of every frame that it stores */
    struct vm_policy policy;
};

struct msg_accept { uint64_t epoch; };
struct msg_goodbye { uint64_t epoch; };
struct msg_text { uint64_t epoch; uint32_t code; uint32_t reserved; char text[TEXT_MAX]; };   /* REFUSE, ABORT */
struct msg_ping { uint64_t source_ns; };
struct msg_pong { uint64_t source_ns, received_ns, sent_ns; };
struct msg_round { uint32_t round; uint32_t reserved; uint64_t pages, bytes; };               /* BEGIN, END, ACK */

struct msg_prepare {
    uint64_t epoch;
    uint32_t digest;              /* CRC32C chained over the CRCs of all records so far, this one excluded */
    uint32_t reserved;
    uint64_t pause_ns;            /* source's clock: no vCPU in guest mode from here on */
    uint64_t guest_tsc;           /* the guest's TSC at that instant */
    int64_t offset_ns;            /* target's clock - source's clock, as measured in-band */
    uint64_t offset_error_ns;
};
struct msg_ready { uint64_t epoch; uint32_t digest; uint32_t reserved; uint64_t prepare_ns, ready_ns; };
/* With the exchange of PREPARE and READY, the clocks have been compared once more: what counts for the guest's TSC. */
struct msg_commit { uint64_t epoch; int64_t offset_ns; uint64_t offset_error_ns; };
struct msg_running { uint64_t epoch; uint64_t prepare_ns, ready_ns, commit_ns, running_ns, sent_ns; };
struct msg_audit_result { uint64_t epoch; uint64_t frames, different, first_different; };
struct msg_query { uint64_t epoch; };

enum handover_status {
    STATUS_UNKNOWN = 0,           /* never heard of that epoch (since boot_id) */
    STATUS_WAITING = 1,           /* all of it is here, no COMMIT came: it does not run */
    STATUS_RUNNING = 2,           /* COMMIT came; it runs here, or did */
    STATUS_DISCARDED = 3,         /* it never ran here, and never will */
};
struct msg_status { uint64_t epoch; uint32_t status; uint32_t reserved; };

/* The table of one record type; NULL for the types whose payload is not a structure (PAGE, ZERO, STATE, AUDIT). */
const struct section *message_section(uint16_t type);

/* Largest wire form of any message. */
#define MESSAGE_WIRE_MAX 4096

/* Encodes *message (of the type's structure) into out, padded with zeros to 8; returns the payload's length. */
uint32_t message_encode(uint16_t type, const void *message, uint8_t out[MESSAGE_WIRE_MAX]);
/* Decodes and checks; on any error *message is unchanged. */
enum err message_decode(uint16_t type, void *message, const uint8_t *payload, uint32_t length, char *why, size_t why_size);

#endif
