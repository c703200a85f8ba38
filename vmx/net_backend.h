/*
 * Where the frames of the guests' network cards go, and where those for them come from. vmx/ does not know the room that
 * has the switch: that room fills this table and registers it at boot, before the first guest is made. Without one,
 * frames go nowhere.
 */
#ifndef TELEPOD_NET_BACKEND_H
#define TELEPOD_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define NET_MAC_SIZE 6
#define NET_ADDRESSES_MAX 4     /* IPv4 addresses of a guest that are remembered for its announcement */

struct switch_port;             /* the backend's; opaque here */

struct net_backend {
    /*
     * A port for a guest's network card; it does not forward yet. While it does, `deliver` is called for each frame that
     * the card gets: from one thread, that is no vCPU's, without any lock held; it copies the frame and does not yield.
     * `name` is the guest's. Errors: ERR_EXISTS (the address is taken), ERR_INVALID, ERR_NO_MEMORY, ERR_NOT_FOUND (the
     * pod has no network). From any thread that may yield.
     */
    enum err (*attach)(struct switch_port **out, const char *name, const uint8_t mac[NET_MAC_SIZE],
                       void (*deliver)(void *context, const void *frame, uint32_t size), void *context);
    /* Do the guests' cards reach the world outside of this pod? Any CPU. */
    bool (*wired)(void);
    /* Nothing is delivered after it has returned. From any thread that may yield. */
    void (*detach)(struct switch_port *port);
    /*
     * A frame that the guest sent, without FCS: copied. From an exit on any CPU, with vm->device_lock held: it does not
     * yield. false: dropped and counted there.
     */
    bool (*transmit)(struct switch_port *port, const void *frame, uint32_t size);
    /* A guest that does not run neither sends nor receives. Any CPU, with vm->device_lock held. */
    void (*set_state)(struct switch_port *port, bool forwarding);
    /* The guest has come here by a teleport and runs: tell the LAN so, at once and several times more. Any CPU. */
    void (*announce)(struct switch_port *port);
    /* IPv4 addresses (network byte order) that the guest was seen to use; they travel with it. Any CPU. */
    uint32_t (*addresses)(const struct switch_port *port, uint32_t ipv4[NET_ADDRESSES_MAX]);
    void (*set_addresses)(struct switch_port *port, const uint32_t *ipv4, uint32_t count);
};

void net_backend_register(const struct net_backend *backend);   /* once, at boot; it must stay */
const struct net_backend *net_backend(void);                    /* NULL: none */

#endif
