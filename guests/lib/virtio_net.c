#include "guests/lib/virtio_net.h"

#include "guests/lib/virtio.h"

#define NET_F_MAC (1ull << 5)
#define HEADER_SIZE 12u                     /* 5.1.6: struct virtio_net_hdr; all zero without offloads */
#define BUFFER_SIZE 1536u
#define BUFFERS 32u
_Static_assert(BUFFER_SIZE >= HEADER_SIZE + NET_FRAME_MAX && BUFFERS <= VIRTQUEUE_SIZE,
               "a frame a buffer, a buffer a descriptor");

enum { RECEIVE_QUEUE, SEND_QUEUE };

static struct virtio device;
static struct virtqueue receive_queue __attribute__((section(".bss.cold"), aligned(4096)));
static struct virtqueue send_queue __attribute__((section(".bss.cold"), aligned(4096)));
static uint8_t receive_buffers[BUFFERS][BUFFER_SIZE] __attribute__((section(".bss.cold")));
static uint8_t send_buffers[BUFFERS][BUFFER_SIZE] __attribute__((section(".bss.cold")));
static uint32_t free_senders;               /* a bit a buffer */
static int current = -1;                    /* the buffer that net_receive gave */

static void copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (; size >= 8; size -= 8, to += 8, from += 8)
        __builtin_memcpy(to, from, 8);
    while (size--)
        *to++ = *from++;
}

bool net_open(uint8_t mac[NET_MAC_SIZE])
{
    uint64_t features = NET_F_MAC;

    if (!virtio_open(&device, VIRTIO_ID_NET, &features) || !(features & NET_F_MAC) || !device.device
        || !virtio_queue_open(&device, &receive_queue, RECEIVE_QUEUE) || !virtio_queue_open(&device, &send_queue, SEND_QUEUE))
        return false;
    for (unsigned i = 0; i < NET_MAC_SIZE; i++)
        mac[i] = device.device[i];
    for (uint16_t i = 0; i < BUFFERS; i++)
        virtqueue_offer(&receive_queue, i, receive_buffers[i], BUFFER_SIZE, true);
    free_senders = UINT32_MAX;
    /* Polled: the device need not interrupt (2.7.7 "Used Buffer Notification Suppression"). */
    receive_queue.avail.flags = send_queue.avail.flags = 1;
    virtio_start(&device);
    virtqueue_kick(&receive_queue);
    return true;
}

uint8_t *net_receive(uint32_t *size)
{
    uint32_t length;
    int id = virtqueue_take(&receive_queue, &length);

    if (id < 0)
        return 0;
    current = id;
    *size = length > HEADER_SIZE && length <= BUFFER_SIZE ? length - HEADER_SIZE : 0;
    return receive_buffers[id] + HEADER_SIZE;
}

void net_release(void)
{
    if (current < 0)
        return;
    virtqueue_offer(&receive_queue, (uint16_t)current, receive_buffers[current], BUFFER_SIZE, true);
    current = -1;
    virtqueue_kick(&receive_queue);
}

bool net_send(const void *frame, uint32_t size)
{
    uint32_t length;
    int id;

    while ((id = virtqueue_take(&send_queue, &length)) >= 0)
        free_senders |= 1u << id;
    if (!free_senders || size > NET_FRAME_MAX)
        return false;
    id = __builtin_ctz(free_senders);
    free_senders &= ~(1u << id);
    copy(send_buffers[id] + HEADER_SIZE, frame, size);
    virtqueue_offer(&send_queue, (uint16_t)id, send_buffers[id], HEADER_SIZE + size, false);
    virtqueue_kick(&send_queue);
    return true;
}
