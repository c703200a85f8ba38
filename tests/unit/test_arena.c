/* net/port/arena.c: classes, exhaustion and the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "net/port/arena.h"

static struct arena arena;
static void *memory;

static int setup(void **state)
{
    (void)state;
    memory = aligned_alloc(4096, ALIGN_UP(arena_size(), PAGE_SIZE));
    arena_init(&arena, memory);
    return memory ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static void fits_the_page_run(void **state)
{
    (void)state;
    assert_true(arena_size() <= LARGE_PAGE_SIZE);
}

static void smallest_class_that_fits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARENA_CLASSES; i++) {
        void *exact = arena_alloc(&arena, arena.pools[i].object_size);

        assert_non_null(exact);
        assert_int_equal((uintptr_t)exact % 64, 0);
        assert_int_equal(arena.pools[i].in_use, 1);
        memset(exact, 0xa5, arena.pools[i].object_size);
        arena_free(&arena, exact);
        assert_int_equal(arena.pools[i].in_use, 0);
    }
    assert_null(arena_alloc(&arena, arena.pools[ARENA_CLASSES - 1].object_size + 1));
    assert_int_equal(arena.failures, 1);
}

static uint32_t pool_count(const struct arena_pool *pool)
{
    return (uint32_t)(pool->end - pool->base) / pool->object_size;
}

/* A class that is used up does not eat the next, and nothing is lost by coming to its end. */
static void exhaustion_stays_in_its_class(void **state)
{
    uint32_t count = pool_count(&arena.pools[ARENA_SMALL_FRAME]), size = arena.pools[ARENA_SMALL_FRAME].object_size;
    void **objects = calloc(count, sizeof(*objects));

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < count; i++) {
            objects[i] = arena_alloc(&arena, size);
            assert_non_null(objects[i]);
            memset(objects[i], (int)i, size);
        }
        assert_null(arena_alloc(&arena, size));
        assert_int_equal(arena_in_use(&arena), count);
        assert_non_null(arena.pools[ARENA_HEADERS].free);
        assert_non_null(arena.pools[ARENA_MESSAGE].free);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(((uint8_t *)objects[i])[size - 1], (uint8_t)i);
            arena_free(&arena, objects[(i * 7) % count]);
        }
        assert_int_equal(arena_in_use(&arena), 0);
    }
    free(objects);
}

static void knows_its_own(void **state)
{
    (void)state;
    assert_true(arena_contains(&arena, memory));
    assert_true(arena_contains(&arena, (uint8_t *)memory + arena_size() - 1));
    assert_false(arena_contains(&arena, (uint8_t *)memory + arena_size()));
    assert_false(arena_contains(&arena, (uint8_t *)memory - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fits_the_page_run, setup, teardown),
        cmocka_unit_test_setup_teardown(smallest_class_that_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(exhaustion_stays_in_its_class, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_its_own, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
