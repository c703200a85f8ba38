/* Interrupt pins to I/O APIC inputs, by the chipsets that the pods meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "kernel/pci_route.h"

/* The PIIX's route bytes, one kind each. */
#define ROUTES 0x80050b0au      /* A: 10, B: 11, C: 5, D: none */

static const struct acpi_info acpi = {
    .override_count = 3,
    .overrides = { { 0, 2, false, false }, { 10, 10, true, false }, { 5, 21, true, true } },
};

static const struct {
    enum pci_router router;
    struct pci_pin pin;
    enum err err;
    uint32_t gsi;
    bool active_low;
} cases[] = {
    { PCI_ROUTER_PIIX, { 1, 1, 0 }, OK, 10, false },        /* PIRQA, with override */
    { PCI_ROUTER_PIIX, { 2, 1, 99 }, OK, 11, true },        /* Bochs's first card: PIRQB */
    { PCI_ROUTER_PIIX, { 3, 1, 0 }, OK, 21, true },         /* override to another input */
    { PCI_ROUTER_PIIX, { 4, 1, 0 }, OK, 19, true },         /* PIRQD is not routed */
    { PCI_ROUTER_PIIX, { 5, 1, 0 }, OK, 10, false },
    { PCI_ROUTER_PIIX, { 2, 2, 0 }, OK, 21, true },
    { PCI_ROUTER_PIIX, { 0, 1, 0 }, OK, 19, true },
    { PCI_ROUTER_PIIX, { 2, 0, 11 }, ERR_NOT_FOUND, 0, false },
    { PCI_ROUTER_PIIX, { 2, 5, 11 }, ERR_NOT_FOUND, 0, false },
    { PCI_ROUTER_ICH9, { 2, 1, 10 }, OK, 22, true },
    { PCI_ROUTER_ICH9, { 3, 2, 10 }, OK, 20, true },
    { PCI_ROUTER_ICH9, { 31, 2, 10 }, OK, 17, true },
    { PCI_ROUTER_ICH9, { 30, 4, 10 }, OK, 23, true },
    { PCI_ROUTER_UNKNOWN, { 2, 1, 10 }, OK, 10, false },
    { PCI_ROUTER_UNKNOWN, { 2, 1, 9 }, OK, 9, true },
    { PCI_ROUTER_UNKNOWN, { 2, 1, 0 }, ERR_NOT_FOUND, 0, false },
    { PCI_ROUTER_UNKNOWN, { 2, 1, 0xff }, ERR_NOT_FOUND, 0, false },
};

static void test_routes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pci_gsi out = { 0, false };
        assert_int_equal(pci_route(cases[i].router, ROUTES, cases[i].pin, &acpi, &out), cases[i].err);
        assert_int_equal(out.gsi, cases[i].gsi);
        assert_int_equal(out.active_low, cases[i].active_low);
    }
}

static void test_knows_routers(void **state)
{
    (void)state;
    assert_int_equal(pci_router_of(0x8086, 0x7000), PCI_ROUTER_PIIX);
    assert_int_equal(pci_router_of(0x8086, 0x2918), PCI_ROUTER_ICH9);
    assert_int_equal(pci_router_of(0x8086, 0x1234), PCI_ROUTER_UNKNOWN);
    assert_int_equal(pci_router_of(0x1022, 0x7000), PCI_ROUTER_UNKNOWN);
}

static void test_rotates_behind_bridges(void **state)
{
    (void)state;
    assert_int_equal(pci_pin_through_bridge(0, 1), 1);
    assert_int_equal(pci_pin_through_bridge(1, 1), 2);
    assert_int_equal(pci_pin_through_bridge(3, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_knows_routers),
        cmocka_unit_test(test_rotates_behind_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
