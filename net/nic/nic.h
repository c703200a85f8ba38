/*
 * A network card: frames in, frames out, one interrupt. Knows nothing of what frames mean. Everything here,
 * the callbacks included, runs on the CPU that called nic_open, and nothing in here waits.
 *
 * Interrupts work in turns: one that comes masks itself; the owner polls until the ring is empty and then
 * arms it again with nic_enable_interrupts(). So a burst costs one interrupt, and nothing that arrives in
 * between is missed.
 */
#ifndef TELEPOD_NIC_H
#define TELEPOD_NIC_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define NIC_FRAME_MAX 1514     /* bytes, Ethernet header included, FCS not */
#define NIC_BUFFER_COUNT 1024  /* receive buffers of one card */
#define NIC_NO_BUFFER UINT32_MAX

struct nic;

struct nic_frame {
    uint8_t *data;
    uint32_t length;           /* bytes, 14..NIC_FRAME_MAX */
    bool tcp_checksum_good;    /* the card has verified the TCP checksum; false says nothing */
    uint32_t buffer;           /* 0 .. NIC_BUFFER_COUNT-1: the receiver's until nic_buffer_free;
                                  NIC_NO_BUFFER: data is there during the call only (small frames, NIC_COPY_MAX) */
};
#define NIC_COPY_MAX 160       /* bytes; bigger frames come in a buffer */

struct nic_client {
    /* From nic_poll. */
    void (*received)(void *context, const struct nic_frame *frame);
    /* From nic_poll and nic_transmit: the card is done with what `cookie` stands for. */
    void (*sent)(void *context, void *cookie);
    /* In the interrupt handler: note and wake. */
    void (*interrupt)(void *context);
    void *context;
};

struct nic_stats {
    uint64_t rx_frames, tx_frames, rx_bytes, tx_bytes, rx_dropped, tx_dropped, interrupts;
};

/*
 * Starts the index-th card that there is a driver for, in PCI order; its interrupts stay masked until the
 * first nic_enable_interrupts. The card is never given back. ERR_NOT_FOUND: there is none; ERR_NO_MEMORY;
 * ERR_UNSUPPORTED: it does not answer or has no address. A card whose interrupts do not arrive is told by
 * nic_has_interrupts.
 */
enum err nic_open(uint32_t index, const struct nic_client *client, struct nic **out);

/*
 * Queues a frame of 14..NIC_FRAME_MAX bytes that lies in the direct map; `cookie` (not NULL) comes back
 * through sent() when the card has read it. tcp_checksum: the frame is IPv4 without options and TCP, its
 * checksum field holds the pseudo-header's sum; the card completes it. false: the ring is full, nothing was
 * taken.
 */
bool nic_transmit(struct nic *nic, const void *frame, uint32_t length, bool tcp_checksum, void *cookie);

/* Hands up to `budget` received frames to received(), and sent frames to sent(). Returns how many were
   received. */
uint32_t nic_poll(struct nic *nic, uint32_t budget);
void nic_buffer_free(struct nic *nic, uint32_t buffer);
void nic_enable_interrupts(struct nic *nic);
bool nic_has_interrupts(const struct nic *nic);   /* false: the owner must poll by time */

/* true: also frames for other stations are received. Off at first. */
void nic_set_promiscuous(struct nic *nic, bool on);

uint32_t nic_link_mbit(struct nic *nic);          /* reads the card; 0: no link */
const uint8_t *nic_mac(const struct nic *nic);    /* 6 bytes */
const char *nic_model(const struct nic *nic);     /* "82540EM" */
const struct nic_stats *nic_get_stats(const struct nic *nic);
/* Receive buffers that received() was given and that are not back. */
uint32_t nic_buffers_lent(const struct nic *nic);

#endif
