/*
 * A card as lwIP's netif. No byte of a full frame is copied in either direction: a received frame goes up as
 * a pbuf around the card's buffer, and a frame to send is read by the card out of lwIP's pbuf, which is held
 * until then. Frames from and to guests of this pod are copied.
 */
#include "net/port/port.h"

#include <string.h>
#include "net/port/ack_merge.h"
#include "net/port/checksum.h"
#include "net/port/lwip.h"
#include "net/port/port_netif.h"

#define ETHERNET_MTU 1500

/* One for each receive buffer of the card; `custom` must be first: lwIP hands back a pointer to it. */
struct rx_pbuf {
    struct pbuf_custom custom;
    uint32_t buffer;
};

static struct rx_pbuf rx_pbufs[NIC_BUFFER_COUNT];
static struct nic *rx_nic;        /* the card that rx_pbufs belong to: there is one */
static struct port_switch above;
static struct ack_merge held_ack; /* received in this poll, not given to lwIP yet; checksum not verified */

static void rx_pbuf_free(struct pbuf *p)
{
    nic_buffer_free(rx_nic, ((struct rx_pbuf *)p)->buffer);
}

static struct pbuf *wrap(const struct nic_frame *frame)
{
    struct rx_pbuf *rx = &rx_pbufs[frame->buffer];

    rx->custom.custom_free_function = rx_pbuf_free;
    rx->buffer = frame->buffer;
    return pbuf_alloced_custom(PBUF_RAW, (u16_t)frame->length, PBUF_REF, &rx->custom, frame->data,
                               (u16_t)frame->length);
}

/* Small ones always take the full NIC_COPY_MAX, so that they come from the arena's class for received frames and no
   other. */
static struct pbuf *copy(const void *frame, uint32_t length)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, length <= NIC_COPY_MAX ? NIC_COPY_MAX : NIC_FRAME_MAX, PBUF_RAM);

    if (p) {
        memcpy(p->payload, frame, length);
        p->len = p->tot_len = (u16_t)length;
    }
    return p;
}

static void input(struct netif *netif, const struct nic_frame *frame)
{
    struct pbuf *p = frame->buffer == NIC_NO_BUFFER ? copy(frame->data, frame->length) : wrap(frame);
    u16_t check = NETIF_CHECKSUM_CHECK_TCP;

    if (!p)
        return; /* as if the wire had lost it */
    /* lwIP asks for these flags while it is in the call below and at no other time. */
    if (frame->tcp_checksum_good)
        NETIF_SET_CHECKSUM_CTRL(netif, netif->chksum_flags & ~check);
    else
        NETIF_SET_CHECKSUM_CTRL(netif, netif->chksum_flags | check);
    if (netif->input(p, netif) != ERR_OK)
        pbuf_free(p);
}

static void release_ack(struct netif *netif)
{
    struct nic_frame frame = { .data = held_ack.frame, .length = ACK_FRAME_MIN, .buffer = NIC_NO_BUFFER };

    if (held_ack.merged)
        input(netif, &frame);
    held_ack.merged = 0;
}

void port_netif_received(struct netif *netif, const struct nic_frame *frame)
{
    if (!ack_is_bare(frame->data, frame->length)) {
        release_ack(netif);
        input(netif, frame);
    } else if (ack_supersedes(&held_ack, frame->data)) {
        ack_hold(&held_ack, frame->data, held_ack.merged + 1);
    } else {
        release_ack(netif);
        ack_hold(&held_ack, frame->data, 1);
    }
}

void port_netif_flush(struct netif *netif)
{
    release_ack(netif);
}

void port_netif_received_from_guest(struct netif *netif, const void *frame, uint32_t size)
{
    struct nic_frame copied = { .data = (uint8_t *)frame, .length = size, .buffer = NIC_NO_BUFFER };

    input(netif, &copied);
}

void port_netif_sent(void *cookie)
{
    pbuf_free(cookie);
}

/* The card completes TCP's checksum from the pseudo-header's sum. False: not TCP over IPv4, lwIP has done it
   all. */
static bool prepare_checksum(uint8_t *frame)
{
    const struct eth_hdr *ethernet = (const void *)frame;
    const struct ip_hdr *ip = (const void *)(frame + SIZEOF_ETH_HDR);
    struct tcp_hdr *tcp = (void *)(frame + SIZEOF_ETH_HDR + IP_HLEN);

    if (ethernet->type != PP_HTONS(ETHTYPE_IP) || IPH_PROTO(ip) != IP_PROTO_TCP)
        return false;
    tcp->chksum = checksum_pseudo_header(ip->src.addr, ip->dest.addr, IP_PROTO_TCP,
                                         (uint16_t)(lwip_ntohs(IPH_LEN(ip)) - IP_HLEN));
    return true;
}

/* A guest's card has no checksums of ours to complete: here they are made, in a copy that lwIP does not see. */
static void deliver_to_guests(const struct pbuf *p)
{
    static uint8_t frame[NIC_FRAME_MAX];
    struct tcp_hdr *tcp = (void *)(frame + SIZEOF_ETH_HDR + IP_HLEN);

    pbuf_copy_partial(p, frame, p->tot_len, 0);
    if (prepare_checksum(frame)) /* RFC 1071: the pseudo-header's sum lies in the field and is summed up with the rest */
        tcp->chksum = (u16_t)~checksum_sum(tcp, p->tot_len - SIZEOF_ETH_HDR - IP_HLEN);
    above.deliver(above.context, frame, p->tot_len);
}

static err_t link_output(struct netif *netif, struct pbuf *p)
{
    bool tcp_checksum;
    uint32_t ways;

    if (p->tot_len < SIZEOF_ETH_HDR || p->len < SIZEOF_ETH_HDR || p->tot_len > NIC_FRAME_MAX)
        return ERR_VAL;
    ways = above.route(above.context, p->payload, p->tot_len);
    if (ways & PORT_TO_GUESTS)
        deliver_to_guests(p);
    if (!(ways & PORT_TO_CARD))
        return ERR_OK;
    /* The card takes one piece of the direct map. TCP's segments are that; fragments and the like are copied.
       */
    if (p->next || !port_can_send_from(p->payload)) {
        p = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
        if (!p)
            return ERR_MEM;
    } else {
        pbuf_ref(p);
    }
    tcp_checksum = prepare_checksum(p->payload);
    if (nic_transmit(netif->state, p->payload, p->tot_len, tcp_checksum, p))
        return ERR_OK;
    pbuf_free(p);
    return ERR_MEM;
}

static err_t init_netif(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->output = etharp_output;
    netif->linkoutput = link_output;
    netif->mtu = ETHERNET_MTU;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(netif->hwaddr, nic_mac(netif->state), ETH_HWADDR_LEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    NETIF_SET_CHECKSUM_CTRL(netif, NETIF_CHECKSUM_ENABLE_ALL & ~NETIF_CHECKSUM_GEN_TCP);
    MIB2_INIT_NETIF(netif, snmp_ifType_ethernet_csmacd, 0);
    return ERR_OK;
}

enum err port_netif_open(struct netif *netif, struct nic *nic, const struct port_switch *owner)
{
    rx_nic = nic;
    above = *owner;
    return netif_add_noaddr(netif, nic, init_netif, ethernet_input) ? OK : ERR_NO_MEMORY;
}

uint32_t port_pbufs_in_use(void)
{
    return port_arena_in_use() + (rx_nic ? nic_buffers_lent(rx_nic) : 0);
}
