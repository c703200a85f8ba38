/*
 * A machine's virtio devices at work: between the pure models (vmx/devices/virtio), the guest's memory, the pod's network
 * and the processors' interrupts.
 *
 * **Who serves a queue**: the vCPU that notifies it, in its exit, for one turn (virtio_run); what is left then, and whatever
 * waits after a teleport, the machine's worker thread, one turn a queue at a time with the CPU's other threads between.
 * vm->device_lock is held around every turn, and outside exits nothing is touched unless the machine runs
 * (vm_devices_live): a paused machine's memory stands still.
 */
#ifndef TELEPOD_VM_VIRTIO_H
#define TELEPOD_VM_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "vmx/devices/virtio/virtio.h"
#include "vmx/platform.h"

struct switch_port;
struct thread;
struct vm;

/* What is no state of the guest's: in struct vm. device_lock protects it. */
struct vm_virtio {
    struct virtio_world world;      /* this machine, to the devices */
    struct switch_port *port;       /* NULL: no network card */
    struct thread *worker;          /* NULL: no devices */
    uint32_t pending;               /* queues that the worker is to look at: bit kind * VIRTIO_QUEUES_MAX + queue */
    bool stop;                      /* the worker is to end */
    bool arrived;                   /* by a teleport, and not yet announced to the LAN */
    uint64_t received, missed;      /* frames for the guest: taken; found it paused or without a buffer */
};

struct pci_ops;
extern const struct pci_ops virtio_pci_ops;

/* Power-on state of the devices that the configuration names. The memory is there already. */
void vm_virtio_init(struct vm *vm);
/* The worker, and the port of the switch. Errors: what this pod lacks, in words. `arrives`: by a teleport. May yield. */
enum err vm_virtio_start(struct vm *vm, bool arrives, char *why, size_t why_size);
/* The opposite; the vCPUs have ended. May yield. Also when start failed, or was never called. */
void vm_virtio_end(struct vm *vm);

/* The machine runs from now on, or does not any more. device_lock is held. */
void vm_virtio_resumed(struct vm *vm);
void vm_virtio_paused(struct vm *vm);

/* Does input for the guest's console go to its virtio console? Then this takes it. device_lock is held. */
bool vm_virtio_console_is_used(const struct vm *vm);
size_t vm_virtio_console_write(struct vm *vm, const char *bytes, size_t size);

#endif
