/* The software walk of a guest's paging: each mode, each right, accessed and dirty flags, and tables that point nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "tests/fakes/ram.h"
#include "vmx/guest_walk.h"

static const struct walk_memory memory = { ram_read, ram_update, NULL };
static uint64_t gpa;
static uint32_t error_code;

static void put64(uint64_t at, uint64_t value) { memcpy(ram + at, &value, 8); }
static void put32(uint64_t at, uint32_t value) { memcpy(ram + at, &value, 4); }
static uint64_t get64(uint64_t at) { uint64_t v; memcpy(&v, ram + at, 8); return v; }

static enum walk_result walk(const struct walk_state *s, uint64_t linear, enum walk_access access)
{
    gpa = 0;
    error_code = 0;
    return guest_walk(s, &memory, linear, access, &gpa, &error_code);
}

static const struct walk_state long_mode = { .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = CR4_PAE,
                                             .efer = IA32_EFER_LMA | IA32_EFER_LME };
#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u

/* 0x1000 -> 0x2000 -> 0x3000 -> 0x4000: linear 0x5000 maps to 0x9000, linear 0x200000 to 0x40200000 by a large page. */
static void build_long_mode(uint64_t leaf_bits)
{
    memset(ram, 0, sizeof ram);
    put64(0x1000, 0x2000 | P | W | U);
    put64(0x2000, 0x3000 | P | W | U);
    put64(0x3000, 0x4000 | P | W | U);
    put64(0x3008, 0x40200000 | P | W | PS);
    put64(0x2008, 0x80000000 | P | PS);
    put64(0x4000 + 5 * 8, 0x9000 | leaf_bits);
}

static void four_levels(void **state)
{
    (void)state;
    build_long_mode(P | W | U);
    assert_int_equal(walk(&long_mode, 0x5123, WALK_READ), WALK_OK);
    assert_int_equal(gpa, 0x9123);
    assert_int_equal(get64(0x4028), 0x9000 | P | W | U | A);
    assert_int_equal(get64(0x1000), 0x2000 | P | W | U | A);
    assert_int_equal(walk(&long_mode, 0x5123, WALK_WRITE), WALK_OK);
    assert_int_equal(get64(0x4028), 0x9000 | P | W | U | A | D);
    assert_int_equal(walk(&long_mode, 0x212345, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x40212345);
    assert_int_equal(walk(&long_mode, 0x40000123, WALK_READ), WALK_OK); /* 1 GiB page */
    assert_int_equal(gpa, 0x80000123);
    assert_int_equal(walk(&long_mode, 0x6000, WALK_WRITE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 2);
}

#define NX (1ULL << 63)

/* Fetches: execute-disable anywhere on the way, SMEP, and the error code's I/D bit where one of the two is on. */
static void fetches(void **state)
{
    (void)state;
    struct walk_state nxe = long_mode, smep = long_mode, user = long_mode;
    nxe.efer |= IA32_EFER_NXE;
    smep.cr4 |= CR4_SMEP;
    user.user = true;
    build_long_mode(P | W | U);
    assert_int_equal(walk(&long_mode, 0x5123, WALK_EXECUTE), WALK_OK);
    assert_int_equal(gpa, 0x9123);
    assert_int_equal(get64(0x4028), 0x9000 | P | W | U | A);
    assert_int_equal(walk(&user, 0x5000, WALK_EXECUTE), WALK_OK);
    assert_int_equal(walk(&smep, 0x5000, WALK_EXECUTE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 0x11);
    smep.user = true;
    assert_int_equal(walk(&smep, 0x5000, WALK_EXECUTE), WALK_OK);
    assert_int_equal(walk(&smep, 0x6000, WALK_EXECUTE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 0x14);
    put64(0x2000, 0x3000 | P | W | U | NX);
    assert_int_equal(walk(&long_mode, 0x5000, WALK_EXECUTE), WALK_OK); /* without NXE the bit means nothing here */
    assert_int_equal(walk(&nxe, 0x5000, WALK_EXECUTE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 0x11);
    assert_int_equal(walk(&nxe, 0x5000, WALK_READ), WALK_OK);
    assert_int_equal(walk(&nxe, 0x5000, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x9000);
    build_long_mode(P);
    assert_int_equal(walk(&user, 0x5000, WALK_EXECUTE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 5);
    assert_int_equal(walk(&long_mode, 0x5000, WALK_EXECUTE), WALK_OK);
}

/* SDM Vol. 3A, 4.6.1 "Determination of Access Rights" */
static void rights(void **state)
{
    (void)state;
    struct walk_state user = long_mode, no_wp = long_mode, smap = long_mode;
    user.user = true;
    no_wp.cr0 &= ~CR0_WP;
    smap.cr4 |= CR4_SMAP;
    build_long_mode(P);
    assert_int_equal(walk(&long_mode, 0x5000, WALK_WRITE), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 3);
    assert_int_equal(get64(0x4028), 0x9000 | P); /* a fault sets no flag in the leaf */
    assert_int_equal(walk(&long_mode, 0x5000, WALK_READ), WALK_OK);
    assert_int_equal(walk(&no_wp, 0x5000, WALK_WRITE), WALK_OK);
    assert_int_equal(walk(&user, 0x5000, WALK_READ), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 5);
    build_long_mode(P | W | U);
    assert_int_equal(walk(&user, 0x5000, WALK_WRITE), WALK_OK);
    assert_int_equal(walk(&smap, 0x5000, WALK_READ), WALK_PAGE_FAULT);
    smap.rflags = 1 << 18;
    assert_int_equal(walk(&smap, 0x5000, WALK_READ), WALK_OK);
}

static void legacy_modes(void **state)
{
    (void)state;
    struct walk_state s = { .cr0 = CR0_PE | CR0_PG, .cr3 = 0x1000 };
    memset(ram, 0, sizeof ram);
    put32(0x1000, 0x2000 | P | W);
    put32(0x1004, 0x00400000 | P | W | PS);
    put32(0x2000 + 4 * 4, 0x7000 | P | W);
    put32(0x400000 % RAM_SIZE, 0);
    assert_int_equal(walk(&s, 0x4321, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x7321);
    s.cr4 = CR4_PSE;
    assert_int_equal(walk(&s, 0x412345, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x412345);
    struct walk_state pae = { .cr0 = CR0_PE | CR0_PG, .cr3 = 0x5000, .cr4 = CR4_PAE, .pdpte = { 0, 0x3000 | P } };
    put64(0x3000, 0x4000 | P | W);
    put64(0x4000 + 8, 0x8000 | P | W);
    assert_int_equal(walk(&pae, 0x40001abc, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x8abc);
    assert_int_equal(walk(&pae, 0x1abc, WALK_WRITE), WALK_PAGE_FAULT);
    struct walk_state off = { .cr0 = CR0_PE };
    assert_int_equal(walk(&off, 0x12345678, WALK_WRITE), WALK_OK);
    assert_int_equal(gpa, 0x12345678);
}

static void tables_outside_memory(void **state)
{
    (void)state;
    struct walk_state s = long_mode;
    s.cr3 = 0x000ffffffffff000;
    assert_int_equal(walk(&s, 0, WALK_READ), WALK_NO_RAM);
    build_long_mode(P);
    put64(0x3000, 0x000ffffffffff000 | P);
    assert_int_equal(walk(&long_mode, 0x5000, WALK_READ), WALK_NO_RAM);
}

/* Another vCPU changes the leaf just before its flags are set: the walk goes by the new one, and its other bits stay. */
static unsigned changes;
static uint64_t changed_to;
static bool update_too_late(void *context, uint64_t where, uint64_t old, uint64_t new, size_t size)
{
    if (where == 0x4028 && changes > 0) {
        changes--;
        changed_to ^= A; /* so that each is a change */
        put64(where, changed_to & ~(uint64_t)A);
    }
    return ram_update(context, where, old, new, size);
}

static void tables_that_change(void **state)
{
    (void)state;
    static const struct walk_memory moving = { ram_read, update_too_late, NULL };
    build_long_mode(P | W | U);
    changes = 1;
    changed_to = 0xb000 | P | W | U;
    assert_int_equal(guest_walk(&long_mode, &moving, 0x5123, WALK_WRITE, &gpa, &error_code), WALK_OK);
    assert_int_equal(gpa, 0xb123);
    assert_int_equal(get64(0x4028), 0xb000 | P | W | U | A | D);
    build_long_mode(P | W | U);
    changes = 1;
    changed_to = 0x123450000 | W; /* not present any more: bits that are the guest's own */
    assert_int_equal(guest_walk(&long_mode, &moving, 0x5123, WALK_WRITE, &gpa, &error_code), WALK_PAGE_FAULT);
    assert_int_equal(error_code, 2);
    assert_int_equal(get64(0x4028), 0x123450000 | W);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_levels),
        cmocka_unit_test(rights), cmocka_unit_test(fetches),
        cmocka_unit_test(legacy_modes),
        cmocka_unit_test(tables_outside_memory),
        cmocka_unit_test(tables_that_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
