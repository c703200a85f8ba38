/* See virtio_pci.h. Registers are read from a picture of their structure; writes go by a table of offset and width. */
#include "vmx/devices/virtio/virtio_pci.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/virtio/kinds.h"

/* ---- configuration space ---- */

#define VENDOR_VIRTIO 0x1af4        /* 4.1.2 "PCI Device Discovery" */
#define DEVICE_MODERN 0x1040        /* + the device's number of section 5 */
#define SUBSYSTEM_ID 0x1100         /* 0x40 or more for a device without the legacy interface */
#define REVISION 1

/* 4.1.4 "Virtio Structure PCI Capabilities" */
enum capability_type { CAPABILITY_COMMON = 1, CAPABILITY_NOTIFY, CAPABILITY_ISR, CAPABILITY_DEVICE, CAPABILITY_WINDOW };
struct virtio_capability {
    uint8_t id, next, length, type;
    uint8_t bar, identity, padding[2];
    uint32_t offset, size;
};
_Static_assert(sizeof(struct virtio_capability) == 16, "4.1.4");

struct virtio_config_space {
    struct pci_header header;
    struct pci_msix_capability msix;
    struct virtio_capability common, isr, device;
    struct {
        struct virtio_capability capability;
        uint32_t multiplier;
    } notify;
    struct {
        struct virtio_capability capability;
        uint32_t data;
    } window;
};

#define PART_SIZE 0x1000
#define MSIX_TABLE 0x000
#define MSIX_PBA 0x800
#define MSIX_BAR_SIZE 0x1000
#define AT(member) offsetof(struct virtio_config_space, member)
#define CAPABILITY(type_, next_, bytes, offset_, size_) \
    { .id = PCI_CAPABILITY_VENDOR, .next = (next_), .length = (bytes), .type = (type_), .bar = VIRTIO_PCI_BAR, \
      .offset = (offset_), .size = (size_) }
#define CONFIG_SPACE(number, base_class_, sub_class_) { \
    .header = { .vendor_id = VENDOR_VIRTIO, .device_id = DEVICE_MODERN + (number), .status = PCI_STATUS_CAPABILITIES, \
                .revision_id = REVISION, .sub_class = (sub_class_), .base_class = (base_class_), \
                .subsystem_vendor_id = VENDOR_VIRTIO, .subsystem_id = SUBSYSTEM_ID, .capabilities = AT(msix), \
                .interrupt_pin = PCI_PIN_INTA }, \
    .msix = { PCI_CAPABILITY_MSIX, AT(common), VIRTIO_PCI_VECTORS - 1, VIRTIO_PCI_MSIX_BAR | MSIX_TABLE, \
              VIRTIO_PCI_MSIX_BAR | MSIX_PBA }, \
    .common = CAPABILITY(CAPABILITY_COMMON, AT(isr), 16, VIRTIO_PCI_COMMON, sizeof(struct common_config)), \
    .isr = CAPABILITY(CAPABILITY_ISR, AT(device), 16, VIRTIO_PCI_ISR, 1), \
    .device = CAPABILITY(CAPABILITY_DEVICE, AT(notify), 16, VIRTIO_PCI_DEVICE, VIRTIO_CONFIG_MAX), \
    .notify = { CAPABILITY(CAPABILITY_NOTIFY, AT(window), 20, VIRTIO_PCI_NOTIFY, \
                           VIRTIO_QUEUES_MAX * VIRTIO_PCI_NOTIFY_MULTIPLIER), VIRTIO_PCI_NOTIFY_MULTIPLIER }, \
    .window = { CAPABILITY(CAPABILITY_WINDOW, 0, 20, 0, 0), 0 } }

/* 4.1.4.3 "Common configuration structure layout" */
struct common_config {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_vector, num_queues;
    uint8_t device_status, config_generation;
    uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
    uint64_t queue_desc, queue_driver, queue_device;
};
_Static_assert(sizeof(struct common_config) == 56, "4.1.4.3");

static const struct virtio_config_space config_spaces[VIRTIO_KINDS] = {
    [VIRTIO_NET] = CONFIG_SPACE(1, 0x02, 0x00),
    [VIRTIO_BLOCK] = CONFIG_SPACE(2, 0x01, 0x80),
    [VIRTIO_CONSOLE] = CONFIG_SPACE(3, 0x07, 0x80),
    [VIRTIO_ENTROPY] = CONFIG_SPACE(4, 0xff, 0x00),
};

#define MODEL(kind) [kind] = { \
    .config = &config_spaces[kind], .config_size = sizeof(config_spaces[kind]), .msix_at = AT(msix), \
    .msix_vectors = VIRTIO_PCI_VECTORS, .msix_bar = VIRTIO_PCI_MSIX_BAR, .msix_table = MSIX_TABLE, .msix_pba = MSIX_PBA, \
    .window_at = AT(window), \
    .bar_size = { [VIRTIO_PCI_BAR] = VIRTIO_PCI_BAR_SIZE, [VIRTIO_PCI_MSIX_BAR] = MSIX_BAR_SIZE } }

const struct pci_model virtio_pci_models[VIRTIO_KINDS] = {
    MODEL(VIRTIO_NET), MODEL(VIRTIO_BLOCK), MODEL(VIRTIO_CONSOLE), MODEL(VIRTIO_ENTROPY),
};

/* ---- reading ---- */

/* The queue that the driver has selected; NULL: there is none of that number. */
static struct virtqueue *selected(struct virtio_device *device)
{
    return device->queue_select < virtio_kind_of(device)->queue_count ? &device->queues[device->queue_select] : NULL;
}

/* A 64-bit set of features is seen in halves; others than the first two are empty. */
static uint32_t feature_half(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static void draw_common(struct virtio_device *device, struct common_config *c)
{
    const struct virtqueue *queue = selected(device);

    *c = (struct common_config){
        .device_feature_select = device->device_feature_select,
        .device_feature = feature_half(virtio_features(device), device->device_feature_select),
        .driver_feature_select = device->driver_feature_select,
        .driver_feature = feature_half(device->driver_features, device->driver_feature_select),
        .config_vector = device->config_vector,
        .num_queues = virtio_kind_of(device)->queue_count,
        .device_status = device->status,
        .config_generation = 0,     /* no device changes its configuration while it is used */
        .queue_select = device->queue_select,
    };
    if (!queue)
        return;                     /* 4.1.4.3.1: queue_size 0 says that there is no such queue */
    c->queue_size = queue->size;
    c->queue_vector = queue->vector;
    c->queue_enable = queue->enabled;
    c->queue_notify_off = device->queue_select;
    c->queue_desc = queue->descriptors;
    c->queue_driver = queue->available;
    c->queue_device = queue->used;
}

static uint64_t read_picture(const void *picture, size_t picture_size, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    if (offset < picture_size && size <= sizeof(value))
        memcpy(&value, (const uint8_t *)picture + offset, MIN(size, picture_size - offset));
    return value;
}

/* 4.1.4.5: reading it clears it, and lowers the pin. */
static uint64_t read_isr(struct virtio_device *device, const struct virtio_world *world)
{
    uint8_t isr = device->isr;

    device->isr = 0;
    world->line(world->context, device->kind, false);
    return isr;
}

uint64_t virtio_pci_read(struct virtio_device *device, const struct virtio_world *world, uint64_t offset, unsigned size)
{
    struct common_config common;
    uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };
    uint64_t within = offset % PART_SIZE;

    switch (offset - within) {
    case VIRTIO_PCI_COMMON:
        draw_common(device, &common);
        return read_picture(&common, sizeof(common), within, size);
    case VIRTIO_PCI_ISR: return within == 0 ? read_isr(device, world) : 0;
    case VIRTIO_PCI_DEVICE:
        virtio_kind_of(device)->config(device, config);
        return read_picture(config, virtio_kind_of(device)->config_size, within, size);
    default: return 0;
    }
}

/* ---- writing ---- */

static uint16_t known_vector(uint64_t value)
{
    return value < VIRTIO_PCI_VECTORS ? (uint16_t)value : VIRTIO_NO_VECTOR; /* 4.1.5.1.2.1 */
}

/* 3.1 "Device Initialization": after FEATURES_OK the features stand. */
static void set_driver_features(struct virtio_device *device, uint32_t value)
{
    unsigned shift = 32 * device->driver_feature_select;

    if (device->driver_feature_select < 2 && !(device->status & VIRTIO_STATUS_FEATURES_OK))
        device->driver_features = (device->driver_features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

/* 2.2 "Feature Bits": a driver that asks for what is not offered, or speaks the legacy interface, is not told FEATURES_OK. */
static bool features_acceptable(const struct virtio_device *device)
{
    return !(device->driver_features & ~virtio_features(device)) && (device->driver_features & VIRTIO_F_VERSION_1);
}

static uint32_t all_queues(const struct virtio_device *device)
{
    return (uint32_t)BIT(virtio_kind_of(device)->queue_count) - 1;
}

/* Bits are only added; NEEDS_RESET is ours. Returns the queues to look at: buffers may have been offered before. */
static uint32_t set_status(struct virtio_device *device, const struct virtio_world *world, uint8_t value)
{
    const uint8_t writable = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED |
                             VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
    bool was_alive = virtio_alive(device);

    if (value == 0) {
        virtio_reset(device, world);
        return 0;
    }
    value &= writable;
    if (!(device->status & VIRTIO_STATUS_FEATURES_OK) && !features_acceptable(device))
        value &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    device->status |= value;
    return !was_alive && virtio_alive(device) ? all_queues(device) : 0;
}

static void set_low(uint64_t *address, uint64_t value) { *address = (*address & ~0xffffffffull) | (uint32_t)value; }
static void set_high(uint64_t *address, uint64_t value) { *address = (uint32_t)*address | value << 32; }

/* What the driver sets up before it enables a queue; afterwards it stands until the reset. */
static void set_queue(struct virtio_device *device, const struct virtio_world *world, size_t field, uint64_t value)
{
    struct virtqueue *queue = selected(device);

    if (!queue)
        return;
    if (field == offsetof(struct common_config, queue_vector))
        queue->vector = known_vector(value);
    if (queue->enabled)
        return;
    switch (field) {
    case offsetof(struct common_config, queue_size):
        if (virtqueue_size_valid((uint16_t)value))
            queue->size = (uint16_t)value;
        return;
    case offsetof(struct common_config, queue_desc): set_low(&queue->descriptors, value); return;
    case offsetof(struct common_config, queue_desc) + 4: set_high(&queue->descriptors, value); return;
    case offsetof(struct common_config, queue_driver): set_low(&queue->available, value); return;
    case offsetof(struct common_config, queue_driver) + 4: set_high(&queue->available, value); return;
    case offsetof(struct common_config, queue_device): set_low(&queue->used, value); return;
    case offsetof(struct common_config, queue_device) + 4: set_high(&queue->used, value); return;
    case offsetof(struct common_config, queue_enable):
        if (value == 1 && virtqueue_valid(queue))
            queue->enabled = 1;
        else if (value == 1)
            virtio_break(device, world);
        return;
    default: return;
    }
}

/* 4.1.3.1 "Driver Requirements: PCI Device Layout": accesses are as wide as the field; others are dropped. */
static const struct common_write {
    uint8_t offset, size;
} common_writes[] = {
#define WRITE(member) { offsetof(struct common_config, member), sizeof(((struct common_config *)0)->member) }
#define WRITE64(member) { offsetof(struct common_config, member), 4 }, { offsetof(struct common_config, member) + 4, 4 }
    WRITE(device_feature_select), WRITE(driver_feature_select), WRITE(driver_feature), WRITE(config_vector),
    WRITE(device_status), WRITE(queue_select), WRITE(queue_size), WRITE(queue_vector), WRITE(queue_enable),
    WRITE64(queue_desc), WRITE64(queue_driver), WRITE64(queue_device),
#undef WRITE
#undef WRITE64
};

static bool common_writable(uint64_t offset, unsigned size)
{
    for (size_t i = 0; i < ARRAY_SIZE(common_writes); i++)
        if (common_writes[i].offset == offset && common_writes[i].size == size)
            return true;
    return false;
}

static uint32_t write_common(struct virtio_device *device, const struct virtio_world *world, uint64_t offset, unsigned size,
                             uint64_t value)
{
    if (size == 8) {                /* of a 64-bit field only: its halves */
        if (offset >= offsetof(struct common_config, queue_desc)) {
            write_common(device, world, offset, 4, (uint32_t)value);
            write_common(device, world, offset + 4, 4, value >> 32);
        }
        return 0;
    }
    if (!common_writable(offset, size))
        return 0;
    switch (offset) {
    case offsetof(struct common_config, device_feature_select): device->device_feature_select = (uint32_t)value; break;
    case offsetof(struct common_config, driver_feature_select): device->driver_feature_select = (uint32_t)value; break;
    case offsetof(struct common_config, driver_feature): set_driver_features(device, (uint32_t)value); break;
    case offsetof(struct common_config, config_vector): device->config_vector = known_vector((uint16_t)value); break;
    case offsetof(struct common_config, device_status): return set_status(device, world, (uint8_t)value);
    case offsetof(struct common_config, queue_select): device->queue_select = (uint16_t)value; break;
    default: set_queue(device, world, offset, value & (BIT(8 * size) - 1)); break;
    }
    return 0;
}

/* 4.1.5.2 "Available Buffer Notifications": the address names the queue. */
static uint32_t notify(struct virtio_device *device, const struct virtio_world *world, uint64_t within)
{
    uint64_t index = within / VIRTIO_PCI_NOTIFY_MULTIPLIER;

    return index < VIRTIO_QUEUES_MAX && virtio_run(device, (unsigned)index, world) ? (uint32_t)BIT(index) : 0;
}

uint32_t virtio_pci_write(struct virtio_device *device, const struct virtio_world *world, uint64_t offset, unsigned size,
                          uint64_t value)
{
    uint64_t within = offset % PART_SIZE;
    uint32_t queues = 0, more = 0;

    if (offset - within == VIRTIO_PCI_NOTIFY)
        return notify(device, world, within);
    if (offset - within == VIRTIO_PCI_COMMON)
        queues = write_common(device, world, within, size, value);
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
        if ((queues & BIT(i)) && virtio_run(device, i, world))
            more |= (uint32_t)BIT(i);
    return more;
}
