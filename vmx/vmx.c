/*
 * VMX on, on every CPU. Guarantee: after vmx_init either every CPU is in VMX root operation with the same controls,
 * or none takes part and vmx_unavailable_reason() says why; the pod goes on in both cases.
 */
#include "vmx/vmx.h"

#include <stdio.h>
#include <stdlib.h>
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/page.h"
#include "vmx/apicv.h"
#include "vmx/caps.h"
#include "vmx/cpuid.h"
#include "vmx/exits/exits.h"
#include "vmx/insn.h"
#include "vmx/vcpu_state.h"
#include "vmx/vm.h"

#define REASON_MAX 200

static struct vmx_controls controls;
static bool available;
static char reason[REASON_MAX] = "vmx_init has not run";
static uint64_t host_xcr0, host_spec_ctrl;
static struct hpa msr_bitmaps[2]; /* with x2APIC registers that exit, and without */

bool vmx_available(void) { return available; }
const char *vmx_unavailable_reason(void) { return available ? "" : reason; }
const struct vmx_controls *vmx_controls_get(void) { return &controls; }
bool vmx_has_tsc_scaling(void) { return available && controls.tsc_scaling; }
uint64_t vmx_host_xcr0(void) { return host_xcr0; }
uint64_t vmx_host_spec_ctrl(void) { return host_spec_ctrl; }
struct hpa vmx_msr_bitmap(bool x2apic) { return msr_bitmaps[x2apic]; }
struct vmx_cpu *vmx_cpu_this(void) { return cpu_this()->vmx; }

void vmx_invalidate_ept(uint64_t eptp)
{
    if (invept(INVEPT_SINGLE_CONTEXT, eptp) != VMX_SUCCEED)
        panic("INVEPT of EPTP 0x%llx failed", (unsigned long long)eptp);
}

void vmx_invalidate_vpid(uint16_t vpid)
{
    if (invvpid(INVVPID_SINGLE_CONTEXT, vpid, 0) != VMX_SUCCEED)
        panic("INVVPID of VPID %u failed", vpid);
}

/*
 * XSAVE components that guests may use: those that the pod offers, that the processor has, and that lie where struct
 * state_xsave expects them (the standard format's offsets are the processor's choice: SDM Vol. 1, 13.4.3).
 */
static uint64_t choose_xcr0(void)
{
    static const struct { uint64_t component; uint32_t index, offset; } places[] = {
        { BIT(2), 2, 576 }, { BIT(5), 5, 1088 }, { BIT(6), 6, 1152 }, { BIT(7), 7, 1664 },
    };
    if (!(cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_01_ECX_XSAVE))
        return 0;
    struct cpuid_result main_leaf = cpuid(CPUID_LEAF_XSAVE, 0);
    uint64_t xcr0 = ((uint64_t)main_leaf.edx << 32 | main_leaf.eax) & XCR0_OFFERED;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        if ((xcr0 & places[i].component) && cpuid(CPUID_LEAF_XSAVE, places[i].index).ebx != places[i].offset)
            xcr0 &= places[i].component == XCR0_AVX ? ~(XCR0_AVX | XCR0_AVX512) : ~XCR0_AVX512;
    return (xcr0 & XCR0_AVX512) == XCR0_AVX512 ? xcr0 : xcr0 & ~XCR0_AVX512;
}

/* SDM Vol. 2A, "CPUID", leaf 07H: EDX bits 26, 27 and 31 say which bits IA32_SPEC_CTRL has. */
static uint64_t find_spec_ctrl(void)
{
    static const struct { unsigned cpuid_bit; uint64_t bit; } bits[] = {
        { 26, IA32_SPEC_CTRL_IBRS }, { 27, IA32_SPEC_CTRL_STIBP }, { 31, IA32_SPEC_CTRL_SSBD },
    };
    uint64_t found = 0;
    if (cpuid(CPUID_LEAF_BASIC_MAX, 0).eax < CPUID_LEAF_EXTENDED_FEATURES)
        return 0;
    uint32_t edx = cpuid(CPUID_LEAF_EXTENDED_FEATURES, 0).edx;
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        if (edx & BIT(bits[i].cpuid_bit))
            found |= bits[i].bit;
    return found;
}

/*
 * SDM 24.8 "Restrictions on VMX Operation" and A.7, A.8: bits that VMXON demands. FPU usable: XSAVE and XRSTOR run
 * here.
 */
static void prepare_control_registers(void)
{
    write_cr0((read_cr0() | controls.cr0_fixed0 | CR0_NE | CR0_MP) & ~(CR0_TS | CR0_EM));
    write_cr4(read_cr4() | controls.cr4_fixed0 | CR4_VMXE | CR4_OSFXSR | CR4_OSXMMEXCPT |
              (host_xcr0 ? CR4_OSXSAVE : 0));
    if (host_xcr0)
        xsetbv(0, host_xcr0);
}

/* SDM 24.7 "Enabling and Entering VMX Operation": an unlocked MSR is ours to set and lock. */
static void allow_vmxon(void)
{
    uint64_t value = rdmsr(IA32_FEATURE_CONTROL);
    if (!(value & IA32_FEATURE_CONTROL_LOCK))
        wrmsr(IA32_FEATURE_CONTROL, value | IA32_FEATURE_CONTROL_VMX_OUTSIDE_SMX | IA32_FEATURE_CONTROL_LOCK);
}

struct cpu_start {
    enum err result;
    char why[REASON_MAX];
};

static bool same_controls(const struct vmx_controls *a, const struct vmx_controls *b)
{
    return a->pin == b->pin && a->primary == b->primary && a->secondary == b->secondary && a->exit == b->exit &&
           a->entry == b->entry && a->vmcs_revision == b->vmcs_revision && a->cr0_fixed0 == b->cr0_fixed0 &&
           a->cr4_fixed0 == b->cr4_fixed0 && a->apicv == b->apicv && a->preemption_timer_shift == b->preemption_timer_shift;
}

static void same_controls_here(struct cpu_start *start)
{
    struct vmx_caps caps;
    struct vmx_controls here;
    vmx_caps_read(&caps);
    start->result = vmx_controls_negotiate(&caps, apicv_is_allowed(), &here, start->why, sizeof start->why);
    if (start->result == OK && !same_controls(&here, &controls)) {
        snprintf(start->why, sizeof start->why, "CPU %u has other VMX capabilities than CPU 0", cpu_this()->index);
        start->result = ERR_UNSUPPORTED;
    }
}

/* On each CPU. */
static void start_cpu(void *arg)
{
    struct cpu_start *start = arg;
    struct vmx_cpu *vmx = calloc(1, sizeof *vmx);
    same_controls_here(start);
    if (start->result == OK && (!vmx || page_alloc_zeroed(0, &vmx->vmxon_region) != OK)) {
        snprintf(start->why, sizeof start->why, "out of memory for the VMXON region of CPU %u", cpu_this()->index);
        start->result = ERR_NO_MEMORY;
    }
    if (start->result != OK) {
        free(vmx);
        return;
    }
    allow_vmxon();
    prepare_control_registers();
    *(uint32_t *)hpa_to_virt(vmx->vmxon_region) = controls.vmcs_revision; /* SDM 25.11.5 "VMXON Region" */
    if (vmxon(vmx->vmxon_region) != VMX_SUCCEED) {
        snprintf(start->why, sizeof start->why, "VMXON failed on CPU %u", cpu_this()->index);
        start->result = ERR_UNSUPPORTED;
        page_free(vmx->vmxon_region, 0);
        free(vmx);
        return;
    }
    cpu_this()->vmx = vmx;
}

static void stop_cpu(void *arg)
{
    (void)arg;
    struct vmx_cpu *vmx = vmx_cpu_this();
    if (!vmx)
        return;
    vmxoff();
    write_cr4(read_cr4() & ~CR4_VMXE);
    page_free(vmx->vmxon_region, 0);
    free(vmx);
    cpu_this()->vmx = NULL;
}

static enum err start_all_cpus(void)
{
    for (uint32_t i = 0; i < cpu_count(); i++) {
        struct cpu_start start = { .result = ERR_UNSUPPORTED };
        cpu_call(cpu_by_index(i), start_cpu, &start);
        if (start.result == OK)
            continue;
        snprintf(reason, sizeof reason, "%s", start.why);
        for (uint32_t j = 0; j < i; j++)
            cpu_call(cpu_by_index(j), stop_cpu, NULL);
        return start.result;
    }
    return OK;
}

static enum err make_msr_bitmaps(void)
{
    for (unsigned x2apic = 0; x2apic < ARRAY_SIZE(msr_bitmaps); x2apic++) {
        if (page_alloc_zeroed(0, &msr_bitmaps[x2apic]) != OK) {
            snprintf(reason, sizeof reason, "out of memory for the MSR bitmaps");
            return ERR_NO_MEMORY;
        }
        msr_fill_bitmap(hpa_to_virt(msr_bitmaps[x2apic]), controls.rdtscp, x2apic, host_spec_ctrl);
    }
    return OK;
}

enum err vmx_init(void)
{
    struct vmx_caps caps;
    vmx_caps_read(&caps);
    enum err e = vmx_controls_negotiate(&caps, apicv_is_allowed(), &controls, reason, sizeof reason);
    if (e == OK) {
        host_xcr0 = choose_xcr0();
        host_spec_ctrl = find_spec_ctrl();
        e = make_msr_bitmaps();
    }
    if (e == OK)
        e = start_all_cpus();
    if (e != OK) {
        log_error("vmx", "no guests on this pod: %s", reason);
        return ERR_UNSUPPORTED;
    }
    available = true;
    log_info("vmx", "VT-x on %u CPU(s): EPT with A/D bits, unrestricted guest%s%s%s%s; XCR0 0x%llx", cpu_count(),
             controls.vpid ? ", VPID" : "", controls.tsc_scaling ? ", TSC scaling" : "",
             controls.apicv ? ", APIC virtualization" : ", APICs in software",
             controls.pml ? ", PML (unused)" : "", (unsigned long long)host_xcr0);
    return OK;
}
