/*
 * State that VM entry and exit do not switch: CR2, DR0-DR3, DR6, a few MSRs, XCR0 and the XSAVE components. The
 * host uses none of it (no FPU in the kernel, no SYSCALL, no SWAPGS, no breakpoints; a page fault of the host is a
 * panic), so the last guest's values stay in the processor until another vCPU needs the place: an exit saves and
 * restores nothing.
 */
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "vmx/vcpu.h"
#include "vmx/vmx.h"

static const struct { uint32_t msr; uint16_t offset; } loaded_msrs[] = {
    { IA32_STAR, offsetof(struct vcpu_loaded, star) },
    { IA32_LSTAR, offsetof(struct vcpu_loaded, lstar) },
    { IA32_CSTAR, offsetof(struct vcpu_loaded, cstar) },
    { IA32_FMASK, offsetof(struct vcpu_loaded, fmask) },
    { IA32_KERNEL_GS_BASE, offsetof(struct vcpu_loaded, kernel_gs_base) },
    { IA32_TSC_AUX, offsetof(struct vcpu_loaded, tsc_aux) }, /* the last: only where RDTSCP is */
};

static unsigned loaded_msr_count(void)
{
    return vmx_controls_get()->rdtscp ? ARRAY_SIZE(loaded_msrs) : ARRAY_SIZE(loaded_msrs) - 1;
}

static uint64_t *loaded_msr(struct vcpu *vcpu, unsigned i)
{
    return (uint64_t *)((char *)&vcpu->loaded + loaded_msrs[i].offset);
}

void vcpu_make_current(struct vcpu *vcpu)
{
    struct vmx_cpu *cpu = vmx_cpu_this();
    if (cpu->current == vcpu)
        return;
    if (vmptrld(vcpu->vmcs) != VMX_SUCCEED)
        panic("VMPTRLD of 0x%llx failed", (unsigned long long)vcpu->vmcs.raw);
    cpu->current = vcpu;
}

/* With the host's XCR0, so that components which the guest has turned off are kept too. */
static void save_extended_state(struct vcpu *vcpu)
{
    uint64_t all = vmx_host_xcr0();
    if (!all) {
        fxsave(vcpu->xsave);
        *(uint64_t *)(vcpu->xsave + XSAVE_XSTATE_BV) = XSTATE_X87_SSE;
        return;
    }
    vcpu->loaded.xcr0 = xgetbv(0);
    xsetbv(0, all);
    xsave(vcpu->xsave, all);
}

static void load_extended_state(struct vcpu *vcpu)
{
    uint64_t all = vmx_host_xcr0();
    if (!all) {
        fxrstor(vcpu->xsave);
        return;
    }
    xsetbv(0, all);
    xrstor(vcpu->xsave, all);
    xsetbv(0, vcpu->loaded.xcr0);
}

void vcpu_unload(struct vcpu *vcpu)
{
    struct vmx_cpu *cpu = vmx_cpu_this();
    struct vcpu_loaded *l = &vcpu->loaded;
    if (cpu->loaded != vcpu)
        return;
    cpu->loaded = NULL;
    l->cr2 = read_cr2();
    l->dr[0] = read_dr0();
    l->dr[1] = read_dr1();
    l->dr[2] = read_dr2();
    l->dr[3] = read_dr3();
    l->dr6 = read_dr6();
    for (unsigned i = 0; i < loaded_msr_count(); i++)
        *loaded_msr(vcpu, i) = rdmsr(loaded_msrs[i].msr);
    if (vmx_host_spec_ctrl())
        l->spec_ctrl = rdmsr(IA32_SPEC_CTRL);
    save_extended_state(vcpu);
}

void vcpu_load(struct vcpu *vcpu)
{
    struct vmx_cpu *cpu = vmx_cpu_this();
    struct vcpu_loaded *l = &vcpu->loaded;
    if (cpu->loaded == vcpu)
        return;
    if (cpu->loaded)
        vcpu_unload(cpu->loaded);
    write_cr2(l->cr2);
    write_dr0(l->dr[0]);
    write_dr1(l->dr[1]);
    write_dr2(l->dr[2]);
    write_dr3(l->dr[3]);
    write_dr6(l->dr6);
    for (unsigned i = 0; i < loaded_msr_count(); i++)
        wrmsr(loaded_msrs[i].msr, *loaded_msr(vcpu, i));
    if (vmx_host_spec_ctrl()) /* a peer may have sent a bit that this processor has not got */
        wrmsr(IA32_SPEC_CTRL, l->spec_ctrl & vmx_host_spec_ctrl());
    load_extended_state(vcpu);
    cpu->loaded = vcpu;
}

void vcpu_forget(struct vcpu *vcpu)
{
    struct vmx_cpu *cpu = vmx_cpu_this();
    if (cpu->loaded == vcpu)
        cpu->loaded = NULL;
    if (cpu->current == vcpu)
        cpu->current = NULL;
    /* SDM 25.11.1 "Software Use of Virtual-Machine Control Structures": before its frame is used for anything else. */
    if (vmclear(vcpu->vmcs) != VMX_SUCCEED)
        panic("VMCLEAR of 0x%llx failed", (unsigned long long)vcpu->vmcs.raw);
}
