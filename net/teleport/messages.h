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
#include "vmx/vm.h"
#include "vmx/vm_image.h"

#define TEXT_MAX 160

struct msg_hello {
    uint64_t magic;               /* WIRE_MAGIC */
    uint32_t version;             /* what the sender speaks best */
    uint32_t version_oldest;      /* and at least */
    uint64_t boot_id;             /* of the sender's power-on: a pod that restarted remembers nothing */
    uint64_t tsc_hz;
    char pod[POD_NAME_MAX];
    /* Version 1 ends here. HELLO grows at its end only: what an older peer does not send reads as 0. */
    uint32_t control_port;        /* TCP, where the sender's operator is served: consoles follow a guest there */
    uint32_t reserved;
};

/* How the guest stands on its source, and will on its target. */
enum msg_guest_state {
    GUEST_RUNS = 0,
    GUEST_PAUSED = 1,             /* by an operator: it stays paused */
    GUEST_ENDED = 2,              /* its disk and its configuration move, not its RAM; it stays ended */
};
enum memory_range_kind { MEMORY_RANGE_RAM = 1, MEMORY_RANGE_DISK = 2 };
#define MEMORY_RANGES_MAX 4
#define KINDS_MAX STATE_KINDS_MAX
#define KIND_NAME_MAX VM_SECTION_NAME_MAX

struct msg_guest {
    uint64_t epoch;               /* names this teleport, for ever */
    uint64_t memory_bytes;        /* of RAM */
    uint64_t disk_bytes;          /* 0: no disk */
    uint32_t vcpus;
    uint32_t console;             /* enum guest_console */
    uint32_t devices;             /* enum guest_device bits */
    uint32_t state;               /* enum msg_guest_state */
    uint32_t audit;               /* bool: the target keeps a CRC of every frame that it stores */
    uint32_t range_count;
    char name[POD_NAME_MAX];
    char image[FILE_NAME_MAX];
    char initrd[FILE_NAME_MAX];
    char disk[FILE_NAME_MAX];
    char cmdline[GUEST_CMDLINE_MAX];
    char reason[VM_REASON_MAX];   /* why it ended; empty for others */
    uint8_t mac[8];               /* of its network card, then two zeros */
    /* What the frame indexes mean, in their order: RAM where the guest sees it, disk from its beginning. */
    uint64_t range_base[MEMORY_RANGES_MAX];
    uint64_t range_size[MEMORY_RANGES_MAX];
    uint32_t range_kind[MEMORY_RANGES_MAX];
    /* The sections of state that will come: processors and devices. */
    uint32_t kind_count;
    uint32_t reserved;
    char kinds[KINDS_MAX][KIND_NAME_MAX];
    uint32_t kind_versions[KINDS_MAX];
    uint32_t kind_instances[KINDS_MAX];
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
#define HELLO_WIRE_SIZE_1 64      /* bytes of HELLO in version 1 */
/* Decodes and checks; on any error *message is unchanged. */
enum err message_decode(uint16_t type, void *message, const uint8_t *payload, uint32_t length, char *why, size_t why_size);

#endif
