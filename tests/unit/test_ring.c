/* net/nic/ring.h: the arithmetic of descriptor rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "net/nic/ring.h"

static void neighbours_wrap(void **state)
{
    (void)state;
    assert_int_equal(ring_next(0), 1);
    assert_int_equal(ring_next(RING_SIZE - 1), 0);
    assert_int_equal(ring_previous(0), RING_SIZE - 1);
    for (uint32_t i = 0; i < RING_SIZE; i++)
        assert_int_equal(ring_previous(ring_next(i)), i);
}

static void used_and_room_add_up(void **state)
{
    (void)state;
    for (uint32_t head = 0; head < RING_SIZE; head++) {
        assert_int_equal(ring_used(head, head), 0);
        assert_int_equal(ring_room(head, head), RING_SIZE - 1);
        assert_int_equal(ring_room(head, ring_previous(head)), 0); /* full, and told from empty */
        for (uint32_t tail = 0; tail < RING_SIZE; tail++)
            assert_int_equal(ring_used(head, tail) + ring_room(head, tail), RING_SIZE - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_wrap),
        cmocka_unit_test(used_and_room_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
