/* net/frame_queue.c: order, bounds, and what stale frames do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "net/frame_queue.h"

static struct frame_slot slots[FRAME_QUEUE_SLOTS];

static bool put(struct frame_queue *queue, uint32_t value)
{
    return frame_queue_put(queue, &value, sizeof(value));
}

/* The value of the first frame, which is let go; -1: none. */
static int64_t take(struct frame_queue *queue, uint64_t *stale)
{
    const struct frame_slot *slot = frame_queue_first(queue, stale);
    uint32_t value;

    if (!slot)
        return -1;
    assert_int_equal(slot->size, sizeof(value));
    memcpy(&value, slot->bytes, sizeof(value));
    frame_queue_drop_first(queue);
    return value;
}

static void first_in_first_out(void **state)
{
    struct frame_queue queue = { .slots = slots, .first = UINT32_MAX - 50, .end = UINT32_MAX - 50,
                                 .stale_before = UINT32_MAX - 50 };
    uint64_t stale = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(put(&queue, i));
        assert_true(put(&queue, i + 5000));
        assert_int_equal(take(&queue, &stale), i);
        assert_int_equal(take(&queue, &stale), i + 5000);
    }
    assert_true(frame_queue_is_empty(&queue));
    assert_int_equal(take(&queue, &stale), -1);
    assert_int_equal(stale, 0);
}

static void never_more_than_its_slots(void **state)
{
    struct frame_queue queue = { .slots = slots };
    static uint8_t longest[SWITCH_FRAME_MAX];
    uint64_t stale = 0;

    (void)state;
    for (uint32_t i = 0; i < FRAME_QUEUE_SLOTS; i++)
        assert_true(put(&queue, i));
    assert_false(put(&queue, 0));
    assert_int_equal(take(&queue, &stale), 0);
    assert_true(frame_queue_put(&queue, longest, sizeof(longest)));
    assert_false(frame_queue_put(&queue, longest, sizeof(longest)));
    for (uint32_t i = 1; i < FRAME_QUEUE_SLOTS; i++)
        assert_int_equal(take(&queue, &stale), i);
    assert_int_equal(frame_queue_first(&queue, &stale)->size, SWITCH_FRAME_MAX);
}

static void stale_frames_are_passed_over(void **state)
{
    struct frame_queue queue = { .slots = slots, .first = UINT32_MAX - 2, .end = UINT32_MAX - 2,
                                 .stale_before = UINT32_MAX - 2 };
    uint64_t stale = 0;

    (void)state;
    put(&queue, 1);
    assert_non_null(frame_queue_first(&queue, &stale));     /* being looked at while the port stops */
    put(&queue, 2);
    put(&queue, 3);
    frame_queue_make_stale(&queue);
    put(&queue, 4);
    assert_int_equal(queue.end - queue.first, 4);
    frame_queue_drop_first(&queue);
    assert_int_equal(take(&queue, &stale), 4);
    assert_int_equal(stale, 2);
    assert_int_equal(take(&queue, &stale), -1);
}

/* Long after, the counts have wrapped half way round: nothing seems stale. */
static void old_marks_do_not_come_back(void **state)
{
    struct frame_queue queue = { .slots = slots };
    uint64_t stale = 0;

    (void)state;
    put(&queue, 1);
    frame_queue_make_stale(&queue);
    assert_int_equal(take(&queue, &stale), -1);
    for (uint32_t i = 0; i < 10; i++) {
        queue.first += 0x20000000;
        queue.end += 0x20000000;
        put(&queue, i);
        assert_int_equal(take(&queue, &stale), i);
    }
    assert_int_equal(stale, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(never_more_than_its_slots),
        cmocka_unit_test(stale_frames_are_passed_over),
        cmocka_unit_test(old_marks_do_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
