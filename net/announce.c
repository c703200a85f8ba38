#include "net/announce.h"

#include <string.h>

#define MAC_SIZE 6u
#define FIRST_PAUSE_MS 50u

/* Ethernet header and ARP packet (RFC 826, "Packet format"; RFC 903 has the same with another type). */
struct arp_frame {
    uint8_t destination[MAC_SIZE], source[MAC_SIZE];
    uint8_t type[2];
    uint8_t hardware[2], protocol[2];  /* Ethernet, IPv4 */
    uint8_t hardware_size, protocol_size;
    uint8_t operation[2];
    uint8_t sender_mac[MAC_SIZE], sender_ipv4[4];
    uint8_t target_mac[MAC_SIZE], target_ipv4[4];
    uint8_t padding[18];
};
_Static_assert(sizeof(struct arp_frame) == ANNOUNCE_FRAME_SIZE, "bytes only, so no holes");

enum { TYPE_LOW_ARP = 0x06, TYPE_LOW_RARP = 0x35 };    /* 0806, 8035 */
enum { ARP_REQUEST = 1, RARP_REQUEST = 3 };

static const struct arp_frame arp_template = {
    .destination = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
    .type = { 0x08, TYPE_LOW_ARP },
    .hardware = { 0, 1 }, .protocol = { 0x08, 0 }, .hardware_size = MAC_SIZE, .protocol_size = 4,
    .operation = { 0, ARP_REQUEST },
};

void announce_arp(uint8_t frame[ANNOUNCE_FRAME_SIZE], const uint8_t mac[6], uint32_t ipv4)
{
    struct arp_frame f = arp_template;

    memcpy(f.source, mac, MAC_SIZE);
    memcpy(f.sender_mac, mac, MAC_SIZE);
    memcpy(f.sender_ipv4, &ipv4, sizeof(ipv4));
    memcpy(f.target_ipv4, &ipv4, sizeof(ipv4));
    memcpy(frame, &f, sizeof(f));
}

void announce_rarp(uint8_t frame[ANNOUNCE_FRAME_SIZE], const uint8_t mac[6])
{
    struct arp_frame f = arp_template;

    f.type[0] = 0x80;
    f.type[1] = TYPE_LOW_RARP;
    f.operation[1] = RARP_REQUEST;
    memcpy(f.source, mac, MAC_SIZE);
    memcpy(f.sender_mac, mac, MAC_SIZE);
    memcpy(f.target_mac, mac, MAC_SIZE);
    memcpy(frame, &f, sizeof(f));
}

uint32_t announce_pause_ms(uint32_t index)
{
    return FIRST_PAUSE_MS << index;
}
