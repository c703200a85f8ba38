/*
 * What lwIP must know of the compiler and of the kernel below it. lwIP includes this file before all others.
 *
 * Its assertions stay in the pod: they state lwIP's own invariants, which no frame can break; one that fails
 * is our bug (a callback that frees the wrong thing), and a panic with a backtrace is worth more than a
 * corrupt queue.
 */
#ifndef TELEPOD_NET_PORT_ARCH_CC_H
#define TELEPOD_NET_PORT_ARCH_CC_H

#include <stddef.h>
#include <stdint.h>
#include "kernel/log.h"

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_LIMITS_H 0

/* Only LWIP_DEBUG would print; what goes wrong for the pod's purposes is said by its own rooms. */
#define LWIP_PLATFORM_DIAG(message) do { } while (0)
#define LWIP_PLATFORM_ASSERT(message) panic("lwIP: %s (%s:%d)", message, __FILE__, __LINE__)

/* Byte swaps as instructions instead of calls. */
#define lwip_htons(x) ((u16_t)__builtin_bswap16((u16_t)(x)))
#define lwip_ntohs(x) lwip_htons(x)
#define lwip_htonl(x) ((u32_t)__builtin_bswap32((u32_t)(x)))
#define lwip_ntohl(x) lwip_htonl(x)

/* Small copies of a known size become moves, although lwIP is compiled with -fno-builtin. */
#define SMEMCPY(to, from, size) __builtin_memcpy(to, from, size)

/* net/port/checksum.h; declared here because lwIP wants the name before it includes anything of ours. */
uint16_t checksum_lwip(const void *data, int size);
#define LWIP_CHKSUM checksum_lwip

uint32_t port_random(void);
#define LWIP_RAND() port_random()

#endif
