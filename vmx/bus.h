/*
 * The buses of a guest's machine: which device answers at a port or at a guest-physical address. What nobody answers
 * reads as all ones and swallows writes, as an empty bus does; it is counted, and the first few are logged.
 *
 * Every access runs with vm->device_lock held: a device's functions neither yield nor stop the guest themselves
 * (struct platform_end in vmx/platform.h says how one does that).
 */
#ifndef TELEPOD_BUS_H
#define TELEPOD_BUS_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* A device behind a range. `offset`: from the start of the range; size: 1, 2, 4 or 8 bytes, all inside the range. */
struct bus_ops {
    uint64_t (*read)(struct vcpu *vcpu, uint64_t offset, unsigned size);
    void (*write)(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value);
};

/* size: 1, 2 or 4. A device that is narrower than the access, or ends within it, is asked byte by byte. */
uint32_t bus_port_read(struct vcpu *vcpu, uint16_t port, unsigned size);
void bus_port_write(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value);

/* size: 1, 2, 4 or 8, not across a 4 KiB boundary; gpa: outside RAM. */
uint64_t bus_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned size);
void bus_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value);

#endif
