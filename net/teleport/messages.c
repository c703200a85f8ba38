/* One table a message: see messages.h. */
#include "net/teleport/messages.h"

#include <stdio.h>
#include <string.h>

#include "kernel/lib/util.h"
#include "kernel/lib/value.h"
#include "mm/guest_memory.h"
#include "vmx/vm.h"

static bool is_terminated(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

/* Goes to logs and terminals, where other bytes would speak for the pod. */
static bool is_printable(const char *text, size_t size)
{
    size_t i = 0;
    while (i < size && text[i] >= ' ' && text[i] <= '~')
        i++;
    return i < size && !text[i];
}

/* What an operator can type as a command's argument. */
static bool is_name(const char *text, size_t size)
{
    char name[POD_NAME_MAX];
    return is_terminated(text, size) && value_name(text, name, sizeof name);
}

static enum err hello_check(const void *decoded, char *why, size_t why_size)
{
    const struct msg_hello *m = decoded;
    if (m->magic != WIRE_MAGIC) {
        snprintf(why, why_size, "the peer is no Telepod: magic %llx", (unsigned long long)m->magic);
        return ERR_PROTOCOL;
    }
    if (m->version_oldest > WIRE_VERSION || m->version < WIRE_VERSION_OLDEST) {
        snprintf(why, why_size, "the peer speaks protocol versions %u to %u, this pod %u to %u", m->version_oldest,
                 m->version, WIRE_VERSION_OLDEST, WIRE_VERSION);
        return ERR_VERSION;
    }
    if (!is_printable(m->pod, sizeof m->pod) || !m->tsc_hz) {
        snprintf(why, why_size, "HELLO without a pod name or a TSC frequency");
        return ERR_INVALID;
    }
    return OK;
}

static bool guest_texts_are_fine(const struct msg_guest *m)
{
    bool fine = is_terminated(m->image, sizeof m->image) && is_terminated(m->initrd, sizeof m->initrd) &&
                is_terminated(m->disk, sizeof m->disk) && is_terminated(m->cmdline, sizeof m->cmdline) &&
                is_printable(m->reason, sizeof m->reason) && is_name(m->name, sizeof m->name);
    for (uint32_t i = 0; i < KINDS_MAX; i++)
        fine = fine && is_printable(m->kinds[i], KIND_NAME_MAX);
    return fine;
}

static bool guest_size_is_fine(uint64_t bytes, uint64_t maximum)
{
    return bytes <= maximum && bytes % LARGE_PAGE_SIZE == 0;
}

static enum err guest_check(const void *decoded, char *why, size_t why_size)
{
    const struct msg_guest *m = decoded;
    if (!guest_texts_are_fine(m) || !m->epoch) {
        snprintf(why, why_size, "GUEST: a text without its end, no name that an operator could type, or epoch 0");
        return ERR_INVALID;
    }
    if (!m->memory_bytes || !guest_size_is_fine(m->memory_bytes, GUEST_MEMORY_MAX) ||
        !guest_size_is_fine(m->disk_bytes, GUEST_DISK_MAX)) {
        snprintf(why, why_size, "GUEST: %llu bytes of memory or %llu of disk: no multiple of 2 MiB up to 64 GiB",
                 (unsigned long long)m->memory_bytes, (unsigned long long)m->disk_bytes);
        return ERR_RANGE;
    }
    if (!m->vcpus || m->range_count > MEMORY_RANGES_MAX || m->kind_count > KINDS_MAX || m->devices & ~GUEST_DEVICES_ALL) {
        snprintf(why, why_size, "GUEST: %u vCPUs, %u memory ranges, %u kinds of state, devices %x: out of bounds", m->vcpus,
                 m->range_count, m->kind_count, m->devices);
        return ERR_RANGE;
    }
    if (m->reserved || m->mac[6] || m->mac[7] || (m->mac[0] & 1) || (m->state != GUEST_ENDED && m->reason[0])) {
        snprintf(why, why_size, "GUEST: a reserved field is not 0, the MAC is a group's, or a guest that lives has an end");
        return ERR_INVALID;
    }
    return OK;
}

static enum err text_check(const void *decoded, char *why, size_t why_size)
{
    const struct msg_text *m = decoded;
    if (is_printable(m->text, sizeof m->text))
        return OK;
    snprintf(why, why_size, "a text without its end, or not printable");
    return ERR_INVALID;
}

static const struct field hello_fields[] = {
    FIELD(struct msg_hello, magic, 0),          FIELD(struct msg_hello, version, 0),
    FIELD(struct msg_hello, version_oldest, 0), FIELD(struct msg_hello, boot_id, 0),
    FIELD(struct msg_hello, tsc_hz, 0),         FIELD_ARRAY(struct msg_hello, pod, 0),
    FIELD(struct msg_hello, control_port, UINT16_MAX), FIELD(struct msg_hello, reserved, 0),
};
static const struct field guest_fields[] = {
    FIELD(struct msg_guest, epoch, 0),
    FIELD(struct msg_guest, memory_bytes, 0),
    FIELD(struct msg_guest, disk_bytes, 0),
    FIELD(struct msg_guest, vcpus, 0),
    FIELD(struct msg_guest, console, GUEST_CONSOLE_COM2),
    FIELD(struct msg_guest, devices, 0),
    FIELD(struct msg_guest, state, GUEST_ENDED),
    FIELD(struct msg_guest, audit, 1),
    FIELD(struct msg_guest, range_count, 0),
    FIELD_ARRAY(struct msg_guest, name, 0),
    FIELD_ARRAY(struct msg_guest, image, 0),
    FIELD_ARRAY(struct msg_guest, initrd, 0),
    FIELD_ARRAY(struct msg_guest, disk, 0),
    FIELD_ARRAY(struct msg_guest, cmdline, 0),
    FIELD_ARRAY(struct msg_guest, reason, 0),
    FIELD_ARRAY(struct msg_guest, mac, 0),
    FIELD_ARRAY(struct msg_guest, range_base, 0),
    FIELD_ARRAY(struct msg_guest, range_size, 0),
    FIELD_ARRAY(struct msg_guest, range_kind, 0),
    FIELD(struct msg_guest, kind_count, 0),
    FIELD(struct msg_guest, reserved, 0),
    FIELD_ARRAY(struct msg_guest, kinds, 0),
    FIELD_ARRAY(struct msg_guest, kind_versions, 0),
    FIELD_ARRAY(struct msg_guest, kind_instances, 0),
    FIELD(struct msg_guest, policy.version, 0),
    FIELD(struct msg_guest, policy.cpuid_count, ARRAY_SIZE(((struct vm_policy *)0)->cpuid)),
    FIELD(struct msg_guest, policy.tsc_hz, 0),
    FIELD(struct msg_guest, policy.xcr0, 0),
    FIELD(struct msg_guest, policy.physical_address_bits, 52),
    FIELD(struct msg_guest, policy.reserved, 0),
    FIELD_ARRAY(struct msg_guest, policy.cpuid, 0),
};
static const struct field accept_fields[] = { FIELD(struct msg_accept, epoch, 0) };
static const struct field text_fields[] = {
    FIELD(struct msg_text, epoch, 0),
    FIELD(struct msg_text, code, 0),
    FIELD(struct msg_text, reserved, 0),
    FIELD_ARRAY(struct msg_text, text, 0),
};
static const struct field ping_fields[] = { FIELD(struct msg_ping, source_ns, 0) };
static const struct field pong_fields[] = {
    FIELD(struct msg_pong, source_ns, 0),
    FIELD(struct msg_pong, received_ns, 0),
    FIELD(struct msg_pong, sent_ns, 0),
};
static const struct field round_fields[] = {
    FIELD(struct msg_round, round, 0),
    FIELD(struct msg_round, reserved, 0),
    FIELD(struct msg_round, pages, 0),
    FIELD(struct msg_round, bytes, 0),
};
static const struct field prepare_fields[] = {
    FIELD(struct msg_prepare, epoch, 0),     FIELD(struct msg_prepare, digest, 0),
    FIELD(struct msg_prepare, reserved, 0),  FIELD(struct msg_prepare, pause_ns, 0),
    FIELD(struct msg_prepare, guest_tsc, 0), FIELD(struct msg_prepare, offset_ns, 0),
    FIELD(struct msg_prepare, offset_error_ns, 0),
};
static const struct field ready_fields[] = {
    FIELD(struct msg_ready, epoch, 0),    FIELD(struct msg_ready, digest, 0),
    FIELD(struct msg_ready, reserved, 0), FIELD(struct msg_ready, prepare_ns, 0),
    FIELD(struct msg_ready, ready_ns, 0),
};
static const struct field commit_fields[] = {
    FIELD(struct msg_commit, epoch, 0),
    FIELD(struct msg_commit, offset_ns, 0),
    FIELD(struct msg_commit, offset_error_ns, 0),
};
static const struct field running_fields[] = {
    FIELD(struct msg_running, epoch, 0),     FIELD(struct msg_running, prepare_ns, 0),
    FIELD(struct msg_running, ready_ns, 0),  FIELD(struct msg_running, commit_ns, 0),
    FIELD(struct msg_running, running_ns, 0), FIELD(struct msg_running, sent_ns, 0),
};
static const struct field audit_result_fields[] = {
    FIELD(struct msg_audit_result, epoch, 0),
    FIELD(struct msg_audit_result, frames, 0),
    FIELD(struct msg_audit_result, different, 0),
    FIELD(struct msg_audit_result, first_different, 0),
};
static const struct field goodbye_fields[] = { FIELD(struct msg_goodbye, epoch, 0) };
static const struct field query_fields[] = { FIELD(struct msg_query, epoch, 0) };
static const struct field status_fields[] = {
    FIELD(struct msg_status, epoch, 0),
    FIELD(struct msg_status, status, STATUS_DISCARDED),
    FIELD(struct msg_status, reserved, 0),
};

#define SECTION(title, fields, type, checker) { title, 1, fields, ARRAY_SIZE(fields), sizeof(type), checker }

static const struct section sections[RECORD_TYPE_END] = {
    [RECORD_HELLO] = SECTION("HELLO", hello_fields, struct msg_hello, hello_check),
    [RECORD_GUEST] = SECTION("GUEST", guest_fields, struct msg_guest, guest_check),
    [RECORD_ACCEPT] = SECTION("ACCEPT", accept_fields, struct msg_accept, NULL),
    [RECORD_REFUSE] = SECTION("REFUSE", text_fields, struct msg_text, text_check),
    [RECORD_CLOCK_PING] = SECTION("CLOCK_PING", ping_fields, struct msg_ping, NULL),
    [RECORD_CLOCK_PONG] = SECTION("CLOCK_PONG", pong_fields, struct msg_pong, NULL),
    [RECORD_ROUND_BEGIN] = SECTION("ROUND_BEGIN", round_fields, struct msg_round, NULL),
    [RECORD_ROUND_END] = SECTION("ROUND_END", round_fields, struct msg_round, NULL),
    [RECORD_ROUND_ACK] = SECTION("ROUND_ACK", round_fields, struct msg_round, NULL),
    [RECORD_PREPARE] = SECTION("PREPARE", prepare_fields, struct msg_prepare, NULL),
    [RECORD_READY] = SECTION("READY", ready_fields, struct msg_ready, NULL),
    [RECORD_COMMIT] = SECTION("COMMIT", commit_fields, struct msg_commit, NULL),
    [RECORD_RUNNING] = SECTION("RUNNING", running_fields, struct msg_running, NULL),
    [RECORD_AUDIT_RESULT] = SECTION("AUDIT_RESULT", audit_result_fields, struct msg_audit_result, NULL),
    [RECORD_ABORT] = SECTION("ABORT", text_fields, struct msg_text, text_check),
    [RECORD_QUERY] = SECTION("QUERY", query_fields, struct msg_query, NULL),
    [RECORD_STATUS] = SECTION("STATUS", status_fields, struct msg_status, NULL),
    [RECORD_GOODBYE] = SECTION("GOODBYE", goodbye_fields, struct msg_goodbye, NULL),
};

const struct section *message_section(uint16_t type)
{
    return type < RECORD_TYPE_END && sections[type].fields ? &sections[type] : NULL;
}

uint32_t message_encode(uint16_t type, const void *message, uint8_t out[MESSAGE_WIRE_MAX])
{
    const struct section *s = message_section(type);
    size_t size = section_wire_size(s);
    size_t padded = ALIGN_UP(size, 8);
    section_save(s, message, out);
    memset(out + size, 0, padded - size);
    return (uint32_t)padded;
}

/* The one message that pods of any two versions exchange: it may be shorter or longer than ours. */
static enum err decode_hello(const struct section *s, void *message, const uint8_t *payload, uint32_t length, char *why,
                             size_t why_size)
{
    uint8_t ours[MESSAGE_WIRE_MAX] = { 0 };
    size_t size = section_wire_size(s);
    memcpy(ours, payload, MIN(length, size));
    return section_load(s, message, ours, size, why, why_size);
}

enum err message_decode(uint16_t type, void *message, const uint8_t *payload, uint32_t length, char *why, size_t why_size)
{
    const struct section *s = message_section(type);
    if (!s) {
        snprintf(why, why_size, "%s is not expected here", record_type_name(type));
        return ERR_PROTOCOL;
    }
    size_t size = section_wire_size(s);
    if (type == RECORD_HELLO && length >= HELLO_WIRE_SIZE_1 && length % 8 == 0 && length < RECORD_PAYLOAD_MAX)
        return decode_hello(s, message, payload, length, why, why_size);
    if (length != ALIGN_UP(size, 8)) {
        snprintf(why, why_size, "%s has %u bytes, %u expected", s->name, length, (unsigned)ALIGN_UP(size, 8));
        return ERR_RANGE;
    }
    return section_load(s, message, payload, size, why, why_size);
}
