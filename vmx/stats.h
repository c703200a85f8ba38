/* Counters of a vCPU and of the VMX machinery, for `stats`. */
#ifndef TELEPOD_VMX_STATS_H
#define TELEPOD_VMX_STATS_H

#include <stdint.h>

struct cpu;
struct vm;

#define VMX_EXIT_REASONS 80

struct vmx_exit_count { const char *name; uint64_t count; };

/* Fills up to `max` entries with the exit reasons that occurred (summed over vCPUs); returns how many. */
uint32_t vm_exit_counts(const struct vm *vm, struct vmx_exit_count *out, uint32_t max);
uint64_t vm_guest_ticks(const struct vm *vm);   /* TSC ticks spent in guest mode, by all vCPUs */
uint64_t vm_guest_ticks_on(const struct vm *vm, const struct cpu *cpu); /* by those that live there */

#endif
