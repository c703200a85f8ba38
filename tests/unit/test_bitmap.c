/* The bitmap against a plain array of bytes, with sizes around the word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/bitmap.h"

#define BITS_MAX 300

struct pair {
    struct bitmap bitmap;
    uint64_t words[(BITS_MAX + 63) / 64];
    uint8_t model[BITS_MAX];
};

static void pair_init(struct pair *p, uint64_t bits)
{
    memset(p, 0, sizeof(*p));
    p->bitmap = (struct bitmap){ p->words, bits };
}

static void check(const struct pair *p)
{
    uint64_t count = 0, next = BITMAP_NONE;

    for (uint64_t i = p->bitmap.bit_count; i-- > 0;) {
        count += p->model[i];
        if (p->model[i])
            next = i;
        assert_int_equal(bitmap_test(&p->bitmap, i), p->model[i]);
        assert_true(bitmap_next(&p->bitmap, i) == next);
    }
    assert_int_equal(bitmap_count(&p->bitmap), count);
    assert_true(bitmap_next(&p->bitmap, p->bitmap.bit_count) == BITMAP_NONE);
    assert_true(bitmap_next(&p->bitmap, UINT64_MAX) == BITMAP_NONE);
    for (uint64_t i = p->bitmap.bit_count; i < 64 * bitmap_word_count(p->bitmap.bit_count); i++)
        assert_false(bitmap_test(&p->bitmap, i));
}

static const uint64_t sizes[] = { 1, 63, 64, 65, 127, 128, 129, 300 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void set_and_clear(void **state)
{
    struct pair p;

    (void)state;
    for (unsigned s = 0; s < SIZES; s++) {
        pair_init(&p, sizes[s]);
        check(&p);
        for (unsigned step = 0; step < 200; step++) {
            uint64_t i = step * 7919 % sizes[s];
            p.model[i] = step % 3 != 0;
            step % 3 ? bitmap_set(&p.bitmap, i) : bitmap_clear(&p.bitmap, i);
        }
        check(&p);
    }
}

static void ranges(void **state)
{
    struct pair p;

    (void)state;
    for (unsigned s = 0; s < SIZES; s++) {
        for (uint64_t first = 0; first < sizes[s]; first += 5) {
            for (uint64_t count = 0; first + count <= sizes[s]; count += 1 + count / 4) {
                pair_init(&p, sizes[s]);
                bitmap_set_range(&p.bitmap, first, count);
                memset(p.model + first, 1, count);
                check(&p);
            }
        }
    }
}

static void ranges_are_clipped(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, 100);
    bitmap_set_range(&p.bitmap, 90, UINT64_MAX);
    memset(p.model + 90, 1, 10);
    check(&p);
    bitmap_set_range(&p.bitmap, 100, 1);
    bitmap_set_range(&p.bitmap, UINT64_MAX, UINT64_MAX);
    check(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_clear),
        cmocka_unit_test(ranges),
        cmocka_unit_test(ranges_are_clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
