/*
 * The buddy allocator against a plain owner-per-frame model: random allocations and frees, wrong frees, full
 * merges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "mm/buddy.h"

#define FRAMES 5000u
#define NOT_MANAGED (-2)
#define FREE (-1)

struct fixture {
    struct buddy buddy;
    void *metadata;
    int owner[FRAMES];      /* NOT_MANAGED, FREE or the number of the block */
};

static void create(struct fixture *f)
{
    f->metadata = malloc(buddy_metadata_size(FRAMES));
    memset(f->metadata, 0xa5, buddy_metadata_size(FRAMES));
    buddy_init(&f->buddy, FRAMES, f->metadata);
    for (unsigned i = 0; i < FRAMES; i++)
        f->owner[i] = NOT_MANAGED;
}

static void add(struct fixture *f, unsigned first, unsigned count)
{
    assert_true(buddy_add(&f->buddy, first, count));
    for (unsigned i = 0; i < count; i++)
        f->owner[first + i] = FREE;
}

static void take(struct fixture *f, uint64_t first, unsigned order, int owner)
{
    assert_int_equal(first % BIT(order), 0);
    for (uint64_t i = first; i < first + BIT(order); i++) {
        assert_int_equal(f->owner[i], FREE);
        f->owner[i] = owner;
    }
}

static void give(struct fixture *f, uint64_t first, unsigned order)
{
    assert_true(buddy_free(&f->buddy, first, order));
    for (uint64_t i = first; i < first + BIT(order); i++)
        f->owner[i] = FREE;
}

/*
 * Walks all free lists: each free frame of the model is in exactly one block, no two free buddies are left
 * apart.
 */
static void check(const struct fixture *f)
{
    static uint8_t seen[FRAMES];
    const struct buddy *b = &f->buddy;
    uint64_t free_frames = 0, managed = 0;
    memset(seen, 0, sizeof seen);
    for (unsigned order = 0; order < BUDDY_ORDERS; order++) {
        uint64_t blocks = 0;
        for (uint32_t i = b->heads[order]; i != UINT32_MAX; i = b->links[i].next, blocks++) {
            assert_int_equal(i % BIT(order), 0);
            if (order < BUDDY_ORDER_MAX && (i ^ BIT(order)) < FRAMES)
                assert_int_not_equal(b->state[i ^ BIT(order)], b->state[i]);
            for (uint64_t k = i; k < i + BIT(order); k++) {
                assert_int_equal(f->owner[k], FREE);
                assert_int_equal(seen[k]++, 0);
            }
            free_frames += BIT(order);
        }
        assert_int_equal(blocks, b->free_blocks[order]);
    }
    uint64_t model_free = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        model_free += f->owner[i] == FREE;
        managed += f->owner[i] != NOT_MANAGED;
    }
    assert_int_equal(free_frames, model_free);
    assert_int_equal(b->free_count, model_free);
    assert_int_equal(b->total_count, managed);
}

static void test_adds_in_pieces_and_merges(void **state)
{
    (void)state;
    static struct fixture f;
    create(&f);
    add(&f, 3, 700);
    add(&f, 1024, 100);
    add(&f, 1124, 412);         /* completes a 512-block with the one before */
    check(&f);
    assert_int_equal(f.buddy.free_blocks[BUDDY_ORDER_MAX], 1);
    add(&f, FRAMES - 1, 1);     /* its buddy is outside the metadata */
    add(&f, 0, 3);
    check(&f);
    assert_int_equal(f.buddy.free_blocks[BUDDY_ORDER_MAX], 2);
    assert_false(buddy_add(&f.buddy, FRAMES - 1, 1));
    assert_false(buddy_add(&f.buddy, FRAMES, 1));
    assert_false(buddy_add(&f.buddy, 1, UINT64_MAX));
    assert_false(buddy_add(&f.buddy, UINT64_MAX, 2));
    check(&f);
    free(f.metadata);
}

static void test_hands_out_low_addresses_first(void **state)
{
    (void)state;
    static struct fixture f;
    uint64_t first;
    create(&f);
    add(&f, 1024, 2048);
    assert_true(buddy_alloc(&f.buddy, 0, &first));
    assert_int_equal(first, 1024);
    assert_true(buddy_alloc(&f.buddy, 0, &first));
    assert_int_equal(first, 1025);
    assert_true(buddy_alloc(&f.buddy, BUDDY_ORDER_MAX, &first));
    assert_int_equal(first, 1536);
    free(f.metadata);
}

static void test_finds_wrong_frees(void **state)
{
    (void)state;
    static struct fixture f;
    uint64_t first;
    create(&f);
    add(&f, 0, 512);
    unsigned order;
    assert_true(buddy_alloc(&f.buddy, 3, &first));
    take(&f, first, 3, 1);
    assert_true(buddy_order(&f.buddy, first, &order));
    assert_int_equal(order, 3);
    assert_false(buddy_order(&f.buddy, first + 1, &order));
    assert_false(buddy_order(&f.buddy, first + 8, &order));
    assert_false(buddy_order(&f.buddy, UINT64_MAX, &order));
    assert_false(buddy_free(&f.buddy, first, 2));
    assert_false(buddy_free(&f.buddy, first + 1, 0));
    assert_false(buddy_free(&f.buddy, first + 8, 3));       /* free already */
    assert_false(buddy_free(&f.buddy, 4000, 0));            /* never managed */
    assert_false(buddy_free(&f.buddy, UINT64_MAX, 0));
    assert_false(buddy_free(&f.buddy, first, BUDDY_ORDERS));
    check(&f);
    give(&f, first, 3);
    assert_false(buddy_free(&f.buddy, first, 3));
    check(&f);
    assert_int_equal(f.buddy.free_blocks[BUDDY_ORDER_MAX], 1);
    free(f.metadata);
}

static void test_random_use_matches_the_model(void **state)
{
    (void)state;
    enum { BLOCKS = 400, STEPS = 20000 };
    static struct fixture f;
    static struct { uint64_t first; int order; } blocks[BLOCKS];
    create(&f);
    add(&f, 7, 1500);
    add(&f, 2048, 2900);
    uint64_t all = f.buddy.free_count, full = f.buddy.free_blocks[BUDDY_ORDER_MAX];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i].order = -1;
    srandom(1);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(random() % BLOCKS);
        if (blocks[i].order >= 0) {
            give(&f, blocks[i].first, (unsigned)blocks[i].order);
            blocks[i].order = -1;
        } else {
            unsigned order = (unsigned)(random() % 100 < 90 ? random() % 5 : random() % BUDDY_ORDERS);
            if (buddy_alloc(&f.buddy, order, &blocks[i].first)) {
                blocks[i].order = (int)order;
                take(&f, blocks[i].first, order, i);
            } else {
                for (unsigned o = order; o < BUDDY_ORDERS; o++)
                    assert_int_equal(f.buddy.free_blocks[o], 0);
            }
        }
        if (step % 50 == 0)
            check(&f);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].order >= 0)
            give(&f, blocks[i].first, (unsigned)blocks[i].order);
    check(&f);
    assert_int_equal(f.buddy.free_count, all);
    assert_int_equal(f.buddy.free_blocks[BUDDY_ORDER_MAX], full);
    free(f.metadata);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds_in_pieces_and_merges),
        cmocka_unit_test(test_hands_out_low_addresses_first),
        cmocka_unit_test(test_finds_wrong_frees),
        cmocka_unit_test(test_random_use_matches_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
