/*
 * The Internet checksum (RFC 1071), without vector registers: 64 bits a step with the carry kept. Pure.
 *
 * Sums are one's complement sums of 16-bit words as they lie in memory, folded to 16 bits and not inverted.
 * By RFC 1071, 2 (B) "Byte Order Independence" such a sum, stored back as it is, is right on the wire.
 */
#ifndef TELEPOD_NET_PORT_CHECKSUM_H
#define TELEPOD_NET_PORT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Sum over size bytes from any address; an odd last byte counts as if a zero byte followed. */
uint16_t checksum_sum(const void *data, size_t size);

/* The same under the signature of lwIP's LWIP_CHKSUM; size >= 0. */
uint16_t checksum_lwip(const void *data, int size);

/*
 * The sum over TCP's or UDP's pseudo-header (RFC 9293, 3.1): addresses as they lie in the IPv4 header,
 * protocol number, length of transport header and data in bytes. A NIC that inserts checksums wants this in
 * the checksum field.
 */
uint16_t checksum_pseudo_header(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length);

#endif
