/*
 * All devices of a guest's machine but its local APICs. struct platform holds their state and nothing else: values, no
 * pointers, so that it can be copied, checked and sent as it is. What a device needs of the pod (guest memory, the
 * console ring, a port of the switch) is in struct vm.
 *
 * vm->device_lock protects it. Times are machine time: ticks of the guest's TSC (vm_machine_time).
 */
#ifndef TELEPOD_PLATFORM_H
#define TELEPOD_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/pod_config.h"
#include "vmx/devices/acpi_pm.h"
#include "vmx/devices/fw_cfg.h"
#include "vmx/devices/ioapic.h"
#include "vmx/devices/pci.h"
#include "vmx/devices/pic.h"
#include "vmx/devices/pit.h"
#include "vmx/devices/rtc.h"
#include "vmx/devices/uart.h"
#include "vmx/devices/virtio/virtio.h"
#include "vmx/fields.h"
#include "vmx/pci_bus.h"

struct vm;

/* A device ended the machine. Whoever made the access tells vcpu_stop_guest() after it has let the lock go. */
enum platform_end { PLATFORM_GOES_ON, PLATFORM_EXIT_CODE, PLATFORM_POWER_OFF, PLATFORM_RESET };

struct platform {
    struct uart uart;                           /* COM1 */
    struct pci_host pci_host;
    struct pit pit;
    struct rtc rtc;
    struct acpi_pm pm;
    struct fw_cfg fw_cfg;
    struct pic pic;
    struct ioapic ioapic;
    struct pci_function pci[PCI_SLOTS];
    struct virtio_device virtio[VIRTIO_KINDS];
    struct net_addresses net_addresses;         /* noted when the machine is paused */
    /* not on the wire */
    struct pci_found pci_found;                 /* where the last access to a BAR led */
    uint32_t pci_present;                       /* a bit a slot: from the configuration */
    uint8_t end;                                /* enum platform_end */
    uint8_t exit_code;
};

/* One part of the machine's state, for saving and loading. */
struct platform_part {
    const struct section *section;
    void *object;                               /* in the struct platform that was asked */
    uint32_t instance;
};
#define PLATFORM_PARTS_MAX 64

/* State after power-on, for the configuration in vm->config. Machine time stands at 0. */
void platform_init(struct vm *vm);
/* The parts that a machine of this configuration has, in the order of the stream; returns how many. Pure. */
uint32_t platform_parts(struct platform *platform, const struct guest_config *config,
                        struct platform_part out[PLATFORM_PARTS_MAX]);

/* A device's state was changed by others than the bus: its interrupt lines follow. device_lock is held. */
void platform_update_lines(struct vm *vm);

/* The next machine time at which platform_advance has something to do; UINT64_MAX: never. device_lock is held. */
uint64_t platform_next_deadline(const struct vm *vm);
/* What the devices' clocks have done until machine time `now`, interrupts included. device_lock is held. */
void platform_advance(struct vm *vm, uint64_t now);

#endif
