/* Counters, summed over a machine's vCPUs. Read from any CPU: a count may be one exit old. */
#include "vmx/stats.h"

#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

uint32_t vm_exit_counts(const struct vm *vm, struct vmx_exit_count *out, uint32_t max)
{
    uint32_t used = 0;
    for (uint32_t reason = 0; reason < VMX_EXIT_REASONS && used < max; reason++) {
        uint64_t count = 0;
        for (uint32_t i = 0; i < vm->vcpu_count; i++)
            count += vm->vcpus[i]->exit_counts[reason];
        if (count > 0)
            out[used++] = (struct vmx_exit_count){ exit_name(reason), count };
    }
    return used;
}

uint64_t vm_guest_ticks_on(const struct vm *vm, const struct cpu *cpu)
{
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i]->cpu == cpu)
            ticks += vm->vcpus[i]->guest_ticks;
    return ticks;
}

uint64_t vm_guest_ticks(const struct vm *vm)
{
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        ticks += vm->vcpus[i]->guest_ticks;
    return ticks;
}
