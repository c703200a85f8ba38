/* Which processors an interrupt message is for: every way of addressing, in both modes of the APIC, and mixed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmx/devices/apic_route.h"

#define COUNT 4
#define ALL 0xfu
#define FLAT 0xffffffffu
#define CLUSTERED 0x0fffffffu

static struct apic_route routes[COUNT];

/* IDs 0, 1, 2 ...; logical IDs as Linux gives them: a bit each. */
static int in_mode(enum apic_mode mode, uint32_t dfr)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        routes[i].mode = mode;
        routes[i].id = i;
        routes[i].dfr = dfr;
        routes[i].ldr = mode == APIC_X2APIC ? 1u << i : 1u << (24 + i);
        routes[i].software_enabled = true;
    }
    return 0;
}

static int xapic_flat(void **state)
{
    (void)state;
    return in_mode(APIC_XAPIC, FLAT);
}

/* Two clusters of two: 10h, 20h. */
static int xapic_clusters(void **state)
{
    (void)state;
    in_mode(APIC_XAPIC, CLUSTERED);
    for (uint32_t i = 0; i < COUNT; i++)
        routes[i].ldr = (i / 2 + 1) << 28 | 1u << (24 + i % 2);
    return 0;
}

static int x2apic(void **state)
{
    (void)state;
    return in_mode(APIC_X2APIC, 0);
}

static uint32_t to(uint32_t destination, bool logical)
{
    return apic_route_targets(routes, COUNT, &(struct apic_message){ .destination = destination, .logical = logical },
                              APIC_ROUTE_NOBODY);
}

static uint32_t by(uint8_t shorthand, int sender)
{
    return apic_route_targets(routes, COUNT, &(struct apic_message){ .shorthand = shorthand, .destination = 1 }, sender);
}

static void physical(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(to(i, false), 1u << i);
    assert_int_equal(to(COUNT, false), 0);
    assert_int_equal(to(0xfe, false), 0);
    assert_int_equal(to(0x100, false), 0);              /* not processor 0: all 32 bits count */
    assert_int_equal(to(APIC_DESTINATION_BROADCAST, false), ALL);
    routes[2].mode = APIC_DISABLED;
    assert_int_equal(to(2, false), 0);
    assert_int_equal(to(APIC_DESTINATION_BROADCAST, false), ALL & ~4u);
}

/* Software-disabled APICs still take NMI, INIT and start-up IPIs: they are targets (11.4.7.2). */
static void disabled_by_software(void **state)
{
    (void)state;
    routes[1].software_enabled = false;
    assert_int_equal(to(1, false), 2);
    assert_int_equal(by(SHORTHAND_ALL_EXCLUDING_SELF, 0), ALL & ~1u);
}

static void shorthands(void **state)
{
    (void)state;
    assert_int_equal(by(SHORTHAND_SELF, 3), 8);
    assert_int_equal(by(SHORTHAND_ALL_INCLUDING_SELF, 3), ALL);
    assert_int_equal(by(SHORTHAND_ALL_EXCLUDING_SELF, 3), 7);
    assert_int_equal(by(SHORTHAND_SELF, APIC_ROUTE_NOBODY), 0);
    routes[0].mode = APIC_DISABLED;
    assert_int_equal(by(SHORTHAND_ALL_EXCLUDING_SELF, 3), 6);
}

static void flat(void **state)
{
    (void)state;
    assert_int_equal(to(0x01, true), 1);
    assert_int_equal(to(0x0a, true), 0xa);
    assert_int_equal(to(0xff, true), ALL);
    assert_int_equal(to(0xf0, true), 0);
    assert_int_equal(to(0, true), 0);
    assert_int_equal(to(APIC_DESTINATION_BROADCAST, true), ALL);
    assert_int_equal(to(0x101, true), 0);               /* no eight-bit destination */
}

static void clusters(void **state)
{
    (void)state;
    assert_int_equal(to(0x11, true), 1);
    assert_int_equal(to(0x13, true), 3);
    assert_int_equal(to(0x23, true), 0xc);
    assert_int_equal(to(0x33, true), 0);
    assert_int_equal(to(0xf1, true), 5);                /* the first of every cluster */
    assert_int_equal(to(0x10, true), 0);
}

static void x2apic_logical(void **state)
{
    (void)state;
    assert_int_equal(to(0x1, true), 1);
    assert_int_equal(to(0xc, true), 0xc);
    assert_int_equal(to(0x1000c, true), 0);             /* another cluster */
    assert_int_equal(to(APIC_DESTINATION_BROADCAST, true), ALL);
    routes[3].ldr = 0x10001;
    assert_int_equal(to(0x10003, true), 8);
    assert_int_equal(to(0xf, true), 7);
}

/* While Linux starts, some processors are in one mode and some in the other: each hears by its own rules. */
static void mixed_modes(void **state)
{
    (void)state;
    routes[3].mode = APIC_X2APIC;
    routes[3].ldr = 8;
    assert_int_equal(to(0x08, true), 8);
    assert_int_equal(to(0x0f, true), ALL);
}

static void lowest_priority(void **state)
{
    (void)state;
    uint32_t seen = 0;
    for (uint32_t turn = 0; turn < 6; turn++) {
        uint32_t one = apic_route_lowest(routes, 0xb, turn);
        assert_int_equal(__builtin_popcount(one), 1);
        assert_int_equal(one & ~0xbu, 0);
        assert_int_equal(one, apic_route_lowest(routes, 0xb, turn + 3));
        seen |= one;
    }
    assert_int_equal(seen, 0xb);                        /* each in its turn */
    routes[0].software_enabled = false;
    for (uint32_t turn = 0; turn < 4; turn++)
        assert_int_not_equal(apic_route_lowest(routes, 0xb, turn), 1);
    assert_int_equal(apic_route_lowest(routes, 1, 0), 0);
    assert_int_equal(apic_route_lowest(routes, 0, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(physical, xapic_flat),
        cmocka_unit_test_setup(physical, x2apic),
        cmocka_unit_test_setup(disabled_by_software, xapic_flat),
        cmocka_unit_test_setup(shorthands, xapic_flat),
        cmocka_unit_test_setup(shorthands, x2apic),
        cmocka_unit_test_setup(flat, xapic_flat),
        cmocka_unit_test_setup(clusters, xapic_clusters),
        cmocka_unit_test_setup(x2apic_logical, x2apic),
        cmocka_unit_test_setup(mixed_modes, xapic_flat),
        cmocka_unit_test_setup(lowest_priority, x2apic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
