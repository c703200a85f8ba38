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

/*
 * Opens the index-th card and makes `netif` (zeroed, the caller's, for ever) of it, without an address, down.
 * `interrupt` is called in the card's interrupt handler. Errors are nic_open's.
 */
enum err port_netif_open(struct netif *netif, uint32_t index, void (*interrupt)(void *context),
                         struct nic **out);

/* Gives up to `budget` received frames to lwIP and takes back what was sent. Returns how many were received.
   */
uint32_t port_netif_poll(struct netif *netif, uint32_t budget);

/* Objects that lwIP or its users hold now: data in the arena, and the card's receive buffers. */
uint32_t port_pbufs_in_use(void);

#endif
