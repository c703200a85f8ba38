/*
 * A card as the switch's way to the wire: what guests send is copied into buffers of its own, so that a guest that ends
 * leaves nothing behind that the card still reads, and so that guests together never take more of the card's queue than
 * UPLINK_BUFFERS: the rest is lwIP's, and a guest that floods the wire cannot keep a teleport from sending. CPU 0 only.
 */
#ifndef TELEPOD_UPLINK_H
#define TELEPOD_UPLINK_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "net/nic/nic.h"

#define UPLINK_BUFFERS 128u

struct uplink {
    struct nic *nic;
    uint32_t index;                    /* of the card */
    uint32_t link_mbit;                /* as uplink_follow_link saw it last */
    uint8_t *buffers;                  /* UPLINK_BUFFERS of UPLINK_BUFFER_SIZE, in the direct map */
    uint16_t free[UPLINK_BUFFERS];
    uint32_t free_count;
    /* given by the opener */
    void (*received)(void *context, const struct nic_frame *frame);
    void (*sent)(void *cookie);        /* a cookie of nic_transmit that is not the uplink's own; may be NULL */
    void *context;
};

/* Opens the index-th card; `interrupt` is called in its interrupt handler. Errors are nic_open's. The uplink stays for ever. */
enum err uplink_open(struct uplink *uplink, uint32_t index, void (*interrupt)(void *context));
/* Sends a copy. false: no room; dropped. */
bool uplink_send(struct uplink *uplink, const void *frame, uint32_t size);
/* Logs a change of the link; true: there was one. */
bool uplink_follow_link(struct uplink *uplink);

#endif
