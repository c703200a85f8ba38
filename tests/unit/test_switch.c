/* net/switch_table.c, net/switch_addresses.c, net/announce.c: who is shown which frame, and what is announced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "net/announce.h"
#include "net/switch.h"
#include "net/switch_addresses.h"
#include "net/switch_table.h"

#define AGEING 1000
#define FRAME 60

static const uint8_t mac_a[6] = { 0x02, 0, 0, 0, 0, 0x0a }, mac_b[6] = { 0x02, 0, 0, 0, 0, 0x0b };
static const uint8_t mac_pod[6] = { 0x02, 0, 0, 0, 0, 1 };
static const uint8_t mac_x[6] = { 0x52, 1, 2, 3, 4, 5 }, mac_y[6] = { 0x52, 1, 2, 3, 4, 6 };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t multicast[6] = { 0x01, 0, 0x5e, 1, 2, 3 };

struct net {
    struct switch_table table;
    uint32_t wire, second_wire, pod, a, b;
};

static struct net net;

static int setup(void **state)
{
    (void)state;
    switch_table_init(&net.table, AGEING);
    net.wire = switch_table_add(&net.table, SWITCH_PORT_WIRE, NULL);
    net.second_wire = switch_table_add(&net.table, SWITCH_PORT_WIRE, NULL);
    net.pod = switch_table_add(&net.table, SWITCH_PORT_HOST, mac_pod);
    net.a = switch_table_add(&net.table, SWITCH_PORT_HOST, mac_a);
    net.b = switch_table_add(&net.table, SWITCH_PORT_HOST, mac_b);
    for (uint32_t i = net.wire; i <= net.b; i++)
        switch_table_set_forwarding(&net.table, i, true);
    return 0;
}

static struct switch_decision send(uint32_t from, const uint8_t *source, const uint8_t *destination, uint64_t now)
{
    uint8_t frame[FRAME] = { 0 };

    memcpy(frame, destination, 6);
    memcpy(frame + 6, source, 6);
    frame[12] = 0x08;
    return switch_table_decide(&net.table, from, frame, sizeof(frame), now);
}

static uint64_t ports(uint32_t from, const uint8_t *source, const uint8_t *destination)
{
    return send(from, source, destination, 1).ports;
}

#define P(port) (1ULL << (port))

static void unicast_goes_to_one(void **state)
{
    (void)state;
    assert_int_equal(ports(net.a, mac_a, mac_b), P(net.b));
    assert_int_equal(ports(net.a, mac_a, mac_pod), P(net.pod));
    assert_int_equal(ports(net.wire, mac_x, mac_a), P(net.a));
    assert_int_equal(ports(net.pod, mac_pod, mac_a), P(net.a));
}

static void unknown_goes_to_wires_only(void **state)
{
    (void)state;
    assert_int_equal(ports(net.a, mac_a, mac_x), P(net.wire) | P(net.second_wire));
    assert_int_equal(ports(net.wire, mac_x, mac_y), P(net.second_wire));
}

static void groups_go_to_all_but_the_sender(void **state)
{
    uint64_t all = P(net.wire) | P(net.second_wire) | P(net.pod) | P(net.a) | P(net.b);

    (void)state;
    assert_int_equal(ports(net.a, mac_a, broadcast), all & ~P(net.a));
    assert_int_equal(ports(net.wire, mac_x, multicast), all & ~P(net.wire));
}

static void never_back(void **state)
{
    (void)state;
    assert_int_equal(send(net.a, mac_a, mac_a, 1).ports, 0);
    assert_int_equal(send(net.a, mac_a, mac_a, 1).drop, SWITCH_DROP_FILTERED);
    ports(net.wire, mac_x, broadcast);
    assert_int_equal(send(net.wire, mac_y, mac_x, 1).ports, 0);
}

static void stations_are_learned_and_forgotten(void **state)
{
    (void)state;
    send(net.wire, mac_x, broadcast, 10);
    assert_int_equal(send(net.a, mac_a, mac_x, 10).ports, P(net.wire));
    assert_int_equal(send(net.a, mac_a, mac_x, 10 + AGEING).ports, P(net.wire));
    assert_int_equal(send(net.a, mac_a, mac_x, 11 + AGEING).ports, P(net.wire) | P(net.second_wire));
    send(net.second_wire, mac_x, broadcast, 12);            /* it has moved */
    assert_int_equal(send(net.a, mac_a, mac_x, 12).ports, P(net.second_wire));
    switch_table_set_forwarding(&net.table, net.second_wire, false);
    assert_int_equal(send(net.a, mac_a, mac_x, 12).ports, P(net.wire));
}

static void table_is_bounded(void **state)
{
    uint8_t mac[6] = { 0x02, 0x10 };

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        memcpy(mac + 2, &i, sizeof(i));
        send(net.wire, mac, broadcast, i);
    }
    send(net.second_wire, mac_x, broadcast, 100000);        /* the latest is always known */
    assert_int_equal(send(net.a, mac_a, mac_x, 100000).ports, P(net.second_wire));
    assert_int_equal(send(net.wire, mac, mac_b, 100000).ports, P(net.b));
}

static void hosts_send_as_themselves(void **state)
{
    (void)state;
    assert_int_equal(send(net.a, mac_b, mac_x, 1).drop, SWITCH_DROP_SOURCE);
    assert_int_equal(send(net.a, mac_x, broadcast, 1).drop, SWITCH_DROP_SOURCE);
    assert_int_equal(send(net.a, broadcast, mac_b, 1).drop, SWITCH_DROP_MALFORMED);
    assert_int_equal(send(net.wire, multicast, mac_b, 1).drop, SWITCH_DROP_MALFORMED);
    assert_int_equal(send(net.wire, (const uint8_t[6]){ 0 }, mac_b, 1).drop, SWITCH_DROP_MALFORMED);
}

/* A frame from the wire with a guest's address as its source teaches nothing: the guest stays where it is. */
static void impostor_is_told(void **state)
{
    struct switch_decision decision = send(net.wire, mac_a, broadcast, 1);

    (void)state;
    assert_int_equal(decision.impostor, net.a);
    assert_int_equal(ports(net.b, mac_b, mac_a), P(net.a));
    assert_int_equal(send(net.wire, mac_x, broadcast, 1).impostor, SWITCH_NO_PORT);
}

/* A guest that is paused, or has not been committed yet, is looked for on the wire; its own frames stay in. */
static void a_port_that_does_not_forward_is_not_there(void **state)
{
    (void)state;
    switch_table_set_forwarding(&net.table, net.a, false);
    assert_int_equal(ports(net.b, mac_b, mac_a), P(net.wire) | P(net.second_wire));
    assert_int_equal(ports(net.b, mac_b, broadcast) & P(net.a), 0);
    assert_int_equal(send(net.a, mac_a, mac_b, 1).drop, SWITCH_DROP_CLOSED);
    assert_int_equal(send(net.wire, mac_a, broadcast, 1).impostor, SWITCH_NO_PORT);
    assert_int_equal(ports(net.b, mac_b, mac_a), P(net.wire));
    switch_table_set_forwarding(&net.table, net.a, true);   /* it came: what the wire said of it counts no more */
    assert_int_equal(ports(net.b, mac_b, mac_a), P(net.a));
    switch_table_remove(&net.table, net.a);                 /* it left */
    assert_int_equal(ports(net.b, mac_b, mac_a), P(net.wire));
}

static void reserved_groups_stay(void **state)
{
    uint8_t group[6] = { 0x01, 0x80, 0xc2, 0, 0, 0 };

    (void)state;
    for (group[5] = 0; group[5] < 0x10; group[5]++)
        assert_int_equal(send(net.a, mac_a, group, 1).drop, SWITCH_DROP_RESERVED);
    assert_int_equal(send(net.a, mac_a, group, 1).drop, SWITCH_DROP_NONE);
}

static void sizes_have_bounds(void **state)
{
    uint8_t frame[SWITCH_FRAME_MAX + 1] = { 0 };

    (void)state;
    memcpy(frame, broadcast, 6);
    memcpy(frame + 6, mac_a, 6);
    for (uint32_t size = 0; size < SWITCH_FRAME_MIN; size++)
        assert_int_equal(switch_table_decide(&net.table, net.a, frame, size, 1).drop, SWITCH_DROP_MALFORMED);
    assert_int_equal(switch_table_decide(&net.table, net.a, frame, SWITCH_FRAME_MIN, 1).drop, SWITCH_DROP_NONE);
    assert_int_equal(switch_table_decide(&net.table, net.a, frame, SWITCH_FRAME_MAX, 1).drop, SWITCH_DROP_NONE);
    assert_int_equal(switch_table_decide(&net.table, net.a, frame, SWITCH_FRAME_MAX + 1, 1).drop, SWITCH_DROP_MALFORMED);
}

static void addresses_of_hosts_are_unique(void **state)
{
    uint8_t mac[6] = { 0x02, 0x77 };
    uint32_t count = 0;

    (void)state;
    assert_int_equal(switch_table_add(&net.table, SWITCH_PORT_HOST, mac_a), SWITCH_NO_PORT);
    assert_int_equal(switch_table_add(&net.table, SWITCH_PORT_HOST, broadcast), SWITCH_NO_PORT);
    assert_int_equal(switch_table_add(&net.table, SWITCH_PORT_HOST, (const uint8_t[6]){ 0 }), SWITCH_NO_PORT);
    while (switch_table_add(&net.table, SWITCH_PORT_HOST, mac) != SWITCH_NO_PORT) {
        mac[5]++;
        count++;
    }
    assert_int_equal(count, SWITCH_PORTS_MAX - 5);
}

/* ---- IPv4 addresses -------------------------------------------------------------------------------------------- */

#define IP(d) ((uint32_t)10 | (uint32_t)(d) << 24)

static void make_arp(uint8_t frame[FRAME], const uint8_t *mac, uint32_t sender)
{
    announce_arp(frame, mac, IP(99));
    memcpy(frame + 28, &sender, sizeof(sender));
}

static void make_ipv4(uint8_t frame[FRAME], const uint8_t *mac, uint32_t sender)
{
    memset(frame, 0, FRAME);
    memcpy(frame + 6, mac, 6);
    frame[12] = 0x08;
    frame[14] = 0x45;
    memcpy(frame + 26, &sender, sizeof(sender));
}

#define LAST (SWITCH_PORT_ADDRESSES_MAX + 2)

static void arp_tells_addresses(void **state)
{
    struct switch_addresses known = { 0 };
    uint8_t frame[FRAME];

    (void)state;
    make_arp(frame, mac_a, 0);                              /* a probe (RFC 5227, 2.1.1) tells nothing */
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, 0);
    for (uint32_t i = 1; i <= LAST; i++) {
        make_arp(frame, mac_a, IP(i));
        switch_addresses_learn(&known, mac_a, frame, FRAME);
    }
    assert_int_equal(known.count, SWITCH_PORT_ADDRESSES_MAX);
    assert_int_equal(known.ipv4[0], IP(LAST));
    make_arp(frame, mac_a, IP(4));                          /* used again: first, and not twice */
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, SWITCH_PORT_ADDRESSES_MAX);
    assert_int_equal(known.ipv4[0], IP(4));
    assert_int_equal(known.ipv4[1], IP(LAST));
    make_arp(frame, mac_b, IP(50));                         /* of somebody else */
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.ipv4[0], IP(4));
    switch_addresses_learn(&known, mac_a, frame, 41);
}

static void datagrams_tell_only_where_arp_did_not(void **state)
{
    struct switch_addresses known = { 0 };
    uint8_t frame[FRAME];

    (void)state;
    make_ipv4(frame, mac_a, 0);                             /* as DHCP begins */
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, 0);
    make_ipv4(frame, mac_a, IP(7));
    switch_addresses_learn(&known, mac_a, frame, 33);
    assert_int_equal(known.count, 0);
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.ipv4[0], IP(7));
    make_ipv4(frame, mac_a, IP(8));                         /* a guest that routes */
    switch_addresses_learn(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, 1);
    assert_int_equal(known.ipv4[0], IP(7));
}

static void what_another_claims_is_given_up(void **state)
{
    struct switch_addresses known = { 0 };
    uint8_t frame[FRAME];

    (void)state;
    switch_addresses_add(&known, IP(1));
    switch_addresses_add(&known, IP(2));
    make_arp(frame, mac_a, IP(1));                          /* its own, come back over the wire */
    switch_addresses_contest(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, 2);
    make_arp(frame, mac_x, IP(1));
    switch_addresses_contest(&known, mac_a, frame, FRAME);
    assert_int_equal(known.count, 1);
    assert_int_equal(known.ipv4[0], IP(2));
}

static void only_stations_have_addresses(void **state)
{
    struct switch_addresses known = { 0 };

    (void)state;
    switch_addresses_add(&known, 0);
    switch_addresses_add(&known, 127 | 1u << 24);
    switch_addresses_add(&known, 224 | 1u << 24);
    switch_addresses_add(&known, UINT32_MAX);
    assert_int_equal(known.count, 0);
}

/* ---- announcements --------------------------------------------------------------------------------------------- */

static void announcements_are_as_the_rfcs_say(void **state)
{
    static const uint8_t arp[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1,
        0x02, 0, 0, 0, 0, 0x0a, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 5,
    };
    static const uint8_t rarp[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x80, 0x35, 0, 1, 0x08, 0, 6, 4, 0, 3,
        0x02, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0,
    };
    uint8_t frame[ANNOUNCE_FRAME_SIZE];

    (void)state;
    announce_arp(frame, mac_a, IP(5));
    assert_memory_equal(frame, arp, sizeof(arp));
    assert_true(switch_frame_is_arp(frame, sizeof(frame)));
    announce_rarp(frame, mac_a);
    assert_memory_equal(frame, rarp, sizeof(rarp));
    assert_false(switch_frame_is_arp(frame, sizeof(frame)));
    for (uint32_t i = 0; i + 2 < ANNOUNCE_TIMES; i++)
        assert_true(announce_pause_ms(i) < announce_pause_ms(i + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(unicast_goes_to_one, setup),
        cmocka_unit_test_setup(unknown_goes_to_wires_only, setup),
        cmocka_unit_test_setup(groups_go_to_all_but_the_sender, setup),
        cmocka_unit_test_setup(never_back, setup),
        cmocka_unit_test_setup(stations_are_learned_and_forgotten, setup),
        cmocka_unit_test_setup(table_is_bounded, setup),
        cmocka_unit_test_setup(hosts_send_as_themselves, setup),
        cmocka_unit_test_setup(impostor_is_told, setup),
        cmocka_unit_test_setup(a_port_that_does_not_forward_is_not_there, setup),
        cmocka_unit_test_setup(reserved_groups_stay, setup),
        cmocka_unit_test_setup(sizes_have_bounds, setup),
        cmocka_unit_test_setup(addresses_of_hosts_are_unique, setup),
        cmocka_unit_test(arp_tells_addresses),
        cmocka_unit_test(datagrams_tell_only_where_arp_did_not),
        cmocka_unit_test(what_another_claims_is_given_up),
        cmocka_unit_test(only_stations_have_addresses),
        cmocka_unit_test(announcements_are_as_the_rfcs_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
