/*
 * The frames by which a guest that runs on another pod from now on is announced there, and when they go out. To be sent
 * after COMMIT only: before it, the guest is still where it was. Pure.
 */
#ifndef TELEPOD_ANNOUNCE_H
#define TELEPOD_ANNOUNCE_H

#include <stdint.h>

/* The shortest frame of Ethernet, FCS not counted (IEEE 802.3, 3.2.8 "Pad field"). */
#define ANNOUNCE_FRAME_SIZE 60u

/* ARP Announcement: a request for the own address (RFC 5227, 2.3 "Announcing an Address"). IPv4 in network byte order. */
void announce_arp(uint8_t frame[ANNOUNCE_FRAME_SIZE], const uint8_t mac[6], uint32_t ipv4);
/* RARP: "who am I?" (RFC 903): switches learn the port from its source; it needs no IPv4 address. */
void announce_rarp(uint8_t frame[ANNOUNCE_FRAME_SIZE], const uint8_t mac[6]);

/* Frames get lost, above all right after a port came up: each announcement is repeated, the pauses growing. */
#define ANNOUNCE_TIMES 5u
/* Milliseconds from announcement `index` (0 .. ANNOUNCE_TIMES - 2) to the next. */
uint32_t announce_pause_ms(uint32_t index);

#endif
