#include "net/segment.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"
#include "net/port/port.h"

/* IEEE 802.1Q, 8.8.3 "Ageing of Dynamic Filtering Entries": the recommended time. */
#define STATION_AGEING_MS 300000

static uint32_t add_port(struct segment *segment, enum switch_port_kind kind, const uint8_t *mac)
{
    uint32_t number = switch_table_add(&segment->table, kind, mac);

    if (number != SWITCH_NO_PORT)
        switch_table_set_forwarding(&segment->table, number, true);
    return number;
}

void segment_init(struct segment *segment, struct uplink *uplink, struct netif *netif, const uint8_t netif_mac[6])
{
    switch_table_init(&segment->table, time_from_us(STATION_AGEING_MS * US_PER_MS));
    segment->uplink = uplink;
    segment->netif = netif;
    segment->wire = uplink ? add_port(segment, SWITCH_PORT_WIRE, NULL) : SWITCH_NO_PORT;
    segment->pod = netif ? add_port(segment, SWITCH_PORT_HOST, netif_mac) : SWITCH_NO_PORT;
    if (netif)
        memcpy(segment->netif_mac, netif_mac, sizeof(segment->netif_mac));
}

enum err segment_add(struct segment *segment, struct switch_port *port)
{
    uint32_t number;

    if (!switch_mac_is_station(switch_mac(port->mac)))
        return ERR_INVALID;
    for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++)
        if (segment->ports[i] && !memcmp(segment->ports[i]->mac, port->mac, sizeof(port->mac)))
            return ERR_EXISTS;
    if (segment->netif && !memcmp(segment->netif_mac, port->mac, sizeof(port->mac)))
        return ERR_EXISTS;
    spinlock_acquire(&segment->lock);
    number = switch_table_add(&segment->table, SWITCH_PORT_HOST, port->mac);
    spinlock_release(&segment->lock);
    if (number == SWITCH_NO_PORT)
        return ERR_NO_MEMORY;
    port->segment = segment;
    port->number = number;
    segment->ports[number] = port;
    if (segment->guest_count++ == 0 && segment->uplink)
        nic_set_promiscuous(segment->uplink->nic, true);
    return OK;
}

void segment_remove(struct switch_port *port)
{
    struct segment *segment = port->segment;

    spinlock_acquire(&segment->lock);
    switch_table_remove(&segment->table, port->number);
    spinlock_release(&segment->lock);
    segment->ports[port->number] = NULL;
    if (--segment->guest_count == 0 && segment->uplink)
        nic_set_promiscuous(segment->uplink->nic, false);
}

static struct switch_decision decide(struct segment *segment, uint32_t ingress, const void *frame, uint32_t size)
{
    struct switch_decision decision;

    spinlock_acquire(&segment->lock);
    decision = switch_table_decide(&segment->table, ingress, frame, size, time_now());
    spinlock_release(&segment->lock);
    return decision;
}

/* To the guests' ports of a set; the other bits are not looked at. */
static void deliver(struct segment *segment, uint64_t ports, const void *frame, uint32_t size)
{
    for (uint64_t left = ports; left; left &= left - 1) {
        struct switch_port *port = segment->ports[__builtin_ctzll(left)];

        if (!port)
            continue;
        spinlock_acquire(&port->lock);
        port->stats.received++;
        port->stats.received_bytes += size;
        spinlock_release(&port->lock);
        port->deliver(port->context, frame, size);
    }
}

static bool is_in(uint64_t ports, uint32_t number)
{
    return number != SWITCH_NO_PORT && ports & BIT(number);
}

/* ---- from the wire --------------------------------------------------------------------------------------------- */

static void tell_impostor(struct switch_port *port)
{
    bool tell;

    spinlock_acquire(&port->lock);
    port->stats.seen_elsewhere++;
    tell = !port->impostor_told;
    port->impostor_told = true;
    spinlock_release(&port->lock);
    if (tell)
        log_error("net", "%s: a frame came over the wire with this guest's own address as its source", port->name);
}

/* Another station claims addresses by ARP: they are not a guest's any more. */
static void contest(struct segment *segment, uint64_t ports, const struct nic_frame *frame)
{
    for (uint64_t left = ports; left; left &= left - 1) {
        struct switch_port *port = segment->ports[__builtin_ctzll(left)];

        if (!port)
            continue;
        spinlock_acquire(&port->lock);
        switch_addresses_contest(&port->addresses, port->mac, frame->data, frame->length);
        spinlock_release(&port->lock);
    }
}

static void distribute(struct segment *segment, const struct nic_frame *frame)
{
    struct switch_decision decision = decide(segment, segment->wire, frame->data, frame->length);

    if (decision.impostor != SWITCH_NO_PORT && segment->ports[decision.impostor])
        tell_impostor(segment->ports[decision.impostor]);
    if (switch_frame_is_arp(frame->data, frame->length))
        contest(segment, decision.ports, frame);
    deliver(segment, decision.ports, frame->data, frame->length);
    if (is_in(decision.ports, segment->pod))
        port_netif_received(segment->netif, frame);
    else if (frame->buffer != NIC_NO_BUFFER)
        nic_buffer_free(segment->uplink->nic, frame->buffer);
}

void segment_receive(struct segment *segment, const struct nic_frame *frame)
{
    bool for_pod = segment->netif && (!segment->guest_count
                                      || !memcmp(frame->data, segment->netif_mac, sizeof(segment->netif_mac)));

    if (for_pod)
        port_netif_received(segment->netif, frame);
    else if (segment->guest_count)
        distribute(segment, frame);
    else if (frame->buffer != NIC_NO_BUFFER)
        nic_buffer_free(segment->uplink->nic, frame->buffer);
}

/* ---- from a guest ---------------------------------------------------------------------------------------------- */

static uint64_t *drop_counter(struct switch_port *port, enum switch_drop drop)
{
    return drop == SWITCH_DROP_SOURCE ? &port->stats.dropped_source : &port->stats.dropped_other;
}

void segment_forward(struct switch_port *port, const void *frame, uint32_t size)
{
    struct segment *segment = port->segment;
    struct switch_decision decision = decide(segment, port->number, frame, size);
    bool on_wire = !is_in(decision.ports, segment->wire) || uplink_send(segment->uplink, frame, size);

    spinlock_acquire(&port->lock);
    if (decision.drop && decision.drop != SWITCH_DROP_FILTERED) {
        ++*drop_counter(port, decision.drop);
    } else {
        port->stats.sent++;
        port->stats.sent_bytes += size;
        port->stats.dropped_wire += !on_wire;
        switch_addresses_learn(&port->addresses, port->mac, frame, size);
    }
    spinlock_release(&port->lock);
    deliver(segment, decision.ports, frame, size);
    if (is_in(decision.ports, segment->pod))
        port_netif_received_from_guest(segment->netif, frame, size);
}

/* ---- from lwIP ------------------------------------------------------------------------------------------------- */

uint32_t segment_route_from_pod(void *context, const void *frame, uint32_t size)
{
    struct segment *segment = context;
    struct switch_decision decision;
    uint64_t wire = BIT(segment->wire);

    if (!segment->guest_count)
        return PORT_TO_CARD;
    decision = decide(segment, segment->pod, frame, size);
    segment->pod_route = decision.ports & ~wire;
    return (decision.ports & wire ? PORT_TO_CARD : 0) | (segment->pod_route ? PORT_TO_GUESTS : 0);
}

void segment_deliver_from_pod(void *context, const void *frame, uint32_t size)
{
    struct segment *segment = context;

    deliver(segment, segment->pod_route, frame, size);
}
