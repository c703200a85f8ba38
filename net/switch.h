/*
 * The pod's Ethernet switch, as a guest's network device sees it. Guests, lwIP and the wire share it; which of them are on
 * one segment is decided at boot (net/net.h).
 *
 * What a port may rely on: it gets only the frames that a switch would show it (its own address, groups), never one of
 * its own; a frame that leaves a guest's port carries that port's address as its source, or it does not leave.
 * What nobody may rely on is delivery: every queue is bounded, and a frame over the bound is dropped and counted.
 */
#ifndef TELEPOD_SWITCH_H
#define TELEPOD_SWITCH_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define SWITCH_FRAME_MIN 14            /* bytes: an Ethernet header */
#define SWITCH_FRAME_MAX 1514          /* header included, FCS not */
#define SWITCH_PORT_ADDRESSES_MAX 4    /* IPv4 addresses remembered of a port */

struct switch_port;

struct switch_port_stats {
    uint64_t sent, received;           /* frames that came from the port, that were delivered to it */
    uint64_t sent_bytes, received_bytes;
    uint64_t dropped_full;             /* from the port: its queue had no room */
    uint64_t dropped_wire;             /* from the port: the card had no room */
    uint64_t dropped_source;           /* from the port: a source address that is not its own */
    uint64_t dropped_other;            /* from the port: malformed, to a reserved group, or while not forwarding */
    uint64_t seen_elsewhere;           /* frames from the wire that carried this port's address as their source */
};

/*
 * A port for a guest's card with that MAC on the guests' segment. It does not forward yet. `deliver` is called in threads
 * of CPU 0 (the net thread), one frame at a time, and must neither yield nor keep `frame`. ERR_EXISTS: the address is
 * another port's; ERR_INVALID: no station's address; ERR_NO_MEMORY, also when all ports are taken; ERR_NOT_FOUND: the
 * switch does not run. From any thread that may yield.
 */
enum err switch_port_open(struct switch_port **out, const char *name, const uint8_t mac[6],
                          void (*deliver)(void *context, const void *frame, uint32_t size), void *context);

/* Is there a card between the guests' segment and the LAN? Without one they reach each other only. Any CPU. */
bool switch_is_wired(void);

/* Nothing is delivered and nothing is sent after it, queued frames and announcements included. NULL is allowed. From any
   thread that may yield. */
void switch_port_close(struct switch_port *port);

/*
 * A frame of SWITCH_FRAME_MIN..SWITCH_FRAME_MAX bytes from the port: copied into its queue, and the net thread is woken.
 * Any CPU, from an exit. false: dropped and counted.
 */
bool switch_send(struct switch_port *port, const void *frame, uint32_t size);

/* A port that does not forward neither sends nor receives, and its address counts as unknown. Any CPU. What it had
   queued while it forwarded is dropped when it stops. */
void switch_port_set_state(struct switch_port *port, bool forwarding);

/*
 * The guest behind the port runs here from now on: says so to the segment, at once and several times more (gratuitous ARP
 * for each known IPv4 address, RFC 5227; RARP, RFC 903, for switches, which learn from any frame). Does nothing while the
 * port does not forward, and ends when it stops. Any CPU.
 */
void switch_port_announce(struct switch_port *port);

/* IPv4 addresses (network byte order) that the guest was seen to use, latest first: how many, at most
   SWITCH_PORT_ADDRESSES_MAX. They travel with it. Any CPU. */
uint32_t switch_port_addresses(const struct switch_port *port, uint32_t out[SWITCH_PORT_ADDRESSES_MAX]);
/* Those that it has brought along, latest first; more than SWITCH_PORT_ADDRESSES_MAX, and what is no station's address,
   are ignored. Any CPU. */
void switch_port_set_addresses(struct switch_port *port, const uint32_t *addresses, uint32_t count);

/* Any CPU. */
void switch_port_get_stats(struct switch_port *port, struct switch_port_stats *out);

/* The open ports of guests, for those who list them: index 0, 1, ... until NULL. Their names are the guests'. CPU 0. */
struct switch_port *switch_port_by_index(uint32_t index);
const char *switch_port_name(const struct switch_port *port);

#endif
