/* tools/lab/cable/records.c: a record is named in the frame it begins in, once, and no frame makes it read beyond its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tools/lab/cable/records.h"

enum { LISTENER = 7000, OTHER = 40000, SYN = 2, ACK = 16, HEADERS = 14 + 20 + 20, STREAM = 4096, FRAME_MAX = 1514 };

#define BIT(type) (UINT64_C(1) << (type))

static struct records records;
static uint32_t start;          /* the SYN's sequence number */
static uint8_t stream[STREAM];
static uint32_t stream_size;

static int setup(void **state)
{
    (void)state;
    records_init(&records, LISTENER, LISTENER + 3);
    memset(stream, 0xEE, sizeof(stream));
    stream_size = 0;
    start = 1000;
    return 0;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t tcp(uint8_t *frame, uint16_t from, uint16_t to, uint32_t sequence, uint8_t flags, const uint8_t *payload,
                    uint32_t size)
{
    uint8_t *ip = frame + 14, *head = ip + 20;

    memset(frame, 0, HEADERS);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, 40 + size);
    ip[9] = 6;
    ip[15] = 1;
    ip[19] = 2;
    put16(head, from);
    put16(head + 2, to);
    put16(head + 4, sequence >> 16);
    put16(head + 6, sequence & 0xffff);
    head[12] = 5 << 4;
    head[13] = flags;
    if (size)
        memcpy(frame + HEADERS, payload, size);
    return HEADERS + size;
}

/* Every frame is looked at in a piece of memory of its very size: the sanitizer sees a byte too many. */
static uint64_t show(const uint8_t *frame, size_t length)
{
    uint8_t *exact = malloc(length ? length : 1);
    uint64_t found;

    assert_non_null(exact);
    memcpy(exact, frame, length);
    found = records_in(&records, exact, length);
    free(exact);
    return found;
}

static void open_flow(uint16_t from, uint16_t to)
{
    uint8_t frame[FRAME_MAX];

    assert_true(show(frame, tcp(frame, from, to, start, SYN, NULL, 0)) == 0);
}

static uint64_t part_of(uint16_t from, uint16_t to, uint32_t at, uint32_t end)
{
    uint8_t frame[FRAME_MAX];

    return show(frame, tcp(frame, from, to, start + 1 + at, ACK, stream + at, end - at));
}

static uint64_t part(uint32_t at, uint32_t end)
{
    return part_of(OTHER, LISTENER, at, end);
}

/* Returns where it begins. */
static uint32_t record(unsigned type, uint32_t length)
{
    uint8_t *at = stream + stream_size;

    memset(at, 0, 16);
    at[0] = (uint8_t)type;
    at[1] = (uint8_t)(type >> 8);
    for (int i = 0; i < 4; i++)
        at[4 + i] = (uint8_t)(length >> 8 * i);
    if (length < STREAM)
        stream_size += 16 + length;
    return (uint32_t)(at - stream);
}

static void a_record_is_named_where_it_begins(void **state)
{
    uint32_t second;

    (void)state;
    record(3, 1000);
    second = record(7, 0);
    open_flow(OTHER, LISTENER);
    assert_true(part(0, 400) == BIT(3));
    assert_true(part(400, second) == 0);
    assert_true(part(second, stream_size) == BIT(7));
}

static void two_in_one_frame(void **state)
{
    uint32_t last;

    (void)state;
    record(1, 20);
    record(63, 0);
    last = record(2, 300);
    open_flow(OTHER, LISTENER);
    assert_true(part(0, last + 100) == (BIT(1) | BIT(63) | BIT(2)));
    assert_true(part(last + 100, stream_size) == 0);
}

static void a_type_that_has_no_bit_is_passed_over(void **state)
{
    (void)state;
    record(64, 10);
    record(0x0102, 10);
    record(5, 0);
    open_flow(OTHER, LISTENER);
    assert_true(part(0, stream_size) == BIT(5));
}

/* The type is known with its second byte, in whichever frame that is; and the next record is found however this one is split. */
static void a_split_header(void **state)
{
    (void)state;
    record(4, 10);
    record(9, 5);
    for (uint32_t cut = 1; cut < 16; cut++) {
        records_init(&records, LISTENER, LISTENER);
        open_flow(OTHER, LISTENER);
        assert_true(part(0, cut) == (cut < 2 ? 0 : BIT(4)));
        assert_true(part(cut, stream_size) == (BIT(9) | (cut < 2 ? BIT(4) : 0)));
    }
    records_init(&records, LISTENER, LISTENER);
    open_flow(OTHER, LISTENER);
    for (uint32_t at = 0; at < stream_size; at++)   /* byte by byte */
        assert_true(part(at, at + 1) == (at == 1 ? BIT(4) : at == 27 ? BIT(9) : 0));
}

static void what_is_sent_again_is_not_named_again(void **state)
{
    uint32_t second;

    (void)state;
    record(4, 100);
    second = record(6, 100);
    open_flow(OTHER, LISTENER);
    assert_true(part(0, 60) == BIT(4));
    assert_true(part(0, 60) == 0);
    assert_true(part(30, second + 1) == 0);                 /* half of it new, and half of a type */
    assert_true(part(second, second + 1) == 0);
    assert_true(part(0, stream_size) == BIT(6));            /* all of it, and the rest */
    assert_true(part(0, stream_size) == 0);
}

static void sequence_numbers_wrap(void **state)
{
    uint32_t second, third;

    (void)state;
    record(1, 30);
    second = record(2, 30);
    third = record(3, 30);
    for (uint32_t before = 0; before < 100; before++) {
        start = UINT32_MAX - before;
        records_init(&records, LISTENER, LISTENER);
        open_flow(OTHER, LISTENER);
        assert_true(part(0, second + 1) == BIT(1));
        assert_true(part(0, second + 1) == 0);
        assert_true(part(second + 1, third + 2) == (BIT(2) | BIT(3)));
    }
}

static void only_its_ports_are_followed(void **state)
{
    (void)state;
    record(1, 0);
    open_flow(OTHER, LISTENER - 1);
    assert_true(part_of(OTHER, LISTENER - 1, 0, 16) == 0);
    open_flow(OTHER, LISTENER + 4);
    assert_true(part_of(OTHER, LISTENER + 4, 0, 16) == 0);
    open_flow(OTHER, LISTENER + 3);
    assert_true(part_of(OTHER, LISTENER + 3, 0, 16) == BIT(1));
    open_flow(LISTENER, OTHER);                             /* the other direction has records of its own */
    assert_true(part_of(LISTENER, OTHER, 0, 16) == BIT(1));
    assert_true(part_of(OTHER, LISTENER + 1, 0, 16) == 0);  /* nobody saw its SYN */
}

static void a_new_connection_of_the_same_ports(void **state)
{
    (void)state;
    record(1, 100);
    open_flow(OTHER, LISTENER);
    assert_true(part(0, 1) == 0);
    start = 77777;
    open_flow(OTHER, LISTENER);
    assert_true(part(0, 16) == BIT(1));
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    record(1, 0);
    record(2, 0);
    for (unsigned i = 0; i < RECORDS_FLOWS; i++)
        open_flow((uint16_t)(OTHER + i), LISTENER);
    assert_true(part_of(OTHER, LISTENER, 0, 16) == BIT(1));
    open_flow(OTHER + RECORDS_FLOWS, LISTENER);
    assert_true(part_of(OTHER, LISTENER, 16, 32) == BIT(2));
    assert_true(part_of(OTHER + 1, LISTENER, 0, 16) == 0);
    assert_true(part_of(OTHER + 2, LISTENER, 0, 16) == BIT(1));
    assert_true(part_of(OTHER + RECORDS_FLOWS, LISTENER, 0, 16) == BIT(1));
}

static size_t tagged(uint8_t *out, const uint8_t *frame, size_t length)
{
    memcpy(out, frame, 12);
    put16(out + 12, 0x8100);
    put16(out + 14, 5);
    memcpy(out + 16, frame + 12, length - 12);
    return length + 4;
}

static void a_vlan_tag_and_options_and_padding(void **state)
{
    uint8_t frame[FRAME_MAX], out[FRAME_MAX];
    uint32_t length;

    (void)state;
    record(8, 0);
    length = tcp(frame, OTHER, LISTENER, start, SYN, NULL, 0);
    assert_true(show(out, tagged(out, frame, length)) == 0);
    length = tcp(frame, OTHER, LISTENER, start + 1, ACK, stream, 16);
    assert_true(show(out, tagged(out, frame, length)) == BIT(8));

    memset(stream, 0, 12);                  /* twelve bytes of TCP options, then a record */
    stream_size = 12;
    record(9, 0);
    length = tcp(frame, OTHER, LISTENER, start + 17, ACK, stream, 28);
    frame[34 + 12] = 8 << 4;
    assert_true(show(frame, length) == BIT(9));

    length = tcp(frame, OTHER, LISTENER, start + 33, ACK, NULL, 0);
    memset(frame + length, 1, 6);           /* to the least length of a frame: not the stream's */
    assert_true(show(frame, length + 6) == 0);
    length = tcp(frame, OTHER, LISTENER, start + 33, ACK, stream + 12, 16);
    assert_true(show(frame, length) == BIT(9));
}

/* A length that leads back, or nowhere, ends what can be said of the stream; a new connection is followed again. */
static void a_nonsensical_length(void **state)
{
    static const uint32_t lengths[] = {UINT32_MAX, UINT32_MAX - 15, UINT32_MAX - 16, UINT32_MAX - 31, 0x80000000, 0x7fffffff};

    (void)state;
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        setup(NULL);
        record(1, 16);
        record(2, lengths[i]);
        open_flow(OTHER, LISTENER);
        assert_true(part(0, 100) == (BIT(1) | BIT(2)));
        assert_true(part(100, 200) == 0);
        open_flow(OTHER, LISTENER);
        assert_true(part(0, 32) == BIT(1));
    }
}

static void the_truncated_and_the_nonsensical(void **state)
{
    uint8_t frame[FRAME_MAX], out[FRAME_MAX];
    uint32_t length;
    uint64_t random = 1;

    (void)state;
    record(1, 0);
    open_flow(OTHER, LISTENER);
    length = tcp(frame, OTHER, LISTENER, start + 1, ACK, stream, 16);
    for (size_t part_length = 0; part_length < length; part_length++) {
        assert_true(show(frame, part_length) == 0);
        if (part_length >= 12)
            assert_true(show(out, tagged(out, frame, part_length)) == 0);
    }
    for (unsigned at = 12; at < HEADERS; at++) {            /* each byte of its headers, as it may be */
        for (unsigned value = 0; value < 256; value++) {
            memcpy(out, frame, length);
            out[at] = (uint8_t)value;
            records_init(&records, LISTENER, LISTENER);
            open_flow(OTHER, LISTENER);
            show(out, length);
        }
    }
    for (unsigned round = 0; round < 100000; round++) {     /* and several at once, the record's too */
        memcpy(out, frame, length);
        for (unsigned i = 0; i < 4; i++) {
            random = random * 6364136223846793005 + 1442695040888963407;
            out[(random >> 33) % length] = (uint8_t)(random >> 56);
        }
        show(out, (random >> 20) % (length + 1));
        show(out, length);
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        T(a_record_is_named_where_it_begins), T(two_in_one_frame), T(a_type_that_has_no_bit_is_passed_over), T(a_split_header),
        T(what_is_sent_again_is_not_named_again), T(sequence_numbers_wrap), T(only_its_ports_are_followed),
        T(a_new_connection_of_the_same_ports), T(the_oldest_makes_room), T(a_vlan_tag_and_options_and_padding),
        T(a_nonsensical_length), T(the_truncated_and_the_nonsensical),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
