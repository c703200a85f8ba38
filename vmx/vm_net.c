/*
 * Frames between a guest's network card and the switch. The port forwards exactly while the machine runs; the guest's
 * IPv4 addresses, which the switch learns, go into its state when it is paused and back to the switch of the pod where it
 * goes on; and a guest that came by a teleport is announced when it first runs here, which is never before COMMIT.
 */
#include "vmx/vm_net.h"

#include <stdio.h>
#include "vmx/net_backend.h"
#include "vmx/vm.h"
#include "vmx/vm_virtio.h"

_Static_assert(NET_ADDRESSES == NET_ADDRESSES_MAX, "the switch and the state agree");

/* In the network's thread. A frame for a guest that is paused, or has no buffer for it, is dropped and counted. */
static void deliver(void *context, const void *frame, uint32_t size)
{
    struct vm *vm = context;
    spinlock_acquire(&vm->device_lock);
    if (vm_devices_live(vm) &&
        virtio_net_receive(&vm->platform.virtio[VIRTIO_NET], &vm->virtio.world, frame, size))
        vm->virtio.received++;
    else
        vm->virtio.missed++;
    spinlock_release(&vm->device_lock);
}

enum err vm_net_attach(struct vm *vm, char *why, size_t why_size)
{
    const struct net_backend *net = net_backend();
    const uint8_t *mac = vm->config.mac;
    /* One that comes from elsewhere has friends on its LAN; one that is started here may be content with its neighbours. */
    if (net && vm->virtio.arrived && !net->wired()) {
        snprintf(why, why_size, "it has a network card, and this pod has no card on the guests' LAN");
        return ERR_UNSUPPORTED;
    }
    enum err e = net ? net->attach(&vm->virtio.port, vm->name, mac, deliver, vm) : ERR_NOT_FOUND;
    if (e == OK)
        return OK;
    vm->virtio.port = NULL;
    if (e == ERR_NOT_FOUND)
        snprintf(why, why_size, "it has a network card, and this pod has no network");
    else if (e == ERR_EXISTS)
        snprintf(why, why_size, "its MAC address %02x:%02x:%02x:%02x:%02x:%02x is another guest's", mac[0], mac[1], mac[2],
                 mac[3], mac[4], mac[5]);
    else
        snprintf(why, why_size, "its network card cannot be joined to the switch: %s", err_name(e));
    return e;
}

void vm_net_detach(struct vm *vm)
{
    if (vm->virtio.port)
        net_backend()->detach(vm->virtio.port);
    vm->virtio.port = NULL;
}

bool vm_net_transmit(void *context, const void *frame, uint32_t size)
{
    struct vm *vm = context;
    return vm->virtio.port && net_backend()->transmit(vm->virtio.port, frame, size);
}

void vm_net_resumed(struct vm *vm)
{
    const struct net_addresses *known = &vm->platform.net_addresses;
    if (!vm->virtio.port)
        return;
    net_backend()->set_state(vm->virtio.port, true);
    if (!vm->virtio.arrived)
        return;
    net_backend()->set_addresses(vm->virtio.port, known->ipv4, known->count);
    net_backend()->announce(vm->virtio.port);
}

void vm_net_paused(struct vm *vm)
{
    struct net_addresses *known = &vm->platform.net_addresses;
    if (!vm->virtio.port)
        return;
    known->count = net_backend()->addresses(vm->virtio.port, known->ipv4);
    net_backend()->set_state(vm->virtio.port, false);
}
