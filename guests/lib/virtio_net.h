/* A virtio network card, polled: one frame at a time, without offloads (Virtual I/O Device Specification 1.2, 5.1). */
#ifndef TELEPOD_GUESTS_VIRTIO_NET_H
#define TELEPOD_GUESTS_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#define NET_FRAME_MAX 1514
#define NET_MAC_SIZE 6

/* Finds the card and starts it. false: there is none, or it refuses; called once. */
bool net_open(uint8_t mac[NET_MAC_SIZE]);
/* The next frame, in a buffer that is the caller's until net_release(); NULL: none. It may be changed and sent. */
uint8_t *net_receive(uint32_t *size);
void net_release(void);
/* Sends a copy. Bytes: 14 .. NET_FRAME_MAX. false: all send buffers are under way. */
bool net_send(const void *frame, uint32_t size);

#endif
