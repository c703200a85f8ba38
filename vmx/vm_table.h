/* Who is in the table of machines; looking for one is vm_find() and vm_by_index() of vmx/vm.h. Any CPU. */
#ifndef TELEPOD_VM_TABLE_H
#define TELEPOD_VM_TABLE_H

#include <stdint.h>
#include "kernel/lib/err.h"

struct vm;

/* A slot for this name. ERR_EXISTS: the name is taken; ERR_NO_MEMORY: no slot is left. */
enum err vm_table_reserve(const char *name, uint32_t *out);
void vm_table_show(struct vm *vm);          /* others find it from now on, */
void vm_table_hide(uint32_t slot);          /* and not any more */
void vm_table_release(uint32_t slot);       /* slot and name are free */

#endif
