/* What the parts of vmx/ ask of a machine, beyond vmx/vm.h. On vm->cpu, unless it says otherwise. */
#ifndef TELEPOD_VM_INTERNAL_H
#define TELEPOD_VM_INTERNAL_H

#include "vmx/vm.h"

void vm_console_output(struct vm *vm, char c);          /* a byte that the guest sent */
void vm_console_flush(struct vm *vm);                   /* an unfinished line goes to the log */
void vm_notify_watchers(struct vm *vm);                 /* any CPU */
/* The machine ends, and can no longer be found: its watchers hear of it, and may then end while it still prints. Any CPU. */
void vm_release_watchers(struct vm *vm);
/* The guest touched something that does not answer; `what` says so, up to its number: "nothing answers at port". */
void vm_note_stray(struct vm *vm, struct vm_strays *strays, const char *what, uint32_t number);

void vm_policy_default(struct vm *vm);                  /* the policy that this host gives a new guest */
void vm_clock_start(struct vm *vm);                     /* multiplier for guest_tsc_hz; the TSC starts at 0 now */
void vm_clock_moved(struct vm *vm);                     /* vm->clock has changed: tell the vCPUs */

#endif
