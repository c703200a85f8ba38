/* The table of machines: names are taken once, and nobody finds a machine that is not whole. */
#include "vmx/vm_table.h"

#include <stdio.h>
#include <string.h>
#include "kernel/spinlock.h"
#include "vmx/vm.h"

/* A slot belongs to a name from reservation to the machine's end; others see the machine once it is whole. */
static struct slot {
    bool taken;
    char name[POD_NAME_MAX];
    struct vm *vm;
} slots[VMS_MAX];
static struct spinlock slots_lock = SPINLOCK_INIT;

struct vm *vm_by_index(uint32_t index)
{
    return index < VMS_MAX ? slots[index].vm : NULL;
}

struct vm *vm_find(const char *name)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (slots[i].vm && strcmp(slots[i].vm->name, name) == 0)
            return slots[i].vm;
    return NULL;
}

enum err vm_table_reserve(const char *name, uint32_t *out)
{
    enum err e = ERR_NO_MEMORY; /* no slot left */
    spinlock_acquire(&slots_lock);
    for (uint32_t i = VMS_MAX; i-- > 0;) {
        if (slots[i].taken && strcmp(slots[i].name, name) == 0) {
            e = ERR_EXISTS;
            break;
        }
        if (!slots[i].taken) {
            *out = i;
            e = OK;
        }
    }
    if (e == OK) {
        slots[*out].taken = true;
        snprintf(slots[*out].name, sizeof slots[*out].name, "%s", name);
    }
    spinlock_release(&slots_lock);
    return e;
}

void vm_table_show(struct vm *vm)
{
    slots[vm->slot].vm = vm;
}

void vm_table_hide(uint32_t slot)
{
    slots[slot].vm = NULL;
}

void vm_table_release(uint32_t slot)
{
    spinlock_acquire(&slots_lock);
    slots[slot] = (struct slot){ 0 };
    spinlock_release(&slots_lock);
}
