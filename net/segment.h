/*
 * One Ethernet segment of the pod: a card, lwIP if the card carries it, and guests' ports, joined by a learning switch.
 *
 * lwIP's frames take the short way: while no guest is on the segment, and for every frame between lwIP and the wire that
 * concerns nobody else, nothing is copied and at most lwIP's address is compared. Everything here runs on CPU 0, but for
 * what struct switch_port says of itself.
 */
#ifndef TELEPOD_SEGMENT_H
#define TELEPOD_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "kernel/spinlock.h"
#include "net/announce.h"
#include "net/frame_queue.h"
#include "net/switch.h"
#include "net/switch_addresses.h"
#include "net/switch_table.h"
#include "net/uplink.h"

struct netif;

struct segment {
    struct spinlock lock;              /* of table: ports are stopped and started from any CPU */
    struct switch_table table;
    struct uplink *uplink;             /* NULL: the segment has no wire */
    struct netif *netif;               /* NULL: lwIP is on the other segment */
    uint8_t netif_mac[6];
    uint32_t wire, pod;                /* port numbers of the two; SWITCH_NO_PORT */
    struct switch_port *ports[SWITCH_PORTS_MAX];   /* guests' */
    uint32_t guest_count;
    uint64_t pod_route;                /* ports of guests that the frame which lwIP sends now goes to */
};

struct switch_port {
    struct segment *segment;
    uint32_t number;                   /* in the segment's table */
    char name[POD_NAME_MAX];
    uint8_t mac[6];
    void (*deliver)(void *context, const void *frame, uint32_t size);
    void *context;

    struct spinlock lock;              /* of all below; any CPU */
    bool forwarding;
    struct frame_queue queue;          /* what the guest has sent */
    struct switch_addresses addresses;
    struct switch_port_stats stats;
    bool source_told, impostor_told;   /* in the log, once */
    uint32_t announcements_left;       /* 0: none */
    uint64_t next_announcement;        /* TSC */
};

/* The segment's ports for wire and lwIP; either may be missing. */
void segment_init(struct segment *segment, struct uplink *uplink, struct netif *netif, const uint8_t netif_mac[6]);

/* A guest's port comes and goes; the card hears all frames while there is one. ERR_EXISTS, ERR_INVALID, ERR_NO_MEMORY. */
enum err segment_add(struct segment *segment, struct switch_port *port);
void segment_remove(struct switch_port *port);

/* From the card: the frame, and its buffer, are the segment's now. */
void segment_receive(struct segment *segment, const struct nic_frame *frame);
/* From a guest: to all whom it concerns. */
void segment_forward(struct switch_port *port, const void *frame, uint32_t size);
/* The ways of a frame that lwIP sends (net/port/port.h), and its delivery to guests. */
uint32_t segment_route_from_pod(void *segment, const void *frame, uint32_t size);
void segment_deliver_from_pod(void *segment, const void *frame, uint32_t size);

#endif
