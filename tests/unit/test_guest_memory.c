/*
 * Guest memory on the host: 2 MiB pages and tables come from a fake page allocator that counts and can run
 * dry. The module is included, not linked, because here the direct map begins at 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#define PAGE_DIRECT_MAP 0
#include "mm/guest_memory.c"

#define SIZE (6 * MIB)
#define SIZE_FRAMES (SIZE / PAGE_SIZE)

static uint64_t frames_left, frames_at_start;
static uint64_t allocations_until_failure;      /* UINT64_MAX: none fails */
static char last_error[256];

enum err page_alloc_zeroed(unsigned order, struct hpa *out)
{
    uint64_t frames = BIT(order);
    if (frames > frames_left || allocations_until_failure-- == 0)
        return ERR_NO_MEMORY;
    frames_left -= frames;
    void *block = aligned_alloc(frames * PAGE_SIZE, frames * PAGE_SIZE);
    out->raw = (uint64_t)memset(block, 0, frames * PAGE_SIZE);
    return OK;
}

void page_free(struct hpa base, unsigned order)
{
    frames_left += BIT(order);
    free((void *)base.raw);
}

static uint64_t yields;
void thread_yield(void) { yields++; }

uint64_t page_free_count(void) { return frames_left; }
uint64_t page_free_large_count(void) { return frames_left / PAGES_PER_LARGE_PAGE; }

void log_error(const char *room, const char *format, ...)
{
    va_list arguments;
    (void)room;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
}

static struct guest_memory memory;
static uint64_t dirty_words[SIZE_FRAMES / 64];
static struct bitmap dirty = { dirty_words, SIZE_FRAMES };

static int setup(void **state)
{
    (void)state;
    frames_left = frames_at_start = 64 * MIB / PAGE_SIZE;
    allocations_until_failure = UINT64_MAX;
    memset(dirty_words, 0, sizeof dirty_words);
    assert_int_equal(guest_memory_create(&memory, SIZE), OK);
    assert_true(yields >= SIZE / LARGE_PAGE_SIZE); /* nobody waits until all is zero */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_memory_destroy(&memory);
    assert_int_equal(frames_left, frames_at_start);
    return 0;
}

/* The guest's CPU writes: D in the leaf, A above. */
static void cpu_write(uint64_t gpa)
{
    uint64_t *table = (uint64_t *)memory.ept.root.raw;
    for (unsigned level = 4;; level--) {
        uint64_t *entry = &table[gpa >> (12 + 9 * (level - 1)) & 511];
        *entry |= EPT_ACCESSED;
        if (level == 1 || (*entry & EPT_LARGE)) {
            *entry |= EPT_DIRTY;
            return;
        }
        table = (uint64_t *)(*entry & EPT_ADDRESS_MASK);
    }
}

static void test_reads_and_writes_within_bounds(void **state)
{
    (void)state;
    uint8_t in[300], out[300];
    for (unsigned i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7 + 1);
    const uint64_t places[] = { 0, PAGE_SIZE - 1, 2 * MIB - 150, 4 * MIB - 1, SIZE - sizeof in };
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        assert_int_equal(guest_memory_write(&memory, (struct gpa){ places[i] }, in, sizeof in), OK);
        assert_int_equal(guest_memory_read(&memory, (struct gpa){ places[i] }, out, sizeof out), OK);
        assert_memory_equal(in, out, sizeof in);
    }
    const uint8_t *last = guest_memory_frame(&memory, (struct gfn){ SIZE_FRAMES - 1 });
    assert_memory_equal(last + PAGE_SIZE - sizeof in, in, sizeof in);
    const uint64_t outside[] = { SIZE - sizeof in + 1, SIZE, SIZE + 1, UINT64_MAX,
                                 UINT64_MAX - sizeof in + 1 };
    for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
        assert_int_equal(guest_memory_write(&memory, (struct gpa){ outside[i] }, in, sizeof in), ERR_RANGE);
        assert_int_equal(guest_memory_read(&memory, (struct gpa){ outside[i] }, out, sizeof out), ERR_RANGE);
    }
    assert_int_equal(guest_memory_read(&memory, (struct gpa){ 0 }, out, SIZE_MAX), ERR_RANGE);
    assert_int_equal(guest_memory_write(&memory, (struct gpa){ SIZE }, in, 0), OK);
}

static void test_fills_frames(void **state)
{
    (void)state;
    uint8_t page[PAGE_SIZE];
    memset(page, 0x5a, sizeof page);
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ 600 }, page), OK);
    assert_memory_equal(guest_memory_frame(&memory, (struct gfn){ 600 }), page, PAGE_SIZE);
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ 600 }, NULL), OK);
    memset(page, 0, sizeof page);
    assert_memory_equal(guest_memory_frame(&memory, (struct gfn){ 600 }), page, PAGE_SIZE);
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ SIZE_FRAMES }, page), ERR_RANGE);
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ UINT64_MAX }, page), ERR_RANGE);
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 0);
}

static void test_tracks_both_kinds_of_writers(void **state)
{
    (void)state;
    uint8_t byte = 1;
    cpu_write(5 * MIB);
    assert_int_equal(guest_memory_write(&memory, (struct gpa){ 0x5000 }, &byte, 1), OK);
    assert_int_equal(guest_memory_track_start(&memory), OK);
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 0);         /* start forgets */

    cpu_write(3 * MIB + 0x7123);
    assert_int_equal(guest_memory_write(&memory, (struct gpa){ PAGE_SIZE * 9 - 1 }, "ab", 2), OK);
    bitmap_set(&dirty, 77);                             /* what is in there stays */
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 4);
    assert_true(bitmap_test(&dirty, 77));
    assert_true(bitmap_test(&dirty, 8));
    assert_true(bitmap_test(&dirty, 9));
    assert_true(bitmap_test(&dirty, 3 * 256 + 7));
    bitmap_clear_all(&dirty);
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 0);
    guest_memory_track_stop(&memory);
    assert_int_equal(memory.ept.split_count, 0);

    assert_int_equal(guest_memory_write(&memory, (struct gpa){ 0 }, &byte, 1), OK);
    cpu_write(2 * MIB);
    guest_memory_harvest(&memory, &dirty);              /* without tracking: whole large pages */
    assert_int_equal(bitmap_count(&dirty), 513);
}

static void test_refuses_sizes_and_says_what_is_missing(void **state)
{
    (void)state;
    struct guest_memory other;
    assert_int_equal(guest_memory_create(&other, 0), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, MIB), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, GUEST_MEMORY_MAX + LARGE_PAGE_SIZE), ERR_INVALID);
    uint64_t before = frames_left;
    assert_int_equal(guest_memory_create(&other, 512 * MIB), ERR_NO_MEMORY);
    assert_int_equal(frames_left, before);
    assert_non_null(strstr(last_error, "512 MiB wanted, "));
    assert_non_null(strstr(last_error, " MiB missing"));
    assert_int_equal(guest_memory_missing_mib(2 * MIB), 0);
    frames_left = 511;
    assert_int_equal(guest_memory_missing_mib(2 * MIB), 2);
    frames_left = 512;                                  /* the page itself, and no tables */
    assert_int_equal(guest_memory_missing_mib(2 * MIB), 1);
    frames_left = 516;
    assert_int_equal(guest_memory_missing_mib(2 * MIB), 0);
    frames_left = before;
}

static void test_a_failure_half_way_frees_all(void **state)
{
    (void)state;
    uint64_t before = frames_left;
    for (uint64_t n = 0;; n++) {
        struct guest_memory other;
        allocations_until_failure = n;
        enum err e = guest_memory_create(&other, SIZE);
        allocations_until_failure = UINT64_MAX;
        if (e == OK) {
            assert_int_equal(n, 6);                     /* 3 pages, 3 tables */
            guest_memory_destroy(&other);
            break;
        }
        assert_int_equal(e, ERR_NO_MEMORY);
        assert_int_equal(frames_left, before);
    }
    assert_int_equal(frames_left, before);
    for (uint64_t n = 0; n < 3; n++) {
        allocations_until_failure = n;
        before = frames_left;
        assert_int_equal(guest_memory_track_start(&memory), ERR_NO_MEMORY);
        assert_int_equal(frames_left, before);
        assert_false(memory.tracking);
    }
    allocations_until_failure = UINT64_MAX;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_and_writes_within_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fills_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tracks_both_kinds_of_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_sizes_and_says_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_half_way_frees_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
