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
#include <sys/mman.h>
#include <cmocka.h>
#define PAGE_DIRECT_MAP 0
#include "mm/guest_memory.c"

#define SIZE (6 * MIB)
#define SIZE_FRAMES (SIZE / PAGE_SIZE)
#define DISK (4 * MIB)
#define ALL_FRAMES ((SIZE + DISK) / PAGE_SIZE)

static uint64_t frames_left, frames_at_start;
static uint64_t allocations_until_failure;      /* UINT64_MAX: none fails */
static char last_error[256];
static uint8_t *arena;                          /* large pages come from here, untouched, when it is set */
static uint64_t arena_taken;

enum err page_alloc_zeroed(unsigned order, struct hpa *out)
{
    uint64_t frames = BIT(order);
    if (frames > frames_left || allocations_until_failure-- == 0)
        return ERR_NO_MEMORY;
    frames_left -= frames;
    if (arena && order == PAGE_ORDER_MAX) {
        out->raw = (uint64_t)arena + LARGE_PAGE_SIZE * arena_taken++;
        return OK;
    }
    void *block = aligned_alloc(frames * PAGE_SIZE, frames * PAGE_SIZE);
    out->raw = (uint64_t)memset(block, 0, frames * PAGE_SIZE);
    return OK;
}

void page_free(struct hpa base, unsigned order)
{
    frames_left += BIT(order);
    if (arena && order == PAGE_ORDER_MAX)
        return;
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
static uint64_t dirty_words[ALL_FRAMES / 64];
static struct bitmap dirty = { dirty_words, ALL_FRAMES };

static int setup(void **state)
{
    (void)state;
    frames_left = frames_at_start = 64 * MIB / PAGE_SIZE;
    allocations_until_failure = UINT64_MAX;
    memset(dirty_words, 0, sizeof dirty_words);
    assert_int_equal(guest_memory_create(&memory, SIZE, DISK), OK);
    assert_true(yields >= (SIZE + DISK) / LARGE_PAGE_SIZE); /* nobody waits until all is zero */
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
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ ALL_FRAMES }, page), ERR_RANGE);
    assert_int_equal(guest_memory_fill_frame(&memory, (struct gfn){ UINT64_MAX }, page), ERR_RANGE);
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 0);
}

/* Rings' indices: one access, even addresses, inside RAM; a store counts as a write. And pointers for reading. */
static void test_words_and_pointers(void **state)
{
    (void)state;
    const uint64_t wrong[] = { SIZE, SIZE - 1, 0x1001, UINT64_MAX, UINT64_MAX - 1 };
    uint16_t value = 0;
    assert_int_equal(guest_memory_store16(&memory, (struct gpa){ SIZE - 2 }, 0xabcd), OK);
    assert_int_equal(guest_memory_load16(&memory, (struct gpa){ SIZE - 2 }, &value), OK);
    assert_int_equal(value, 0xabcd);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(guest_memory_store16(&memory, (struct gpa){ wrong[i] }, 1), ERR_RANGE);
        assert_int_equal(guest_memory_load16(&memory, (struct gpa){ wrong[i] }, &value), ERR_RANGE);
    }
    assert_false(guest_memory_exchange(&memory, (struct gpa){ SIZE - 4 }, 1, 2, 4));
    assert_false(guest_memory_exchange(&memory, (struct gpa){ SIZE }, 0, 2, 8));
    assert_false(guest_memory_exchange(&memory, (struct gpa){ SIZE - 12 }, 0, 2, 8));
    assert_true(guest_memory_exchange(&memory, (struct gpa){ SIZE - 4 }, 0xabcd0000, 0x12345678, 4));
    assert_true(guest_memory_exchange(&memory, (struct gpa){ SIZE - 8 }, 0x1234567800000000, 7, 8));
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 1);
    assert_true(bitmap_test(&dirty, SIZE_FRAMES - 1));

    assert_ptr_equal(guest_memory_at(&memory, (struct gpa){ 0x3000 }, 8), guest_memory_frame(&memory, (struct gfn){ 3 }));
    assert_null(guest_memory_at(&memory, (struct gpa){ LARGE_PAGE_SIZE - 4 }, 8));   /* across two pieces */
    assert_null(guest_memory_at(&memory, (struct gpa){ SIZE - 4 }, 8));
    assert_null(guest_memory_at(&memory, (struct gpa){ UINT64_MAX - 4 }, 8));
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
    memset(dirty.words, 0, bitmap_word_count(dirty.bit_count) * sizeof(dirty.words[0]));
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
    assert_int_equal(guest_memory_create(&other, 0, 0), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, MIB, 0), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, SIZE, MIB), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, SIZE, GUEST_DISK_MAX + LARGE_PAGE_SIZE), ERR_INVALID);
    assert_int_equal(guest_memory_create(&other, GUEST_MEMORY_MAX + LARGE_PAGE_SIZE, 0), ERR_INVALID);
    uint64_t before = frames_left;
    assert_int_equal(guest_memory_create(&other, 512 * MIB, 0), ERR_NO_MEMORY);
    assert_int_equal(frames_left, before);
    assert_non_null(strstr(last_error, "512 MiB wanted, "));
    assert_non_null(strstr(last_error, " MiB missing"));
    assert_int_equal(guest_memory_missing_mib(2 * MIB, 0), 0);
    frames_left = 511;
    assert_int_equal(guest_memory_missing_mib(2 * MIB, 0), 2);
    frames_left = 512;                                  /* the page itself, and no tables */
    assert_int_equal(guest_memory_missing_mib(2 * MIB, 0), 1);
    frames_left = 512 + 4 + EPT_APIC_TABLES;
    assert_int_equal(guest_memory_missing_mib(2 * MIB, 0), 0);
    assert_int_equal(guest_memory_missing_mib(2 * MIB, 6 * MIB), 6);   /* the disk counts */
    assert_int_equal(guest_memory_create(&other, 2 * MIB, 6 * MIB), ERR_NO_MEMORY);
    assert_non_null(strstr(last_error, "8 MiB wanted, 2 MiB free, 6 MiB missing"));
    frames_left = before;
}

static void test_a_failure_half_way_frees_all(void **state)
{
    (void)state;
    uint64_t before = frames_left;
    for (uint64_t n = 0;; n++) {
        struct guest_memory other;
        allocations_until_failure = n;
        enum err e = guest_memory_create(&other, SIZE, DISK);
        allocations_until_failure = UINT64_MAX;
        if (e == OK) {
            assert_int_equal(n, 8);                     /* 5 pages, 3 tables */
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

static void test_the_disk_lies_behind_the_ram(void **state)
{
    (void)state;
    uint8_t in[5000], out[5000];
    memset(in, 0xd1, sizeof in);
    assert_int_equal(guest_memory_frames(&memory), ALL_FRAMES);
    assert_int_equal(guest_memory_ram_frames(&memory), SIZE_FRAMES);
    const uint64_t places[] = { 0, 2 * MIB - 100, DISK - sizeof in };
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        assert_int_equal(guest_memory_disk_write(&memory, places[i], in, sizeof in), OK);
        assert_int_equal(guest_memory_disk_read(&memory, places[i], out, sizeof out), OK);
        assert_memory_equal(in, out, sizeof in);
    }
    const uint64_t outside[] = { DISK - sizeof in + 1, DISK, UINT64_MAX, UINT64_MAX - sizeof in + 1 };
    for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
        assert_int_equal(guest_memory_disk_write(&memory, outside[i], in, sizeof in), ERR_RANGE);
        assert_int_equal(guest_memory_disk_read(&memory, outside[i], out, sizeof out), ERR_RANGE);
    }
    const uint8_t *first = guest_memory_frame(&memory, (struct gfn){ SIZE_FRAMES });
    assert_int_equal(first[0], 0xd1);
    assert_int_equal(guest_memory_read(&memory, (struct gpa){ SIZE }, out, 1), ERR_RANGE);  /* no way around the device */
    struct hpa a;
    assert_false(ept_translate(&memory.ept, (struct gpa){ SIZE }, &a));

    assert_int_equal(guest_memory_track_start(&memory), OK);
    assert_int_equal(guest_memory_disk_write(&memory, PAGE_SIZE * 3 - 1, in, 2), OK);
    guest_memory_harvest(&memory, &dirty);
    assert_int_equal(bitmap_count(&dirty), 2);
    assert_true(bitmap_test(&dirty, SIZE_FRAMES + 2));
    assert_true(bitmap_test(&dirty, SIZE_FRAMES + 3));
    guest_memory_track_stop(&memory);
}

/* 3 GiB and 6 MiB: the last three large pages are the guest's from 4 GiB on. */
static void test_ram_beyond_3_gib_begins_at_4_gib(void **state)
{
    (void)state;
    enum { LOW_FRAMES = 3 * GIB / PAGE_SIZE };
    const uint64_t size = 3 * GIB + SIZE, frames = (size + DISK) / PAGE_SIZE;
    struct guest_memory big;
    uint8_t byte = 7, out = 0;
    size_t mapped = size + DISK + LARGE_PAGE_SIZE;
    void *space = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(space, MAP_FAILED);
    arena = (uint8_t *)ALIGN_UP((uint64_t)space, LARGE_PAGE_SIZE);
    arena_taken = 0;
    frames_left = 5 * GIB / PAGE_SIZE;
    assert_int_equal(guest_memory_create(&big, size, DISK), OK);
    assert_int_equal(guest_memory_frames(&big), frames);

    const uint64_t no_ram[] = { 3 * GIB, 4 * GIB - 1, 3 * GIB - 1, 4 * GIB + SIZE - 1, 4 * GIB + SIZE };
    for (unsigned i = 0; i < ARRAY_SIZE(no_ram); i++)
        assert_int_equal(guest_memory_write(&big, (struct gpa){ no_ram[i] }, "xy", 2), ERR_RANGE);
    assert_true(guest_memory_contains(&big, (struct gpa){ 3 * GIB - 1 }, 1));
    assert_false(guest_memory_contains(&big, (struct gpa){ 0 }, 3 * GIB + 1));
    assert_true(guest_memory_contains(&big, (struct gpa){ 4 * GIB }, SIZE));
    struct hpa a;
    assert_false(ept_translate(&big.ept, (struct gpa){ 3 * GIB }, &a));
    assert_true(ept_translate(&big.ept, (struct gpa){ 4 * GIB + 5 }, &a));
    assert_int_equal(a.raw, (uint64_t)guest_memory_frame(&big, (struct gfn){ LOW_FRAMES }) + 5);

    uint64_t *words = calloc(bitmap_word_count(frames), sizeof *words);
    struct bitmap found = { words, frames };
    assert_int_equal(guest_memory_track_start(&big), OK);
    uint64_t *table = (uint64_t *)big.ept.root.raw;
    for (unsigned level = 4; level > 0; level--) {      /* the processor writes to 4 GiB + 4 MiB + 0x3000 */
        uint64_t *entry = &table[(4 * GIB + 4 * MIB + 0x3000) >> (12 + 9 * (level - 1)) & 511];
        *entry |= level == 1 ? EPT_ACCESSED | EPT_DIRTY : EPT_ACCESSED;
        table = (uint64_t *)(*entry & EPT_ADDRESS_MASK);
    }
    assert_int_equal(guest_memory_write(&big, (struct gpa){ 4 * GIB + 0x1000 }, &byte, 1), OK);
    assert_int_equal(guest_memory_read(&big, (struct gpa){ 4 * GIB + 0x1000 }, &out, 1), OK);
    assert_int_equal(out, 7);
    assert_int_equal(guest_memory_disk_write(&big, 0, &byte, 1), OK);
    guest_memory_harvest(&big, &found);
    assert_int_equal(bitmap_count(&found), 3);
    assert_true(bitmap_test(&found, LOW_FRAMES + 1));
    assert_true(bitmap_test(&found, LOW_FRAMES + 1024 + 3));
    assert_true(bitmap_test(&found, size / PAGE_SIZE));
    free(words);
    guest_memory_destroy(&big);
    arena = NULL;
    munmap(space, mapped);
    frames_left = frames_at_start - (SIZE + DISK) / PAGE_SIZE - memory.ept.table_count;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_and_writes_within_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fills_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_and_pointers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tracks_both_kinds_of_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_sizes_and_says_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_disk_lies_behind_the_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ram_beyond_3_gib_begins_at_4_gib, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_half_way_frees_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
