#include "net/switch_table.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "net/switch.h"

#define MAC_SIZE 6u
#define SOURCE_OFFSET MAC_SIZE         /* a frame begins with destination, source, type */

/* 01-80-C2-00-00-00 to -0F: spanning tree, pause, link aggregation and others that concern one link only. */
#define RESERVED_GROUPS 0x0180c2000000ULL
#define RESERVED_GROUPS_MASK (~0xfULL)

/* Fibonacci hashing: the upper bits of the product depend on all bits of the address. */
#define HASH_FACTOR 0x9e3779b97f4a7c15ULL
#define HASH_SHIFT 58
_Static_assert(SWITCH_STATION_SETS == 1u << (64 - HASH_SHIFT), "the hash's upper bits number the sets");

uint64_t switch_mac(const uint8_t mac[6])
{
    uint64_t value = 0;

    for (unsigned i = 0; i < MAC_SIZE; i++)
        value = value << 8 | mac[i];
    return value;
}

bool switch_mac_is_station(uint64_t mac)
{
    return mac && !(mac & SWITCH_MAC_GROUP);
}

void switch_table_init(struct switch_table *table, uint64_t ageing)
{
    memset(table, 0, sizeof(*table));
    table->ageing = ageing;
}

static uint32_t find_host(const struct switch_table *table, uint64_t mac)
{
    for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++)
        if (table->ports[i].kind == SWITCH_PORT_HOST && table->ports[i].mac == mac)
            return i;
    return SWITCH_NO_PORT;
}

uint32_t switch_table_add(struct switch_table *table, enum switch_port_kind kind, const uint8_t mac[6])
{
    uint64_t value = kind == SWITCH_PORT_HOST ? switch_mac(mac) : 0;

    if (kind == SWITCH_PORT_HOST && (!switch_mac_is_station(value) || find_host(table, value) != SWITCH_NO_PORT))
        return SWITCH_NO_PORT;
    for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++) {
        if (table->ports[i].kind != SWITCH_PORT_NONE)
            continue;
        table->ports[i].kind = kind;
        table->ports[i].mac = value;
        table->ports[i].forwarding = false;
        return i;
    }
    return SWITCH_NO_PORT;
}

static void forget_behind(struct switch_table *table, uint32_t port)
{
    for (uint32_t set = 0; set < SWITCH_STATION_SETS; set++)
        for (uint32_t way = 0; way < SWITCH_STATION_WAYS; way++)
            if (table->stations[set][way].port == port)
                table->stations[set][way].mac = 0;
}

void switch_table_remove(struct switch_table *table, uint32_t port)
{
    forget_behind(table, port);
    table->ports[port].kind = SWITCH_PORT_NONE;
    table->ports[port].forwarding = false;
}

void switch_table_set_forwarding(struct switch_table *table, uint32_t port, bool forwarding)
{
    if (!forwarding)
        forget_behind(table, port);
    table->ports[port].forwarding = forwarding;
}

static struct switch_station *set_of(struct switch_table *table, uint64_t mac)
{
    return table->stations[mac * HASH_FACTOR >> HASH_SHIFT];
}

static bool is_current(const struct switch_table *table, const struct switch_station *station, uint64_t now)
{
    return station->mac && now - station->heard <= table->ageing;
}

static void learn(struct switch_table *table, uint64_t mac, uint32_t port, uint64_t now)
{
    struct switch_station *set = set_of(table, mac), *place = &set[0];

    for (uint32_t way = 0; way < SWITCH_STATION_WAYS; way++) {
        struct switch_station *station = &set[way];

        if (station->mac == mac) {
            place = station;
            break;
        }
        if (place->mac && (!station->mac || station->heard < place->heard))
            place = station;
    }
    *place = (struct switch_station){ .mac = mac, .heard = now, .port = port };
}

static uint32_t find_station(struct switch_table *table, uint64_t mac, uint64_t now)
{
    const struct switch_station *set = set_of(table, mac);

    for (uint32_t way = 0; way < SWITCH_STATION_WAYS; way++)
        if (set[way].mac == mac && is_current(table, &set[way], now))
            return set[way].port;
    return SWITCH_NO_PORT;
}

/* Ports that forward, of one kind or (SWITCH_PORT_NONE) of any. */
static uint64_t forwarding_ports(const struct switch_table *table, enum switch_port_kind kind)
{
    uint64_t ports = 0;

    for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++)
        if (table->ports[i].forwarding && (!kind || table->ports[i].kind == kind))
            ports |= BIT(i);
    return ports;
}

static uint64_t destinations(struct switch_table *table, uint64_t mac, uint64_t now)
{
    uint32_t port;

    if (mac & SWITCH_MAC_GROUP)
        return forwarding_ports(table, SWITCH_PORT_NONE);
    port = find_host(table, mac);
    /* A host that does not forward is as if it were not there: its address may be somebody's out on the wire. */
    if (port == SWITCH_NO_PORT || !table->ports[port].forwarding)
        port = find_station(table, mac, now);
    return port == SWITCH_NO_PORT ? forwarding_ports(table, SWITCH_PORT_WIRE) : BIT(port);
}

/* Is the frame's sender one that may speak here? Learns it behind a wire. */
static enum switch_drop admit(struct switch_table *table, uint32_t ingress, uint64_t source, uint64_t now,
                              uint32_t *impostor)
{
    uint32_t host;

    if (!table->ports[ingress].forwarding)
        return SWITCH_DROP_CLOSED;
    if (!switch_mac_is_station(source))
        return SWITCH_DROP_MALFORMED;
    if (table->ports[ingress].kind == SWITCH_PORT_HOST)
        return source == table->ports[ingress].mac ? SWITCH_DROP_NONE : SWITCH_DROP_SOURCE;
    host = find_host(table, source);
    if (host == SWITCH_NO_PORT || !table->ports[host].forwarding)
        learn(table, source, ingress, now);
    else
        *impostor = host;
    return SWITCH_DROP_NONE;
}

struct switch_decision switch_table_decide(struct switch_table *table, uint32_t ingress, const void *frame, uint32_t size,
                                           uint64_t now)
{
    struct switch_decision decision = { .impostor = SWITCH_NO_PORT };
    const uint8_t *bytes = frame;
    uint64_t destination;

    if (size < SWITCH_FRAME_MIN || size > SWITCH_FRAME_MAX) {
        decision.drop = SWITCH_DROP_MALFORMED;
        return decision;
    }
    decision.drop = admit(table, ingress, switch_mac(bytes + SOURCE_OFFSET), now, &decision.impostor);
    if (decision.drop)
        return decision;
    destination = switch_mac(bytes);
    if ((destination & RESERVED_GROUPS_MASK) == RESERVED_GROUPS) {
        decision.drop = SWITCH_DROP_RESERVED;
        return decision;
    }
    decision.ports = destinations(table, destination, now) & ~BIT(ingress);
    if (!decision.ports)
        decision.drop = SWITCH_DROP_FILTERED;
    return decision;
}
