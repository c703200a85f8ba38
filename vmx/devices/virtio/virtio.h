/*
 * A virtio device (virtio 1.2): what all of them share, and the table by which they differ. Pure: the guest's memory, the
 * disk, the network, the console and the interrupt are functions that come with each call (struct virtio_world).
 *
 * **A broken queue breaks its device and nothing else**: DEVICE_NEEDS_RESET is set, the driver is told, and until its
 * reset the device touches no memory. **No turn is long**: virtio_run() stops after about VIRTIO_TURN_COST instructions
 * and says whether there is more; what it leaves is where it was, in the rings and in struct virtqueue's progress.
 */
#ifndef TELEPOD_VIRTIO_H
#define TELEPOD_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/virtio/dma.h"
#include "vmx/devices/virtio/virtqueue.h"
#include "vmx/fields.h"

enum virtio_kind { VIRTIO_NET, VIRTIO_BLOCK, VIRTIO_CONSOLE, VIRTIO_ENTROPY, VIRTIO_KINDS };

#define VIRTIO_QUEUES_MAX 2
#define VIRTIO_CONFIG_MAX 64        /* bytes of device-specific configuration */
#define VIRTIO_MAC_SIZE 6
#define VIRTIO_SECTOR_SIZE 512
#define VIRTIO_TURN_COST 100000     /* instructions, roughly: what one virtio_run() may take */

/* 2.1 "Device Status Field" */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER 0x02
#define VIRTIO_STATUS_DRIVER_OK 0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_NEEDS_RESET 0x40
#define VIRTIO_STATUS_FAILED 0x80

/* 6 "Reserved Feature Bits" */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_VERSION_1 (1ull << 32)

/* State: values only; those of the wire are listed in virtio.c. */
struct virtio_device {
    uint64_t driver_features;
    uint32_t device_feature_select, driver_feature_select;
    uint16_t config_vector, queue_select;
    uint8_t status, isr;
    uint8_t spoken;                 /* console: the guest's last word came this way, and not by COM1 */
    struct virtqueue queues[VIRTIO_QUEUES_MAX];
    /* from the configuration, and counted; not on the wire */
    uint8_t kind;                   /* enum virtio_kind */
    uint8_t mac[VIRTIO_MAC_SIZE];
    uint64_t capacity;              /* block: sectors */
    uint64_t dropped;               /* frames that found no buffer, or were none */
};
extern const struct section virtio_section;

/* What the pod's switch knows of a guest's network card; it travels with the guest, for its announcement. */
#define NET_ADDRESSES 4
struct net_addresses {
    uint32_t count;
    uint32_t ipv4[NET_ADDRESSES];   /* network byte order; 0 behind count */
};
extern const struct section net_addresses_section;

/* What a device asks of the machine around it. `kind` names the device. */
struct virtio_world {
    struct dma dma;
    void *context;
    bool (*may_dma)(void *context, unsigned kind);      /* is it the bus's master? Otherwise no queue is served */
    /* Interrupts: whether MSI-X is on; a message; the level of the pin. */
    bool (*uses_messages)(void *context, unsigned kind);
    void (*message)(void *context, unsigned kind, uint16_t vector);
    void (*line)(void *context, unsigned kind, bool level);
    /* false: refused, or none left */
    bool (*transmit)(void *context, const void *frame, uint32_t size);
    bool (*random)(void *context, void *to, uint32_t size);
    bool (*disk_read)(void *context, uint64_t offset, void *to, uint32_t size);
    bool (*disk_write)(void *context, uint64_t offset, const void *from, uint32_t size);
    void (*console_output)(void *context, const char *bytes, uint32_t size);
};

unsigned virtio_queue_count(enum virtio_kind kind);
/* Power-on. mac and capacity are kept from what `device` holds. */
void virtio_init(struct virtio_device *device, enum virtio_kind kind);
void virtio_init_all(struct virtio_device devices[VIRTIO_KINDS]);   /* one of each kind */
/* The driver's reset: as after power-on. */
void virtio_reset(struct virtio_device *device, const struct virtio_world *world);
/* Its driver may use it: DRIVER_OK, and not broken. */
bool virtio_alive(const struct virtio_device *device);
/* Serves queue `index`, whatever its value, for one turn. True: there is more to do, without a new notification. */
bool virtio_run(struct virtio_device *device, unsigned index, const struct virtio_world *world);

/* A frame (without FCS) for the guest. false: dropped and counted, because no buffer waits for it. */
bool virtio_net_receive(struct virtio_device *device, const struct virtio_world *world, const void *frame, uint32_t size);
/* Input for the guest; returns how many bytes it took. */
uint32_t virtio_console_receive(struct virtio_device *device, const struct virtio_world *world, const char *bytes, uint32_t size);

#endif
