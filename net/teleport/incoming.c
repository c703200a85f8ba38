/*
 * Machines on their way in: what they take, how long they may stay, and how they end.
 *
 * **A machine that comes in never runs before COMMIT.** Between READY and COMMIT it outlives its connection for
 * WAITING_LIFETIME_US, so that a source in doubt can ask; then all that it took is freed, and its epoch is remembered as
 * one that never ran.
 */
#include "net/teleport/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"
#include "net/teleport/guest_message.h"
#include "vmx/state.h"

#define ROOM "teleport"
#define INCOMING_MAX 4
#define HISTORY_MAX 64

static struct incoming incomings[INCOMING_MAX];

/* How epochs ended: the answers to QUERY. Status 0 (UNKNOWN) is an entry that was never used. */
static struct {
    uint64_t source_boot_id, epoch;
    enum handover_status status;
} history[HISTORY_MAX];
static uint32_t history_next;

void incoming_remember(const struct incoming *in, enum handover_status status)
{
    uint32_t i = history_next++ % HISTORY_MAX;
    history[i].source_boot_id = in->source_boot_id;
    history[i].epoch = in->epoch;
    history[i].status = status;
}

/* The machine of that epoch, in whatever state. */
static struct incoming *find(uint64_t source_boot_id, uint64_t epoch)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        if (incomings[i].used && incomings[i].source_boot_id == source_boot_id && incomings[i].epoch == epoch)
            return &incomings[i];
    return NULL;
}

struct incoming *incoming_find_waiting(uint64_t source_boot_id, uint64_t epoch)
{
    struct incoming *in = find(source_boot_id, epoch);
    return in && in->state == TARGET_WAITING ? in : NULL;
}

enum handover_status incoming_status_of(uint64_t source_boot_id, uint64_t epoch)
{
    if (incoming_find_waiting(source_boot_id, epoch))
        return STATUS_WAITING;
    for (uint32_t i = 0; i < HISTORY_MAX; i++)
        if (history[i].source_boot_id == source_boot_id && history[i].epoch == epoch)
            return history[i].status;
    return STATUS_UNKNOWN;
}

void incoming_free_buffers(struct incoming *in)
{
    free(in->filled.words);
    free(in->frame_crcs);
    vm_state_room_free(in->room);
    in->filled.words = NULL;
    in->frame_crcs = NULL;
    in->room = NULL;
}

static void discard(struct incoming *in, const char *why)
{
    log_info(ROOM, "%s: incoming guest discarded: %s", in->vm ? in->vm->name : "?", why);
    incoming_remember(in, STATUS_DISCARDED);
    if (in->vm) {
        in->vm->teleporting = false;
        vm_destroy(in->vm);
    }
    in->vm = NULL;
    incoming_free_buffers(in);
    in->used = false;
}

/* Applies an event; frees the machine when the state machine says so. */
enum target_action incoming_apply(struct incoming *in, enum target_event event, const char *why)
{
    struct target_step step = target_step(in->state, event);
    in->state = step.next;
    if (step.action == TARGET_FREE)
        discard(in, why);
    return step.action;
}

void incoming_reap(void)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        struct incoming *in = &incomings[i];
        if (in->used && !in->attached && in->state == TARGET_WAITING && time_now() >= in->expires)
            incoming_apply(in, TARGET_EXPIRED, "nobody asked for it any more; it never ran here");
    }
}

/* A source that begins anew with a guest has it: what waits here of an earlier try of the same pod never ran. */
void incoming_supersede(const struct session *s, const char *name)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        struct incoming *in = &incomings[i];
        if (in->used && !in->attached && in->vm && in->source_boot_id == s->source.boot_id &&
            !strcmp(in->vm->name, name))
            incoming_apply(in, TARGET_ABORT, "its source began a new teleport");
    }
}

/* A name and an address on the network are one guest's. */
static enum err check_identity(const struct msg_guest *m, char *why, size_t size)
{
    if (vm_find(m->name)) {
        snprintf(why, size, "this pod has a guest %s already", m->name);
        return ERR_EXISTS;
    }
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        const struct vm *vm = vm_by_index(i);
        if (vm && (vm->config.devices & m->devices & GUEST_DEVICE_NET) &&
            !memcmp(vm->config.mac, m->mac, sizeof vm->config.mac)) {
            snprintf(why, size, "this pod's guest %s has the MAC %02x:%02x:%02x:%02x:%02x:%02x already", vm->name, m->mac[0],
                     m->mac[1], m->mac[2], m->mac[3], m->mac[4], m->mac[5]);
            return ERR_EXISTS;
        }
    }
    return OK;
}

static enum err check_memory(const struct msg_guest *m, char *why, size_t size)
{
    uint64_t missing = guest_memory_missing_mib(m->memory_bytes, m->disk_bytes);
    if (!missing)
        return OK;
    snprintf(why, size, "the guest has %llu MiB of memory and %llu MiB of disk; with its page tables, this pod lacks %llu MiB",
             (unsigned long long)(m->memory_bytes / MIB), (unsigned long long)(m->disk_bytes / MIB),
             (unsigned long long)missing);
    return ERR_NO_MEMORY;
}

/* Can this pod run that guest? Changes nothing. */
enum err incoming_check_guest(struct session *s, const struct msg_guest *m)
{
    char *why = s->channel.why;
    size_t size = sizeof s->channel.why;

    if (!vmx_available()) {
        snprintf(why, size, "this pod runs no guests: %s", vmx_unavailable_reason());
        return ERR_UNSUPPORTED;
    }
    if (m->vcpus > VCPUS_MAX) {
        snprintf(why, size, "the guest has %u vCPUs; this pod gives up to %u", (unsigned)m->vcpus, (unsigned)VCPUS_MAX);
        return ERR_UNSUPPORTED;
    }
    if (find(s->source.boot_id, m->epoch) || incoming_status_of(s->source.boot_id, m->epoch) != STATUS_UNKNOWN) {
        snprintf(why, size, "epoch %llx was used before", (unsigned long long)m->epoch);
        return ERR_EXISTS;
    }
    enum err e = guest_message_check_machine(m, why, size);
    e = e ? e : check_identity(m, why, size);
    e = e ? e : vm_policy_check(&m->policy, why, size);
    return e ? e : check_memory(m, why, size);
}

static struct incoming *free_slot(void)
{
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        if (!incomings[i].used)
            return &incomings[i];
    return NULL;
}

enum err incoming_create(struct session *s, const struct msg_guest *m)
{
    struct incoming *in = free_slot();
    if (!in)
        return session_wrong(s, ERR_BUSY, "too many guests are on their way into this pod");
    struct guest_config config;
    guest_message_config(m, &config);
    uint64_t frames = (m->memory_bytes + m->disk_bytes) / PAGE_SIZE;
    uint64_t first = guest_message_first_frame(m->memory_bytes, m->state);
    /* Taken from here on: the machine's creation yields, and others look for a free slot meanwhile. */
    *in = (struct incoming){ .used = true, .attached = true, .epoch = m->epoch,
                             .source_boot_id = s->source.boot_id, .state = TARGET_RECEIVING,
                             .guest = m->state, .audit = m->audit, .first_frame = first, .frames = frames,
                             .audit_seen = first,
                             .filled = { calloc(bitmap_word_count(frames), sizeof(uint64_t)), frames } };
    if (in->audit)
        in->frame_crcs = calloc(frames, sizeof *in->frame_crcs);
    if (!in->filled.words || (in->audit && !in->frame_crcs)) {
        incoming_free_buffers(in);
        in->used = false;
        return session_wrong(s, ERR_NO_MEMORY, "no memory on the target for the teleport's own tables");
    }
    char why[VM_REASON_MAX] = "the guest's policy does not fit";
    enum err e = vm_create_incoming(&in->vm, &config, why, sizeof why);
    if (!e)
        e = vm_policy_apply(in->vm, &m->policy);
    if (!e) {
        in->room = vm_state_room_new(in->vm, m->state == GUEST_ENDED);
        e = in->room ? OK : ERR_NO_MEMORY;
    }
    if (e) {
        if (in->vm)
            vm_destroy(in->vm);
        incoming_free_buffers(in);
        in->used = false;
        snprintf(s->channel.why, sizeof s->channel.why, "the target could not make the guest: %.120s", why);
        return e;
    }
    in->vm->teleporting = true;
    snprintf(in->vm->reason, sizeof in->vm->reason, "%s", m->reason);
    s->in = in;
    return OK;
}
