/* What the parts of vmx/ ask of a machine, beyond vmx/vm.h. Any CPU, unless it says otherwise. */
#ifndef TELEPOD_VM_INTERNAL_H
#define TELEPOD_VM_INTERNAL_H

#include "vmx/vm.h"

/* Both with device_lock held: a byte that the guest sent; an unfinished line goes to the log. */
void vm_console_output(struct vm *vm, char c);
void vm_console_output_bytes(struct vm *vm, const char *bytes, size_t size);
void vm_console_flush(struct vm *vm);
/* The machine is held: each vCPU does INVEPT before it enters again. */
void vm_ept_changed(struct vm *vm);
/* The devices' timers are due, or the clock has changed: on vCPU 0's CPU. Takes device_lock. */
void vm_advance_devices(struct vm *vm);
/* A device's timer was programmed: vCPU 0 looks at the new deadline. device_lock is held. */
void vm_devices_changed(struct vm *vm);
void vm_tell_end(struct vm *vm);                        /* log and watchers hear of it, once (stop.c) */
void vm_notify_watchers(struct vm *vm);
/* The machine ends, and can no longer be found: its watchers hear of it, and may then end while it still prints. Any CPU. */
void vm_release_watchers(struct vm *vm);
/* The guest touched something that does not answer; `what` says so, up to its number: "nothing answers at port". */
void vm_note_stray(struct vm *vm, struct vm_strays *strays, const char *what, uint64_t number);

/* Devices and vCPUs at their reset state, for a machine that has its memory; the opposite, which leaves it held. */
struct image_plan;
enum err vm_furnish(struct vm *vm, const struct image_plan *plan);
void vm_end_vcpus(struct vm *vm);

void vm_policy_default(struct vm *vm);                  /* the policy that this host gives a new guest */
/* The machine does not run: */
void vm_clock_start(struct vm *vm);                     /* multiplier for guest_tsc_hz; the TSC starts at 0 now */
void vm_clock_moved(struct vm *vm);                     /* vm->clock or an APIC has changed: tell the vCPUs */

#endif
