/* net/port/ack_merge.c: what may be merged and, above all, what may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "net/port/ack_merge.h"

/* 10.0.2.2:80 acknowledges 0x01020304 to 10.0.2.15:5000. */
static const uint8_t bare[ACK_FRAME_MAX] = {
    0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x52, 0x55, 0x0a, 0x00, 0x02, 0x02, 0x08, 0x00,
    0x45, 0x00, 0x00, 0x28, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x00, 0x00, 10, 0, 2, 2, 10, 0, 2, 15,
    0x00, 80, 0x13, 0x88, 0x00, 0x00, 0x10, 0x00, 0x01, 0x02, 0x03, 0x04, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
};
#define ACKNOWLEDGMENT 42

static void set_ack(uint8_t *frame, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        frame[ACKNOWLEDGMENT + i] = (uint8_t)(value >> (24 - 8 * i));
}

static void knows_a_bare_one(void **state)
{
    /* Every one of these bytes decides: type, version and IHL, total length, fragment, protocol, data offset,
       flags. */
    static const unsigned decisive[] = { 12, 13, 14, 16, 17, 20, 21, 23, 46, 47 };
    uint8_t frame[ACK_FRAME_MAX];

    (void)state;
    assert_true(ack_is_bare(bare, ACK_FRAME_MIN));
    assert_true(ack_is_bare(bare, 60));
    assert_false(ack_is_bare(bare, ACK_FRAME_MIN - 1));
    assert_false(ack_is_bare(bare, ACK_FRAME_MAX + 1));
    for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++) {
        memcpy(frame, bare, sizeof(frame));
        /* In byte 20: more fragments; don't fragment (0x40) would be allowed. */
        frame[decisive[i]] ^= decisive[i] == 20 ? 0x20 : 0x01;
        assert_false(ack_is_bare(frame, ACK_FRAME_MIN));
    }
    memcpy(frame, bare, sizeof(frame));
    frame[20] = 0;
    assert_true(ack_is_bare(frame, ACK_FRAME_MIN));
}

static void reads_no_byte_past_the_frame(void **state)
{
    (void)state;
    for (uint32_t length = 0; length <= ACK_FRAME_MAX; length++) {
        uint8_t *exact = malloc(length ? length : 1);

        memcpy(exact, bare, length);
        assert_int_equal(ack_is_bare(exact, length), length >= ACK_FRAME_MIN);
        free(exact);
    }
}

static void later_ones_supersede(void **state)
{
    struct ack_merge held = { .merged = 0 };
    uint8_t next[ACK_FRAME_MAX];

    (void)state;
    memcpy(next, bare, sizeof(next));
    assert_false(ack_supersedes(&held, next));  /* nothing is held */
    ack_hold(&held, bare, 1);
    assert_false(ack_supersedes(&held, next));  /* a duplicate */
    set_ack(next, 0x01020303);
    assert_false(ack_supersedes(&held, next));  /* older: reordered */
    set_ack(next, 0x01020305);
    assert_true(ack_supersedes(&held, next));
    next[48] = 0;                               /* another window: the newer one is the true one */
    assert_true(ack_supersedes(&held, next));
}

static void acknowledgment_numbers_wrap(void **state)
{
    struct ack_merge held;
    uint8_t next[ACK_FRAME_MAX];

    (void)state;
    memcpy(next, bare, sizeof(next));
    set_ack(next, 0xfffffff0);
    ack_hold(&held, next, 1);
    set_ack(next, 0x10);
    assert_true(ack_supersedes(&held, next));
    ack_hold(&held, next, 1);
    set_ack(next, 0xfffffff0);
    assert_false(ack_supersedes(&held, next));
}

static void only_of_the_same_connection(void **state)
{
    struct ack_merge held;
    uint8_t next[ACK_FRAME_MAX];

    (void)state;
    ack_hold(&held, bare, 1);
    for (unsigned i = 26; i < ACKNOWLEDGMENT; i++) { /* addresses, ports, sequence number */
        memcpy(next, bare, sizeof(next));
        set_ack(next, 0x01020305);
        assert_true(ack_supersedes(&held, next));
        next[i] ^= 1;
        assert_false(ack_supersedes(&held, next));
    }
}

static void merging_has_a_bound(void **state)
{
    struct ack_merge held;
    uint8_t next[ACK_FRAME_MAX];
    uint32_t merged = 1;

    (void)state;
    memcpy(next, bare, sizeof(next));
    ack_hold(&held, bare, merged);
    for (;; merged++) {
        set_ack(next, 0x01020304 + merged);
        if (!ack_supersedes(&held, next))
            break;
        ack_hold(&held, next, held.merged + 1);
    }
    assert_int_equal(merged, ACK_MERGE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_bare_one),
        cmocka_unit_test(reads_no_byte_past_the_frame),
        cmocka_unit_test(later_ones_supersede),
        cmocka_unit_test(acknowledgment_numbers_wrap),
        cmocka_unit_test(only_of_the_same_connection),
        cmocka_unit_test(merging_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
