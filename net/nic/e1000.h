/* What e1000.c (bring-up) and e1000_ring.c (frames) share. */
#ifndef TELEPOD_E1000_H
#define TELEPOD_E1000_H

#include "kernel/lib/addr.h"
#include "net/nic/e1000_regs.h"
#include "net/nic/nic.h"
#include "net/nic/ring.h"

#define NIC_BUFFER_SIZE 2048u /* RCTL.BSIZE */

struct e1000_model {
    uint16_t device_id;
    const char *name;
    bool is_82574;             /* TXDCTL, EERD and CTRL_EXT differ */
};

struct nic {
    const struct e1000_model *model;
    volatile uint8_t *registers;
    struct nic_client client;
    struct nic_stats stats;
    uint8_t mac[6];
    bool has_interrupts;

    volatile struct e1000_rx_descriptor *rx;   /* RING_SIZE */
    uint32_t rx_next;                          /* the next descriptor that the card fills */
    bool rx_skip;                              /* inside a frame that is too long for one buffer */
    uint16_t rx_slot_buffer[RING_SIZE];        /* which buffer each descriptor points to */
    uint8_t *buffers;                          /* NIC_BUFFER_COUNT * NIC_BUFFER_SIZE, physically contiguous */
    struct hpa buffers_base;
    uint16_t free_buffers[NIC_BUFFER_COUNT];   /* a stack of those that neither ring nor client has */
    uint32_t free_buffer_count;

    volatile struct e1000_tx_data *tx;         /* RING_SIZE */
    uint32_t tx_head, tx_tail;                 /* [head, tail): given to the card, not yet taken back */
    void *tx_cookie[RING_SIZE];                /* NULL: a context descriptor */
};

static inline uint32_t e1000_read(const struct nic *nic, uint32_t offset)
{
    return *(volatile const uint32_t *)(nic->registers + offset);
}

static inline void e1000_write(struct nic *nic, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(nic->registers + offset) = value;
}

/* Allocates rings and buffers. ERR_NO_MEMORY. */
enum err e1000_ring_alloc(struct nic *nic);
/* Tells the card where they are and fills the receive ring; receiver and transmitter must be off. */
void e1000_ring_start(struct nic *nic);
/* Queues the context that all TCP frames share; the transmitter must be on. */
void e1000_ring_set_context(struct nic *nic);

#endif
