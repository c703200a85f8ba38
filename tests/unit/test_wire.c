/* Records and messages: what is written can be read, and nothing else can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/lib/crc32c.h"
#include "net/teleport/wire.h"
#include "tests/fakes/messages.h"

static char why[TEXT_MAX];

static const uint8_t payload[16] = "sixteen bytes...";

static void make(uint8_t header[RECORD_HEADER_SIZE], uint16_t type, uint32_t sequence)
{
    record_header_put(header, type, sizeof payload, sequence, crc32c_update(0, payload, sizeof payload));
}

static enum err take(const uint8_t header[RECORD_HEADER_SIZE], const uint8_t *body, uint32_t sequence)
{
    struct record_header h;
    enum err e = record_header_get(header, sequence, &h, why, sizeof why);
    if (e)
        return e;
    if (h.length != sizeof payload)
        return ERR_RANGE;
    return record_check(header, crc32c_update(0, body, sizeof payload), why, sizeof why);
}

static void a_record_survives_the_round_trip(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    make(header, RECORD_STATE, 7);
    assert_int_equal(take(header, payload, 7), OK);
}

/* Every bit of a record counts: flip one, and the record is refused. */
static void every_changed_bit_is_noticed(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 8 * (RECORD_HEADER_SIZE + sizeof payload); bit++) {
        uint8_t record[RECORD_HEADER_SIZE + sizeof payload];
        make(record, RECORD_STATE, 7);
        memcpy(record + RECORD_HEADER_SIZE, payload, sizeof payload);
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(take(record, record + RECORD_HEADER_SIZE, 7), OK);
        assert_true(why[0]);
    }
}

static void the_sequence_must_be_the_next(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    make(header, RECORD_STATE, 8);
    assert_int_equal(take(header, payload, 7), ERR_PROTOCOL);
    assert_string_equal(why, "record 7 expected, 8 came");
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    const uint32_t bad[] = { RECORD_PAYLOAD_MAX + 8, UINT32_MAX, 4, 15 };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t header[RECORD_HEADER_SIZE];
        struct record_header h;
        record_header_put(header, RECORD_STATE, bad[i], 0, 0);
        assert_int_equal(record_header_get(header, 0, &h, why, sizeof why), ERR_RANGE);
    }
}

static void unknown_types_are_refused_if_mandatory(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record_header h;
    record_header_put(header, RECORD_TYPE_END, 0, 0, 0);
    assert_int_equal(record_header_get(header, 0, &h, why, sizeof why), ERR_PROTOCOL);
    wire_put_u16(header + 2, 0);   /* not mandatory: let through, for the reader to skip */
    assert_int_equal(record_header_get(header, 0, &h, why, sizeof why), OK);
}

/* Each message type: encode, decode, compare; a byte more or less is refused. */
static void messages_survive_the_round_trip(void **state)
{
    (void)state;
    for (uint16_t type = 0; type < RECORD_TYPE_END; type++) {
        const struct section *section = message_section(type);
        if (!section)
            continue;
        static _Alignas(8) uint8_t message[MESSAGE_WIRE_MAX], decoded[MESSAGE_WIRE_MAX], wire[MESSAGE_WIRE_MAX];
        assert_true(section->struct_size <= sizeof message);
        assert_true(section_wire_size(section) <= MESSAGE_WIRE_MAX);
        fake_message(type, message);
        uint32_t length = message_encode(type, message, wire);
        assert_int_equal(length % 8, 0);
        assert_int_equal(message_decode(type, decoded, wire, length, why, sizeof why), OK);
        assert_memory_equal(decoded, message, section->struct_size);
        if (type == RECORD_HELLO)
            continue;                       /* its length may differ: see below */
        assert_int_not_equal(message_decode(type, decoded, wire, length + 8, why, sizeof why), OK);
        assert_int_not_equal(message_decode(type, decoded, wire, length - 8, why, sizeof why), OK);
    }
}

/* The fuzzer starts from messages that are accepted. */
static void fuzz_seeds(void **state)
{
    (void)state;
    for (uint16_t type = 0; type < RECORD_TYPE_END; type++) {
        static _Alignas(8) uint8_t message[MESSAGE_WIRE_MAX], record[RECORD_HEADER_SIZE + MESSAGE_WIRE_MAX];
        char name[FAKE_MESSAGE_NAME_MAX], path[64];
        struct record_header h;
        if (!message_section(type))
            continue;
        fake_message_name(type, name);
        snprintf(path, sizeof path, "tests/fuzz/corpus/wire/%s", name);
        FILE *f = fopen(path, "r");
        if (!f)
            fail_msg("no %s: make seeds", path);
        size_t size = fread(record, 1, sizeof record, f);
        fclose(f);
        if (record_header_get(record, 0, &h, why, sizeof why) || h.type != type || size != RECORD_HEADER_SIZE + h.length ||
            message_decode(type, message, record + RECORD_HEADER_SIZE, h.length, why, sizeof why))
            fail_msg("%s: %s (the message has changed: make seeds)", path, why);
    }
}

static enum err hello(uint64_t magic, uint32_t version, uint32_t oldest)
{
    struct msg_hello m = { magic, version, oldest, 1, 1, "pod", 7000, 0 }, out;
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(RECORD_HELLO, &m, wire);
    return message_decode(RECORD_HELLO, &out, wire, length, why, sizeof why);
}

static void versions_are_negotiated(void **state)
{
    (void)state;
    assert_int_equal(hello(WIRE_MAGIC, WIRE_VERSION, WIRE_VERSION), OK);
    assert_int_equal(hello(WIRE_MAGIC, WIRE_VERSION + 5, WIRE_VERSION), OK);       /* newer, but speaks ours */
    assert_int_equal(hello(WIRE_MAGIC, WIRE_VERSION + 5, WIRE_VERSION + 1), ERR_VERSION);
    assert_string_equal(why, "the peer speaks protocol versions 3 to 7, this pod 2 to 2");
    assert_int_equal(hello(WIRE_MAGIC, 1, 1), ERR_VERSION);
    assert_int_equal(hello(WIRE_MAGIC, 0, 0), ERR_VERSION);
    assert_int_equal(hello(WIRE_MAGIC + 1, 1, 1), ERR_PROTOCOL);
}

/* HELLO grows at its end: whatever the other's version, it is understood far enough to say that. */
static void hello_of_any_length_is_read(void **state)
{
    (void)state;
    const struct msg_hello m = { WIRE_MAGIC, WIRE_VERSION, WIRE_VERSION, 5, 6, "pod", 7000, 0 };
    struct msg_hello out;
    uint8_t wire[MESSAGE_WIRE_MAX + 8] = { 0 };
    uint32_t length = message_encode(RECORD_HELLO, &m, wire);
    assert_int_equal(message_decode(RECORD_HELLO, &out, wire, HELLO_WIRE_SIZE_1, why, sizeof why), OK);
    assert_int_equal(out.control_port, 0);
    assert_int_equal(message_decode(RECORD_HELLO, &out, wire, length + 8, why, sizeof why), OK);
    assert_int_equal(out.control_port, 7000);
    assert_int_equal(message_decode(RECORD_HELLO, &out, wire, HELLO_WIRE_SIZE_1 - 8, why, sizeof why), ERR_RANGE);
    assert_int_equal(message_decode(RECORD_HELLO, &out, wire, RECORD_PAYLOAD_MAX, why, sizeof why), ERR_RANGE);
}

static enum err guest(struct msg_guest m)
{
    static struct msg_guest out;
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(RECORD_GUEST, &m, wire);
    return message_decode(RECORD_GUEST, &out, wire, length, why, sizeof why);
}

static void a_guest_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    const struct msg_guest good = { .epoch = 1, .memory_bytes = 2 * MIB, .vcpus = 1, .name = "g" };
    struct msg_guest m = good;
    assert_int_equal(guest(m), OK);
    m.memory_bytes = 3 * MIB;
    assert_int_equal(guest(m), ERR_RANGE);
    m.memory_bytes = UINT64_MAX & ~(2 * MIB - 1);
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, m.vcpus = 0;
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, m.kind_count = KINDS_MAX + 1;
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, m.range_count = UINT32_MAX;
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, memset(m.name, 'x', sizeof m.name);
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, memset(m.cmdline, 'x', sizeof m.cmdline);
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.name[0] = 0;
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.name[0] = '\n';
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.kinds[1][0] = '\x1b';
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.epoch = 0;
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.disk_bytes = 4096;
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, m.devices = GUEST_DEVICES_ALL + 1;
    assert_int_equal(guest(m), ERR_RANGE);
    m = good, m.mac[0] = 1;                     /* a group's address */
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.mac[7] = 1;
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.state = GUEST_ENDED + 1;
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, strcpy(m.reason, "ended");
    assert_int_equal(guest(m), ERR_INVALID);
    m.state = GUEST_ENDED;
    assert_int_equal(guest(m), OK);
    m.reason[0] = '\x1b';
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, memset(m.initrd, 'x', sizeof m.initrd);
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, memset(m.disk, 'x', sizeof m.disk);
    assert_int_equal(guest(m), ERR_INVALID);
    m = good, m.policy.cpuid_count = UINT32_MAX;
    assert_int_not_equal(guest(m), OK);
}

static void every_type_has_a_name(void **state)
{
    (void)state;
    for (uint16_t type = RECORD_HELLO; type < RECORD_TYPE_END; type++)
        if (type != 2)                      /* GUEST of version 1 */
            assert_string_not_equal(record_type_name(type), "unknown");
    assert_string_equal(record_type_name(0), "unknown");
    assert_string_equal(record_type_name(RECORD_TYPE_END), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_survives_the_round_trip),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(the_sequence_must_be_the_next),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(unknown_types_are_refused_if_mandatory),
        cmocka_unit_test(messages_survive_the_round_trip),
        cmocka_unit_test(fuzz_seeds),
        cmocka_unit_test(versions_are_negotiated),
        cmocka_unit_test(hello_of_any_length_is_read),
        cmocka_unit_test(a_guest_that_makes_no_sense_is_refused),
        cmocka_unit_test(every_type_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
