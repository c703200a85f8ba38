/* Between port.c and port_netif.c. */
#ifndef TELEPOD_NET_PORT_NETIF_H
#define TELEPOD_NET_PORT_NETIF_H

#include <stdbool.h>
#include <stdint.h>

uint32_t port_arena_in_use(void);
bool port_can_send_from(const void *data);   /* lies in the arena, so in the direct map */

#endif
