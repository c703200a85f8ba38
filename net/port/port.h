/*
 * What lwIP's port offers to net/: the memory under lwIP, its clock, and the joint between a card and lwIP's
 * netif.
 */
#ifndef TELEPOD_NET_PORT_H
#define TELEPOD_NET_PORT_H

#include <stdint.h>
#include "kernel/lib/err.h"
#include "net/nic/nic.h"

struct netif;

/* Takes the memory that lwIP's data will live in (2 MiB, never given back). Before lwip_init().
   ERR_NO_MEMORY. */
enum err port_init(void);

/* Where a frame that lwIP sends goes: any of these. */
#define PORT_TO_CARD 1u
#define PORT_TO_GUESTS 2u

/* Who stands between lwIP, its card and the guests: the switch. Called while lwIP sends; must not yield or call lwIP. */
struct port_switch {
    /* The frame's ways. Checksums may not be complete yet. */
    uint32_t (*route)(void *context, const void *frame, uint32_t size);
    /* To the guests that the route() before this meant. The frame is complete. */
    void (*deliver)(void *context, const void *frame, uint32_t size);
    void *context;
};

/*
 * Makes `netif` (zeroed, the caller's, for ever) of an open card, without an address, down; `above` is copied. There is
 * one netif. ERR_NO_MEMORY.
 */
enum err port_netif_open(struct netif *netif, struct nic *nic, const struct port_switch *above);

/* A frame for lwIP from its card, whose buffer is lwIP's from then on. */
void port_netif_received(struct netif *netif, const struct nic_frame *frame);
/* The end of a batch: what was held back of it is given to lwIP. */
void port_netif_flush(struct netif *netif);
/* A frame for lwIP from a guest; copied. */
void port_netif_received_from_guest(struct netif *netif, const void *frame, uint32_t size);
/* The card is done with a frame that lwIP sent. */
void port_netif_sent(void *cookie);

/* Objects that lwIP or its users hold now: data in the arena, and the card's receive buffers. */
uint32_t port_pbufs_in_use(void);

#endif
