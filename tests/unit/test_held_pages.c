/* What counts as unchanged, and that nothing else does: a frame left out by mistake would be a lost write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "net/teleport/held_pages.h"

#define FRAMES (4 * HELD_PAGES_MAX)

static struct held_pages held;
static uint8_t page[PAGE_SIZE];

static int setup(void **state)
{
    (void)state;
    memset(&held, 0, sizeof held);
    held.copies = malloc(HELD_PAGES_ROOM);
    memset(page, 7, sizeof page);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(held.copies);
    return 0;
}

static void only_what_was_kept_is_unchanged(void **state)
{
    (void)state;
    assert_false(held_pages_unchanged(&held, 5, page));
    const void *copy = held_pages_keep(&held, 5, page);
    assert_ptr_not_equal(copy, page);
    assert_memory_equal(copy, page, PAGE_SIZE);
    assert_true(held_pages_unchanged(&held, 5, page));
    assert_false(held_pages_unchanged(&held, 6, page));
    held_pages_forget(&held, 6);
    assert_true(held_pages_unchanged(&held, 5, page));
    held_pages_forget(&held, 5);
    assert_false(held_pages_unchanged(&held, 5, page));
}

static void each_byte_counts(void **state)
{
    (void)state;
    held_pages_keep(&held, 0, page);
    for (unsigned at = 0; at < PAGE_SIZE; at++) {
        page[at] ^= 0x80;
        assert_false(held_pages_unchanged(&held, 0, page));
        page[at] ^= 0x80;
    }
    assert_true(held_pages_unchanged(&held, 0, page));
}

/* Of two sendings the later one is what the target holds. */
static void the_last_one_sent_counts(void **state)
{
    (void)state;
    held_pages_keep(&held, 9, page);
    page[100] = 1;
    held_pages_keep(&held, 9, page);
    assert_true(held_pages_unchanged(&held, 9, page));
    page[100] = 7;
    assert_false(held_pages_unchanged(&held, 9, page));
}

/* More frames than room: what is still known is true, and a good part is still known. */
static void too_many_frames(void **state)
{
    (void)state;
    unsigned known = 0;
    for (uint64_t frame = 0; frame < FRAMES; frame++) {
        memcpy(page, &frame, sizeof frame);
        held_pages_keep(&held, frame, page);
        assert_true(held_pages_unchanged(&held, frame, page));
    }
    for (uint64_t frame = 0; frame < FRAMES; frame++) {
        memcpy(page, &frame, sizeof frame);
        known += held_pages_unchanged(&held, frame, page);
        page[PAGE_SIZE - 1] ^= 1;
        assert_false(held_pages_unchanged(&held, frame, page));
        page[PAGE_SIZE - 1] ^= 1;
    }
    assert_in_range(known, HELD_PAGES_MAX / 2, HELD_PAGES_MAX);
}

static void without_room_nothing_is_known(void **state)
{
    (void)state;
    struct held_pages none = { 0 };
    assert_ptr_equal(held_pages_keep(&none, 5, page), page);
    assert_false(held_pages_unchanged(&none, 5, page));
    held_pages_forget(&none, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_was_kept_is_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(each_byte_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_one_sent_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(without_room_nothing_is_known, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
