/*
 * Frames through an 8254x or 82574.
 *
 * Receive: a buffer belongs to the ring, to the client, or to the free stack. A frame goes up in the buffer
 * that it arrived in and a free one takes its place; with none free, small frames still go up (by copy) and
 * big ones are dropped, so that a client that hoards buffers cannot stop acknowledgements from coming in.
 *
 * Transmit: the card reads the client's memory. What it has read is found when the next frame is queued or at
 * the next poll, never by an interrupt: Bochs loses transmit interrupts, and on any card they would cost one
 * exit each.
 */
#include "net/nic/e1000.h"

#include <stdatomic.h>
#include "mm/page.h"

/* Offsets in a frame of Ethernet, IPv4 without options, TCP. */
#define IP_START 14
#define IP_CHECKSUM_OFFSET 24
#define TCP_START 34
#define TCP_CHECKSUM_OFFSET 50

#define RING_ORDER 1 /* of its page run */

/* Slots that a transmit needs to find free before it looks for finished ones. */
#define TX_REAP_BELOW (RING_SIZE / 2)

enum err e1000_ring_alloc(struct nic *nic)
{
    struct hpa rx, tx;

    _Static_assert(sizeof(*nic->rx) * RING_SIZE == PAGE_SIZE << RING_ORDER, "a ring fills its page run");
    _Static_assert(NIC_BUFFER_COUNT * NIC_BUFFER_SIZE == PAGE_SIZE << PAGE_ORDER_MAX, "one page run");
    if (page_alloc_zeroed(RING_ORDER, &rx) != OK)
        return ERR_NO_MEMORY;
    if (page_alloc_zeroed(RING_ORDER, &tx) != OK)
        goto free_rx;
    if (page_alloc(PAGE_ORDER_MAX, &nic->buffers_base) != OK)
        goto free_tx;
    nic->rx = hpa_to_virt(rx);
    nic->tx = hpa_to_virt(tx);
    nic->buffers = hpa_to_virt(nic->buffers_base);
    return OK;

free_tx:
    page_free(tx, RING_ORDER);
free_rx:
    page_free(rx, RING_ORDER);
    return ERR_NO_MEMORY;
}

static void rx_give(struct nic *nic, uint32_t slot, uint32_t buffer)
{
    nic->rx_slot_buffer[slot] = (uint16_t)buffer;
    nic->rx[slot].address = nic->buffers_base.raw + buffer * NIC_BUFFER_SIZE;
    nic->rx[slot].status = 0;
}

static void set_ring(struct nic *nic, uint32_t base_register, const volatile void *ring)
{
    uint64_t base = virt_to_hpa((const void *)ring).raw;

    e1000_write(nic, base_register, (uint32_t)base);
    e1000_write(nic, base_register + (REG_RDBAH - REG_RDBAL), (uint32_t)(base >> 32));
    e1000_write(nic, base_register + (REG_RDLEN - REG_RDBAL), (uint32_t)(RING_SIZE * sizeof(*nic->rx)));
    e1000_write(nic, base_register + (REG_RDH - REG_RDBAL), 0);
    e1000_write(nic, base_register + (REG_RDT - REG_RDBAL), 0);
}

void e1000_ring_start(struct nic *nic)
{
    for (uint32_t i = 0; i < RING_SIZE; i++)
        rx_give(nic, i, i);
    for (uint32_t i = NIC_BUFFER_COUNT; i-- > RING_SIZE; )
        nic->free_buffers[nic->free_buffer_count++] = (uint16_t)i;
    set_ring(nic, REG_RDBAL, nic->rx);
    set_ring(nic, REG_TDBAL, nic->tx);
    /* All but one: RDH == RDT would say that the card owns none. */
    e1000_write(nic, REG_RDT, ring_previous(nic->rx_next));
}

static void tx_advance(struct nic *nic, void *cookie)
{
    nic->tx_cookie[nic->tx_tail] = cookie;
    nic->tx_tail = ring_next(nic->tx_tail);
    /* The descriptor is written before the card hears of it; x86 keeps the order of the stores. */
    atomic_signal_fence(memory_order_release);
    e1000_write(nic, REG_TDT, nic->tx_tail);
}

void e1000_ring_set_context(struct nic *nic)
{
    volatile struct e1000_tx_context *d = (volatile struct e1000_tx_context *)&nic->tx[nic->tx_tail];

    d->ipcss = IP_START;
    d->ipcso = IP_CHECKSUM_OFFSET;
    d->ipcse = TCP_START - 1;
    d->tucss = TCP_START;
    d->tucso = TCP_CHECKSUM_OFFSET;
    d->tucse = 0;
    d->status = 0;
    d->header_length = 0;
    d->mss = 0;
    d->command = (uint32_t)(TX_DTYP_CONTEXT | TX_TUCMD_TCP | TX_TUCMD_IP | TX_CMD_RS | TX_CMD_DEXT);
    tx_advance(nic, NULL);
}

/* Takes back what the card has sent. */
static void tx_reap(struct nic *nic)
{
    while (nic->tx_head != nic->tx_tail && nic->tx[nic->tx_head].status & TX_STATUS_DD) {
        void *cookie = nic->tx_cookie[nic->tx_head];

        nic->tx_head = ring_next(nic->tx_head);
        if (cookie)
            nic->client.sent(nic->client.context, cookie);
    }
}

bool nic_transmit(struct nic *nic, const void *frame, uint32_t length, bool tcp_checksum, void *cookie)
{
    volatile struct e1000_tx_data *d = &nic->tx[nic->tx_tail];

    if (ring_room(nic->tx_head, nic->tx_tail) < TX_REAP_BELOW)
        tx_reap(nic);
    if (!ring_room(nic->tx_head, nic->tx_tail)) {
        nic->stats.tx_dropped++;
        return false;
    }
    d->address = virt_to_hpa(frame).raw;
    d->command = (uint32_t)(length | TX_DTYP_DATA | TX_DCMD_EOP | TX_DCMD_IFCS | TX_CMD_RS | TX_CMD_DEXT);
    d->status = 0;
    d->popts = tcp_checksum ? TX_POPTS_TXSM : 0;
    d->special = 0;
    nic->stats.tx_frames++;
    nic->stats.tx_bytes += length;
    tx_advance(nic, cookie);
    return true;
}

void nic_buffer_free(struct nic *nic, uint32_t buffer)
{
    nic->free_buffers[nic->free_buffer_count++] = (uint16_t)buffer;
}

uint32_t nic_buffers_lent(const struct nic *nic)
{
    return NIC_BUFFER_COUNT - RING_SIZE - nic->free_buffer_count;
}

/* Is this descriptor a whole frame without errors? Marks the rest of one that needs more than one buffer. */
static bool rx_is_good(struct nic *nic, uint8_t status, uint8_t errors, uint32_t length)
{
    bool last = status & RX_STATUS_EOP, skip = nic->rx_skip;

    nic->rx_skip = !last;
    return last && !skip && !(errors & RX_ERRORS_FRAME) && length >= IP_START && length <= NIC_FRAME_MAX;
}

static void rx_take(struct nic *nic, uint32_t slot, uint8_t status)
{
    volatile struct e1000_rx_descriptor *d = &nic->rx[slot];
    uint32_t buffer = nic->rx_slot_buffer[slot], next = buffer;
    struct nic_frame frame = {
        .data = nic->buffers + buffer * NIC_BUFFER_SIZE,
        .length = d->length,
        .tcp_checksum_good = (status & (RX_STATUS_IXSM | RX_STATUS_TCPCS)) == RX_STATUS_TCPCS
                             && !(d->errors & RX_ERROR_TCPE),
        .buffer = NIC_NO_BUFFER,
    };

    if (!rx_is_good(nic, status, d->errors, frame.length)
        || (frame.length > NIC_COPY_MAX && !nic->free_buffer_count)) {
        nic->stats.rx_dropped++;
    } else {
        if (frame.length > NIC_COPY_MAX) {
            next = nic->free_buffers[--nic->free_buffer_count];
            frame.buffer = buffer;
        }
        nic->stats.rx_frames++;
        nic->stats.rx_bytes += frame.length;
        nic->client.received(nic->client.context, &frame);
    }
    rx_give(nic, slot, next);
}

uint32_t nic_poll(struct nic *nic, uint32_t budget)
{
    uint32_t count;

    tx_reap(nic);
    for (count = 0; count < budget; count++) {
        uint8_t status = nic->rx[nic->rx_next].status;

        if (!(status & RX_STATUS_DD))
            break;
        /* DD is written last: the other fields are read after it. */
        atomic_signal_fence(memory_order_acquire);
        rx_take(nic, nic->rx_next, status);
        nic->rx_next = ring_next(nic->rx_next);
    }
    if (count) {
        atomic_signal_fence(memory_order_release);
        e1000_write(nic, REG_RDT, ring_previous(nic->rx_next));
    }
    return count;
}
