/*
 * The EPT walker against a processor model that sets A and D as the SDM says (29.3.5), with a TLB and
 * paging-structure caches that are as lazy as they may be: what INVEPT did not remove is used without a look
 * at memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "mm/ept.h"

#define ENTRIES 512u
#define LARGE_PAGES 24u
#define FRAMES (LARGE_PAGES * 512u)
#define NO_LIMIT UINT64_MAX

struct pool { uint64_t live, limit; };

static enum err pool_alloc(void *context, struct hpa *out)
{
    struct pool *pool = context;
    if (pool->live >= pool->limit)
        return ERR_NO_MEMORY;
    void *table = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    memset(table, 0, PAGE_SIZE);
    pool->live++;
    out->raw = (uint64_t)table;
    return OK;
}

static void pool_free(void *context, struct hpa table)
{
    struct pool *pool = context;
    pool->live--;
    free((void *)table.raw);
}

static void *pool_to_virt(void *context, struct hpa a)
{
    (void)context;
    return (void *)a.raw;
}

struct machine {
    struct pool pool;
    struct ept ept;
    uint64_t gpa_of[LARGE_PAGES];           /* where each large page is mapped */
    uint64_t *leaf[FRAMES];                 /* TLB: the leaf entry last used, NULL: none */
    bool leaf_dirty[FRAMES];                /* TLB: its D as cached */
    uint64_t *directory[LARGE_PAGES]; /* paging-structure cache: the page table below the directory entry */
    bool expected[FRAMES], reported[FRAMES];
};

static struct machine m;

static uint64_t *next(uint64_t *table, uint64_t gpa, unsigned level)
{
    return &table[gpa >> (12 + 9 * (level - 1)) & (ENTRIES - 1)];
}

/* The guest touches a frame. */
static void touch(unsigned frame, bool write)
{
    unsigned page = frame / 512;
    uint64_t gpa = m.gpa_of[page] + frame % 512 * PAGE_SIZE;
    if (m.leaf[frame] == NULL) {
        uint64_t *table = m.directory[page];
        uint64_t *entry = NULL;
        if (table == NULL) {
            table = (uint64_t *)m.ept.root.raw;
            for (unsigned level = 4; level >= 2; level--) {
                entry = next(table, gpa, level);
                *entry |= EPT_ACCESSED;
                table = (uint64_t *)(*entry & EPT_ADDRESS_MASK);
                if (*entry & EPT_LARGE)
                    break;
            }
        }
        if (entry == NULL || !(*entry & EPT_LARGE)) {
            m.directory[page] = table;
            entry = next(table, gpa, 1);
            *entry |= EPT_ACCESSED;
        }
        m.leaf[frame] = entry;
        m.leaf_dirty[frame] = *entry & EPT_DIRTY;
    }
    if (write && !m.leaf_dirty[frame]) {
        *m.leaf[frame] |= EPT_DIRTY | EPT_ACCESSED;
        m.leaf_dirty[frame] = true;
    }
    if (write)
        m.expected[frame] = true;
}

static void invept(void)
{
    memset(m.leaf, 0, sizeof m.leaf);
    memset(m.directory, 0, sizeof m.directory);
}

static void mark(void *context, struct gfn first, uint64_t count)
{
    (void)context;
    assert_true(count > 0);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t gpa = (first.raw + i) << PAGE_SHIFT;
        unsigned page = 0;
        while (page < LARGE_PAGES && m.gpa_of[page] != ALIGN_DOWN(gpa, LARGE_PAGE_SIZE))
            page++;
        assert_true(page < LARGE_PAGES);
        unsigned frame = page * 512 + (unsigned)(gpa >> PAGE_SHIFT & 511);
        assert_false(m.reported[frame]);
        m.reported[frame] = true;
    }
}

/* Harvests, and compares exactly (4 KiB tracking) or by 2 MiB pages. */
static void harvest_and_compare(bool split)
{
    memset(m.reported, 0, sizeof m.reported);
    ept_harvest(&m.ept, mark, NULL);
    invept();
    for (unsigned page = 0; page < LARGE_PAGES; page++) {
        bool any = false;
        for (unsigned i = 0; i < 512; i++)
            any |= m.expected[page * 512 + i];
        for (unsigned i = 0; i < 512; i++)
            assert_int_equal(m.reported[page * 512 + i], split ? m.expected[page * 512 + i] : any);
    }
    memset(m.expected, 0, sizeof m.expected);
}

static void touch_some(unsigned writes, unsigned reads)
{
    for (unsigned i = 0; i < writes; i++)
        touch((unsigned)random() % FRAMES, true);
    for (unsigned i = 0; i < reads; i++)
        touch((unsigned)random() % FRAMES, false);
}

/* Eight pages each: at 0, around 1 GiB, at the top of the second 512 GiB. */
static int machine_create(void **state)
{
    (void)state;
    static const uint64_t bases[] = { 0, GIB - 4 * LARGE_PAGE_SIZE, 1024 * GIB - 8 * LARGE_PAGE_SIZE };
    memset(&m, 0, sizeof m);
    m.pool.limit = NO_LIMIT;
    struct ept_memory memory = { pool_alloc, pool_free, pool_to_virt, &m.pool };
    assert_int_equal(ept_init(&m.ept, &memory), OK);
    for (unsigned i = 0; i < LARGE_PAGES; i++) {
        m.gpa_of[i] = bases[i / 8] + i % 8 * LARGE_PAGE_SIZE;
        assert_int_equal(ept_map_large(&m.ept, (struct gpa){ m.gpa_of[i] },
                                       (struct hpa){ (100 + 3 * i) * LARGE_PAGE_SIZE }),
                         OK);
    }
    srandom(7);
    return 0;
}

static int machine_destroy(void **state)
{
    (void)state;
    ept_destroy(&m.ept);
    assert_int_equal(m.ept.table_count, 0);
    assert_int_equal(m.pool.live, 0);
    return 0;
}

static void check_translations(void)
{
    struct hpa a;
    for (unsigned i = 0; i < LARGE_PAGES; i++)
        for (uint64_t offset = 0; offset < LARGE_PAGE_SIZE; offset += 4096 * 37 + 5) {
            assert_true(ept_translate(&m.ept, (struct gpa){ m.gpa_of[i] + offset }, &a));
            assert_int_equal(a.raw, (100 + 3 * i) * LARGE_PAGE_SIZE + offset);
        }
    assert_false(ept_translate(&m.ept, (struct gpa){ 8 * LARGE_PAGE_SIZE }, &a));
    assert_false(ept_translate(&m.ept, (struct gpa){ 3 * GIB }, &a));
    assert_false(ept_translate(&m.ept, (struct gpa){ 600 * GIB }, &a));
    assert_false(ept_translate(&m.ept, (struct gpa){ BIT(48) }, &a));
    assert_false(ept_translate(&m.ept, (struct gpa){ UINT64_MAX }, &a));
}

static void test_maps_and_translates(void **state)
{
    (void)state;
    struct hpa somewhere = { LARGE_PAGE_SIZE };
    check_translations();
    assert_int_equal(ept_map_large(&m.ept, (struct gpa){ 0 }, somewhere), ERR_EXISTS);
    assert_int_equal(ept_map_large(&m.ept, (struct gpa){ 4096 }, somewhere), ERR_INVALID);
    assert_int_equal(ept_map_large(&m.ept, (struct gpa){ BIT(48) }, somewhere), ERR_INVALID);
    assert_int_equal(ept_map_large(&m.ept, (struct gpa){ 3 * GIB }, (struct hpa){ 4096 }), ERR_INVALID);
    assert_int_equal(ept_pointer(&m.ept), m.ept.root.raw | 6 | 3 << 3 | 1 << 6);
    uint64_t tables = m.ept.table_count;
    assert_int_equal(ept_split(&m.ept), OK);
    assert_int_equal(m.ept.split_count, LARGE_PAGES);
    assert_int_equal(m.ept.table_count, tables + LARGE_PAGES);
    assert_int_equal(m.pool.live, m.ept.table_count);
    check_translations();
    assert_int_equal(ept_map_large(&m.ept, (struct gpa){ 0 }, somewhere), ERR_EXISTS);
    assert_int_equal(ept_split(&m.ept), OK);        /* nothing left to split */
    assert_int_equal(m.ept.split_count, LARGE_PAGES);
    ept_merge(&m.ept);
    ept_merge(&m.ept);
    assert_int_equal(m.ept.split_count, 0);
    assert_int_equal(m.ept.table_count, tables);
    check_translations();
}

static void test_harvests_what_was_written(void **state)
{
    (void)state;
    static const unsigned amounts[] = { 0, 1, 100, 5000, 0, 3, 40000 };
    touch_some(10, 10);
    harvest_and_compare(false);
    assert_int_equal(ept_split(&m.ept), OK);
    invept();
    for (unsigned round = 0; round < 40; round++) {
        touch_some(amounts[round % ARRAY_SIZE(amounts)], (unsigned)random() % 2000);
        harvest_and_compare(true);
    }
}

static void test_split_and_merge_lose_no_write(void **state)
{
    (void)state;
    touch(5 * 512 + 77, true);
    touch(6 * 512, false);
    assert_int_equal(ept_split(&m.ept), OK);
    invept();
    for (unsigned i = 0; i < 512; i++)      /* the large page was dirty: each of its frames may be */
        m.expected[5 * 512 + i] = true;
    touch(9 * 512 + 1, true);
    harvest_and_compare(true);

    touch(5 * 512 + 78, true);
    touch(23 * 512 + 511, true);
    ept_merge(&m.ept);
    invept();
    touch(1, false);
    harvest_and_compare(false);
    harvest_and_compare(false);
}

static void test_split_survives_lack_of_memory(void **state)
{
    (void)state;
    touch_some(3, 0);
    m.pool.limit = m.pool.live + 11;
    assert_int_equal(ept_split(&m.ept), ERR_NO_MEMORY);
    invept();
    assert_int_equal(m.ept.split_count, 11);
    check_translations();
    ept_merge(&m.ept);
    invept();
    assert_int_equal(m.ept.split_count, 0);
    check_translations();
    harvest_and_compare(false);
    m.pool.limit = NO_LIMIT;
}

/* Whatever tracking does: the page stays where it is, and nobody takes it for RAM. */
static void test_the_apic_page_is_left_alone(void **state)
{
    (void)state;
    const struct gpa apic = { 0xfee00000 };
    const struct hpa frame = { 0x1234000 };
    struct hpa a;
    uint64_t tables = m.ept.table_count;
    assert_int_equal(ept_map_apic_page(&m.ept, (struct gpa){ 5 }, frame), ERR_INVALID);
    assert_int_equal(ept_map_apic_page(&m.ept, apic, (struct hpa){ 5 }), ERR_INVALID);
    assert_int_equal(ept_map_apic_page(&m.ept, (struct gpa){ 0 }, frame), ERR_EXISTS);
    assert_int_equal(ept_map_apic_page(&m.ept, apic, frame), OK);
    assert_true(m.ept.table_count - tables <= EPT_APIC_TABLES);
    assert_int_equal(ept_map_apic_page(&m.ept, apic, frame), ERR_EXISTS);
    tables = m.ept.table_count;
    for (unsigned round = 0; round < 4; round++) {
        uint64_t *table = (uint64_t *)m.ept.root.raw, *entry = NULL;
        for (unsigned level = 4; level > 0; level--, table = (uint64_t *)(*entry & EPT_ADDRESS_MASK)) {
            entry = next(table, apic.raw, level);
            *entry |= EPT_ACCESSED;
        }
        *entry |= EPT_DIRTY;
        touch_some(5, 5);
        harvest_and_compare(round % 2 == 1);    /* mark() knows no frame there */
        assert_true(ept_translate(&m.ept, (struct gpa){ apic.raw + 0x80 }, &a));
        assert_int_equal(a.raw, frame.raw + 0x80);
        assert_false(ept_translate(&m.ept, (struct gpa){ apic.raw + PAGE_SIZE }, &a));
        if (round % 2 == 0)
            assert_int_equal(ept_split(&m.ept), OK);
        else
            ept_merge(&m.ept);
        invept();
    }
    assert_int_equal(m.ept.table_count, tables);
    assert_int_equal(m.ept.split_count, 0);
}

static void test_a_missing_invept_loses_writes(void **state)
{
    (void)state;
    /* The model is sharp enough to show it: without INVEPT the cached D = 1 hides the second write. */
    assert_int_equal(ept_split(&m.ept), OK);
    invept();
    touch(42, true);
    ept_harvest(&m.ept, mark, NULL);
    assert_true(m.reported[42]);
    touch(42, true);
    memset(m.reported, 0, sizeof m.reported);
    ept_harvest(&m.ept, mark, NULL);
    assert_false(m.reported[42]);
}

static void test_table_bound(void **state)
{
    (void)state;
    assert_int_equal(ept_tables_needed(LARGE_PAGE_SIZE), 4);
    assert_int_equal(ept_tables_needed(64 * MIB), 1 + 1 + 1 + 32);
    assert_int_equal(ept_tables_needed(2 * GIB), 1 + 1 + 2 + 1024);
}

static void test_lack_of_memory_for_the_first_tables(void **state)
{
    (void)state;
    struct pool pool = { 0, 0 };
    struct ept ept;
    struct ept_memory memory = { pool_alloc, pool_free, pool_to_virt, &pool };
    assert_int_equal(ept_init(&ept, &memory), ERR_NO_MEMORY);
    ept_destroy(&ept);
    for (pool.limit = 1; pool.limit < 3; pool.limit++) {
        assert_int_equal(ept_init(&ept, &memory), OK);
        assert_int_equal(ept_map_large(&ept, (struct gpa){ 0 }, (struct hpa){ 0 }), ERR_NO_MEMORY);
        ept_destroy(&ept);
        assert_int_equal(pool.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_maps_and_translates, machine_create, machine_destroy),
        cmocka_unit_test_setup_teardown(test_harvests_what_was_written, machine_create, machine_destroy),
        cmocka_unit_test_setup_teardown(test_split_and_merge_lose_no_write, machine_create, machine_destroy),
        cmocka_unit_test_setup_teardown(test_split_survives_lack_of_memory, machine_create, machine_destroy),
        cmocka_unit_test_setup_teardown(test_the_apic_page_is_left_alone, machine_create, machine_destroy),
        cmocka_unit_test_setup_teardown(test_a_missing_invept_loses_writes, machine_create, machine_destroy),
        cmocka_unit_test(test_table_bound),
        cmocka_unit_test(test_lack_of_memory_for_the_first_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
