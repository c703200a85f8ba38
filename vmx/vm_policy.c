/*
 * The policy of a live machine: joins the pure code of vmx/cpuid.h and vmx/policy.h with this host's CPUID and
 * clock.
 */
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "vmx/cpuid.h"
#include "vmx/interrupts.h"
#include "vmx/policy.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

static void read_host_cpuid(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    (void)context;
    struct cpuid_result r = cpuid(leaf, subleaf);
    out[CPUID_EAX] = r.eax;
    out[CPUID_EBX] = r.ebx;
    out[CPUID_ECX] = r.ecx;
    out[CPUID_EDX] = r.edx;
}

static void host_policy(struct vm_policy *out)
{
    const struct cpuid_source source = { .read = read_host_cpuid };
    const struct cpuid_constraints constraints = { .tsc_hz = time_tsc_hz(), .rdtscp = vmx_controls_get()->rdtscp,
                                                   .invpcid = vmx_controls_get()->invpcid };
    cpuid_policy_build(out, &source, &constraints);
}

void vm_clock_start(struct vm *vm)
{
    bool scaled = vmx_has_tsc_scaling() && policy_tsc_needs_scaling(vm->guest_tsc_hz, time_tsc_hz());
    vm->clock.multiplier = scaled ? clock_multiplier(vm->guest_tsc_hz, time_tsc_hz()) : TSC_MULTIPLIER_ONE;
    vm->pause_tsc = time_now();
    clock_set(&vm->clock, vm->pause_guest_tsc, vm->pause_tsc);
    vm_clock_moved(vm);
}

void vm_clock_moved(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        vm->vcpus[i]->clock_changed = true; /* it sees to the rest before it runs */
        vcpu_publish_route(vm->vcpus[i]);
    }
}

void vm_policy_default(struct vm *vm)
{
    host_policy(&vm->policy);
    vm->guest_tsc_hz = vm->policy.tsc_hz;
}

void vm_policy_of(const struct vm *vm, struct vm_policy *out)
{
    *out = vm->policy;
}

enum err vm_policy_check(const struct vm_policy *policy, char *why, size_t why_size)
{
    struct vm_policy *host = malloc(sizeof *host);
    if (!host)
        return ERR_NO_MEMORY;
    host_policy(host);
    enum err e = policy_compatible(policy, host, vmx_has_tsc_scaling(), why, why_size);
    free(host);
    return e;
}

enum err vm_policy_apply(struct vm *vm, const struct vm_policy *policy)
{
    if (vm->state != VM_INCOMING)
        return ERR_STATE;
    vm->policy = *policy;
    vm->guest_tsc_hz = policy->tsc_hz;
    vm_clock_start(vm);
    return OK;
}
