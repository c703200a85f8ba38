/* A machine's network card and its port of the switch (vmx/net_backend.h). */
#ifndef TELEPOD_VM_NET_H
#define TELEPOD_VM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

struct vm;

enum err vm_net_attach(struct vm *vm, char *why, size_t why_size);     /* may yield */
void vm_net_detach(struct vm *vm);                                     /* may yield; without a port: nothing */
/* device_lock is held: */
bool vm_net_transmit(void *vm, const void *frame, uint32_t size);
void vm_net_resumed(struct vm *vm);
void vm_net_paused(struct vm *vm);

#endif
