/*
 * The IPv4 addresses that the station behind a port uses, as its own frames tell. They are needed for one thing: to
 * announce the guest after a move. Announcing an address that is somebody else's would take it from them, so what counts
 * is what the guest says of itself in ARP (RFC 826: sender's addresses); the source of an IPv4 datagram counts only while
 * ARP has told nothing, because a guest that routes sends datagrams of others; and an address that another station claims
 * by ARP is forgotten. Pure.
 */
#ifndef TELEPOD_SWITCH_ADDRESSES_H
#define TELEPOD_SWITCH_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>
#include "net/switch.h"

struct switch_addresses {
    uint32_t count;
    uint32_t ipv4[SWITCH_PORT_ADDRESSES_MAX];   /* network byte order, latest first */
};

/* Adds an address as the latest; what is no station's (0/8, 127/8, 224/3) is ignored. */
void switch_addresses_add(struct switch_addresses *addresses, uint32_t ipv4);
/* A frame that the port's station, `mac`, has sent. */
void switch_addresses_learn(struct switch_addresses *addresses, const uint8_t mac[6], const void *frame, uint32_t size);
/* A frame that another station has sent: what it claims by ARP is not ours any more. */
void switch_addresses_contest(struct switch_addresses *addresses, const uint8_t mac[6], const void *frame, uint32_t size);

/* Is it an ARP packet for IPv4 over Ethernet? */
bool switch_frame_is_arp(const void *frame, uint32_t size);

#endif
