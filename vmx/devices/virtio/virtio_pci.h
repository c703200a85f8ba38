/*
 * The PCI transport of virtio devices (virtio 1.2, section 4.1 "Virtio Over PCI Bus"), modern only: where the registers lie
 * in the device's BARs, and what an access to them does. Every queue has a notification address of its own, so that what
 * is written there does not matter. Pure.
 */
#ifndef TELEPOD_VIRTIO_PCI_H
#define TELEPOD_VIRTIO_PCI_H

#include <stdint.h>
#include "vmx/devices/pci.h"
#include "vmx/devices/virtio/virtio.h"

/* The registers' BAR, in parts of a page each; the MSI-X table and pending bits are in the next one. */
#define VIRTIO_PCI_BAR 0
#define VIRTIO_PCI_COMMON 0x0000
#define VIRTIO_PCI_ISR 0x1000
#define VIRTIO_PCI_DEVICE 0x2000
#define VIRTIO_PCI_NOTIFY 0x3000
#define VIRTIO_PCI_BAR_SIZE 0x4000
#define VIRTIO_PCI_NOTIFY_MULTIPLIER 4
#define VIRTIO_PCI_MSIX_BAR 1
#define VIRTIO_PCI_VECTORS (VIRTIO_QUEUES_MAX + 1)

extern const struct pci_model virtio_pci_models[VIRTIO_KINDS];

/* Accesses to VIRTIO_PCI_BAR; size 1, 2, 4 or 8. What no register answers reads as 0 and swallows writes. */
uint64_t virtio_pci_read(struct virtio_device *device, const struct virtio_world *world, uint64_t offset, unsigned size);
/* Returns the queues (a bit each) that have more to do than one turn: virtio_run() again, soon. */
uint32_t virtio_pci_write(struct virtio_device *device, const struct virtio_world *world, uint64_t offset, unsigned size,
                          uint64_t value);

#endif
