/* See vm_virtio.h. The network card's way to the switch is in vmx/vm_net.c. */
#include "vmx/vm_virtio.h"

#include <stdio.h>
#include <string.h>
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "mm/guest_memory.h"
#include "vmx/cpuid.h"
#include "vmx/devices/virtio/virtio_pci.h"
#include "vmx/pci_bus.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vm_net.h"

/* Devices and slots come in the same order. */
#define SLOT(kind) (PCI_SLOT_NET + (kind))
#define KIND(slot) ((slot) - PCI_SLOT_NET)
_Static_assert(SLOT(VIRTIO_BLOCK) == PCI_SLOT_BLOCK && SLOT(VIRTIO_CONSOLE) == PCI_SLOT_CONSOLE &&
               SLOT(VIRTIO_ENTROPY) == PCI_SLOT_ENTROPY, "vmx/pci_bus.h");
_Static_assert(GUEST_DEVICE_NET == BIT(VIRTIO_NET) && GUEST_DEVICE_BLOCK == BIT(VIRTIO_BLOCK) &&
               GUEST_DEVICE_CONSOLE == BIT(VIRTIO_CONSOLE) && GUEST_DEVICE_ENTROPY == BIT(VIRTIO_ENTROPY), "pod_config.h");

#define CPUID_FEATURES 1
#define CPUID_FEATURES_ECX_RDRAND BIT(30)
#define RDRAND_ATTEMPTS 10          /* SDM Vol. 1, 7.3.17.1 "RDRAND" */

/* ---- the world of the devices ---- */

static bool dma_read(void *context, uint64_t gpa, void *to, uint32_t size)
{
    return guest_memory_read(&((struct vm *)context)->memory, (struct gpa){ gpa }, to, size) == OK;
}

static bool dma_write(void *context, uint64_t gpa, const void *from, uint32_t size)
{
    return guest_memory_write(&((struct vm *)context)->memory, (struct gpa){ gpa }, from, size) == OK;
}

static bool dma_load16(void *context, uint64_t gpa, uint16_t *value)
{
    return guest_memory_load16(&((struct vm *)context)->memory, (struct gpa){ gpa }, value) == OK;
}

static bool dma_store16(void *context, uint64_t gpa, uint16_t value)
{
    return guest_memory_store16(&((struct vm *)context)->memory, (struct gpa){ gpa }, value) == OK;
}

static bool may_dma(void *context, unsigned kind) { return pci_may_dma(context, SLOT(kind)); }
static bool uses_messages(void *context, unsigned kind) { return pci_uses_msix(context, SLOT(kind)); }
static void message(void *context, unsigned kind, uint16_t vector) { pci_raise_msix(context, SLOT(kind), vector); }
static void line(void *context, unsigned kind, bool level) { pci_set_intx(context, SLOT(kind), level); }

static bool disk_read(void *context, uint64_t offset, void *to, uint32_t size)
{
    return guest_memory_disk_read(&((struct vm *)context)->memory, offset, to, size) == OK;
}

static bool disk_write(void *context, uint64_t offset, const void *from, uint32_t size)
{
    return guest_memory_disk_write(&((struct vm *)context)->memory, offset, from, size) == OK;
}

/* The processor's generator is one for cryptography; what comes out of it goes to the guest as it is. */
static bool random_bytes(void *context, void *to, uint32_t size)
{
    (void)context;
    for (uint8_t *out = to; size > 0;) {
        uint64_t value;
        unsigned attempts = 0;
        while (!rdrand(&value))
            if (++attempts == RDRAND_ATTEMPTS)
                return false;
        uint32_t count = MIN(size, (uint32_t)sizeof value);
        memcpy(out, &value, count);
        out += count;
        size -= count;
    }
    return true;
}

static void console_output(void *context, const char *bytes, uint32_t size)
{
    vm_console_output_bytes(context, bytes, size);
}

static const struct virtio_world vm_world = {
    .dma = { dma_read, dma_write, dma_load16, dma_store16, NULL },
    .may_dma = may_dma,
    .uses_messages = uses_messages,
    .message = message,
    .line = line,
    .transmit = vm_net_transmit,
    .random = random_bytes,
    .disk_read = disk_read,
    .disk_write = disk_write,
    .console_output = console_output,
};

/* ---- registers ---- */

static void leave_to_worker(struct vm *vm, unsigned kind, uint32_t queues)
{
    vm->virtio.pending |= queues << kind * VIRTIO_QUEUES_MAX;
    if (vm->virtio.worker)
        thread_wake(vm->virtio.worker);
}

static uint64_t read_register(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size)
{
    struct vm *vm = vcpu->vm;
    (void)bar; /* the other one is the MSI-X table's, which the bus answers */
    return virtio_pci_read(&vm->platform.virtio[KIND(slot)], &vm->virtio.world, offset, size);
}

static void write_register(struct vcpu *vcpu, unsigned slot, unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    struct vm *vm = vcpu->vm;
    (void)bar;
    uint32_t more = virtio_pci_write(&vm->platform.virtio[KIND(slot)], &vm->virtio.world, offset, size, value);
    if (more)
        leave_to_worker(vm, KIND(slot), more);
}

const struct pci_ops virtio_pci_ops = { read_register, write_register };

/* ---- the worker ---- */

/* One turn for one of the queues that wait, `*last` being the one before it. True: there is more. device_lock is held. */
static bool work(struct vm *vm, unsigned *last)
{
    uint32_t pending = vm->virtio.pending, later = pending & ~((2u << *last) - 1);
    if (!pending)
        return false;
    *last = (unsigned)__builtin_ctz(later ? later : pending);
    vm->virtio.pending &= ~(uint32_t)BIT(*last);
    if (virtio_run(&vm->platform.virtio[*last / VIRTIO_QUEUES_MAX], *last % VIRTIO_QUEUES_MAX, &vm->virtio.world))
        vm->virtio.pending |= (uint32_t)BIT(*last);
    return vm->virtio.pending != 0;
}

static void worker_thread(void *arg)
{
    struct vm *vm = arg;
    unsigned last = 0;
    while (!vm->virtio.stop) {
        spinlock_acquire(&vm->device_lock);
        bool more = vm_devices_live(vm) && work(vm, &last);
        spinlock_release(&vm->device_lock);
        if (more)
            thread_yield();
        else
            thread_block();
    }
}

/* ---- a machine's life ---- */

void vm_virtio_init(struct vm *vm)
{
    struct virtio_device *devices = vm->platform.virtio;
    virtio_init_all(devices);
    memcpy(devices[VIRTIO_NET].mac, vm->config.mac, sizeof devices[VIRTIO_NET].mac);
    devices[VIRTIO_BLOCK].capacity = vm->memory.disk_size / VIRTIO_SECTOR_SIZE;
    vm->virtio.world = vm_world;
    vm->virtio.world.context = vm->virtio.world.dma.context = vm;
}

enum err vm_virtio_start(struct vm *vm, bool arrives, char *why, size_t why_size)
{
    uint32_t devices = vm->config.devices;
    if ((devices & GUEST_DEVICE_ENTROPY) && !(cpuid(CPUID_FEATURES, 0).ecx & CPUID_FEATURES_ECX_RDRAND)) {
        snprintf(why, why_size, "it has an entropy device, and this processor has no RDRAND to feed it from");
        return ERR_UNSUPPORTED;
    }
    if (!devices)
        return OK;
    if (thread_create(&vm->virtio.worker, "virtio", vm->cpu, worker_thread, vm) != OK) {
        vm->virtio.worker = NULL;
        snprintf(why, why_size, "there is no memory for its devices' thread");
        return ERR_NO_MEMORY;
    }
    vm->virtio.arrived = arrives;
    return devices & GUEST_DEVICE_NET ? vm_net_attach(vm, why, why_size) : OK;
}

void vm_virtio_end(struct vm *vm)
{
    vm_net_detach(vm);
    if (!vm->virtio.worker)
        return;
    vm->virtio.stop = true;
    thread_wake(vm->virtio.worker);
    thread_join(vm->virtio.worker);
    vm->virtio.worker = NULL;
}

/* A request may wait in a ring since before the pause, unnoticed or half done: all queues are looked at again. */
void vm_virtio_resumed(struct vm *vm)
{
    for (unsigned kind = 0; kind < VIRTIO_KINDS; kind++)
        if (vm->config.devices & BIT(kind))
            leave_to_worker(vm, kind, (uint32_t)BIT(VIRTIO_QUEUES_MAX) - 1);
    vm_net_resumed(vm);
    vm->virtio.arrived = false;
}

void vm_virtio_paused(struct vm *vm)
{
    vm_net_paused(vm);
}

/* ---- console input ---- */

bool vm_virtio_console_is_used(const struct vm *vm)
{
    const struct virtio_device *console = &vm->platform.virtio[VIRTIO_CONSOLE];
    return (vm->config.devices & GUEST_DEVICE_CONSOLE) && console->spoken && virtio_alive(console);
}

size_t vm_virtio_console_write(struct vm *vm, const char *bytes, size_t size)
{
    if (!vm_devices_live(vm))
        return 0;
    return virtio_console_receive(&vm->platform.virtio[VIRTIO_CONSOLE], &vm->virtio.world, bytes,
                                  (uint32_t)MIN(size, UINT32_MAX));
}
