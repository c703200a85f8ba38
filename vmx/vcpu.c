/*
 * A vCPU's life: its VMCS with the controls and the host's state, filled once on the CPU where it will always run
 * (so the host-state area, which describes that CPU, never changes), its thread, and its end.
 */
#include "vmx/vcpu.h"

#include <stdio.h>
#include <stdlib.h>
#include "kernel/arch/descriptors.h"
#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "mm/page.h"
#include "mm/paging.h"
#include "vmx/interrupts.h"
#include "vmx/apicv.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

#define XSAVE_AREA_ORDER 0 /* a page: XSAVE_IMAGE_SIZE and 64-byte alignment */
_Static_assert(XSAVE_IMAGE_SIZE <= PAGE_SIZE, "one page holds it");

void vmcs_access_failed(enum vmcs_field field, bool write)
{
    uint64_t error = 0;
    vmread(VM_INSTRUCTION_ERROR, &error);
    panic("%s of VMCS field 0x%x failed, VM-instruction error %u", write ? "VMWRITE" : "VMREAD", (unsigned)field,
          (unsigned)error);
}

/*
 * SDM 25.6.13 "Controls for PAUSE-Loop Exiting": PAUSEs no further apart than the gap are one loop, and a loop that lasts
 * longer than the window exits. A vCPU that is alone in its machine waits for nobody.
 */
#define PLE_GAP_TICKS 128
#define PLE_WINDOW_TICKS 4096

/*
 * SDM 25.6 to 25.8. Zeroed fields (exception-independent counts, masks, MSR areas) are zero from the VMCLEARed page
 * on.
 */
static void write_controls(struct vcpu *vcpu)
{
    const struct vmx_controls *c = vmx_controls_get();
    vcpu->primary_controls = c->primary;
    vmcs_write(PIN_BASED_VM_EXECUTION_CONTROLS, c->pin);
    vmcs_write(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, c->primary);
    vmcs_write(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, c->secondary);
    vmcs_write(PRIMARY_VM_EXIT_CONTROLS, c->exit);
    vmcs_write(VM_ENTRY_CONTROLS, c->entry);
    vmcs_write(EXCEPTION_BITMAP, BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC)); /* why: exits/event.c */
    vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
    vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
    vmcs_write(CR3_TARGET_COUNT, 0);
    if (c->secondary & SECONDARY_PAUSE_LOOP_EXITING) {
        vmcs_write(PLE_GAP, PLE_GAP_TICKS);
        vmcs_write(PLE_WINDOW, vcpu->vm->config.vcpus > 1 ? PLE_WINDOW_TICKS : UINT32_MAX);
    }
    vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION, 0);
    vmcs_write(ADDRESS_OF_MSR_BITMAPS, vmx_msr_bitmap(false).raw);
    vmcs_write(EPT_POINTER, ept_pointer(&vcpu->vm->memory.ept));
    if (vcpu->vpid)
        vmcs_write(VIRTUAL_PROCESSOR_ID, vcpu->vpid);
    vmcs_write(VMCS_LINK_POINTER, VMCS_LINK_POINTER_NONE);
    vmcs_write(GUEST_IA32_DEBUGCTL, 0);
    vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE); /* a guest in HLT waits outside guest mode */
}

/* SDM 25.5 "Host-State Area": this CPU as it is now. */
static void write_host_state(void)
{
    vmcs_write(HOST_CR0, read_cr0());
    vmcs_write(HOST_CR3, paging_cr3());
    vmcs_write(HOST_CR4, read_cr4());
    vmcs_write(HOST_CS_SELECTOR, KERNEL_CS);
    vmcs_write(HOST_SS_SELECTOR, KERNEL_DS);
    vmcs_write(HOST_DS_SELECTOR, 0);
    vmcs_write(HOST_ES_SELECTOR, 0);
    vmcs_write(HOST_FS_SELECTOR, 0);
    vmcs_write(HOST_GS_SELECTOR, 0);
    vmcs_write(HOST_TR_SELECTOR, TSS_SELECTOR);
    vmcs_write(HOST_FS_BASE, 0);
    vmcs_write(HOST_GS_BASE, rdmsr(IA32_GS_BASE));
    vmcs_write(HOST_TR_BASE, (uint64_t)cpu_this()->tss);
    vmcs_write(HOST_GDTR_BASE, (uint64_t)cpu_this()->gdt);
    vmcs_write(HOST_IDTR_BASE, (uint64_t)descriptors_idt());
    vmcs_write(HOST_IA32_SYSENTER_CS, 0);
    vmcs_write(HOST_IA32_SYSENTER_ESP, 0);
    vmcs_write(HOST_IA32_SYSENTER_EIP, 0);
    vmcs_write(HOST_IA32_PAT, rdmsr(IA32_PAT));
    vmcs_write(HOST_IA32_EFER, rdmsr(IA32_EFER));
    vmcs_write(HOST_RIP, (uint64_t)vmx_exit_point);
}

/* SDM 25.11.3 "Initializing a VMCS" */
static void init_vmcs(struct vcpu *vcpu)
{
    *(uint32_t *)hpa_to_virt(vcpu->vmcs) = vmx_controls_get()->vmcs_revision;
    if (vmclear(vcpu->vmcs) != VMX_SUCCEED)
        panic("VMCLEAR of a new VMCS failed");
    vcpu_make_current(vcpu);
    write_controls(vcpu);
    write_host_state();
    vcpu_apicv_init(vcpu);
    /* The root table's frame, and the VPID, may have been another machine's before. */
    vmx_invalidate_ept(ept_pointer(&vcpu->vm->memory.ept));
    if (vcpu->vpid)
        vmx_invalidate_vpid(vcpu->vpid);
    vcpu->clock_changed = true;
}

static enum err alloc(struct vcpu **out)
{
    struct vcpu *vcpu = calloc(1, sizeof *vcpu);
    struct hpa xsave = { 0 }, apic = { 0 };
    if (vcpu && page_alloc_zeroed(0, &vcpu->vmcs) == OK && page_alloc_zeroed(XSAVE_AREA_ORDER, &xsave) == OK &&
        page_alloc_zeroed(0, &apic) == OK) {
        vcpu->xsave = hpa_to_virt(xsave);
        lapic_attach(&vcpu->lapic, hpa_to_virt(apic), &vcpu_apic_output, vcpu);
        *out = vcpu;
        return OK;
    }
    if (xsave.raw)
        page_free(xsave, XSAVE_AREA_ORDER);
    if (vcpu && vcpu->vmcs.raw)
        page_free(vcpu->vmcs, 0);
    free(vcpu);
    return ERR_NO_MEMORY;
}

/* VPID 0 is the host's (SDM 29.1). A machine's slot in the table is its own, so no two live vCPUs share one. */
static uint16_t choose_vpid(const struct vm *vm, uint32_t index)
{
    return (uint16_t)(1 + vm->slot * VCPUS_MAX + index);
}

enum err vcpu_create(struct vcpu **out, struct vm *vm, uint32_t index, enum apic_mode apic_mode)
{
    struct vcpu *vcpu;
    if (alloc(&vcpu) != OK)
        return ERR_NO_MEMORY;
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->cpu = cpu_this();
    vcpu->vpid = vmx_controls_get()->vpid ? choose_vpid(vm, index) : 0;
    vcpu->lapic_deadline = UINT64_MAX;
    lapic_reset(&vcpu->lapic, index, index == 0, apic_mode);
    if (index == 0 && apic_mode == APIC_XAPIC)
        lapic_prepare_virtual_wire(&vcpu->lapic);
    vcpu_publish_route(vcpu);
    init_vmcs(vcpu);
    *out = vcpu;
    return OK;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (!vcpu)
        return;
    vcpu_forget(vcpu);
    page_free(vcpu->vmcs, 0);
    page_free(virt_to_hpa(vcpu->xsave), XSAVE_AREA_ORDER);
    page_free(virt_to_hpa(vcpu->lapic.page), 0);
    free(vcpu);
}

enum err vcpu_start(struct vcpu *vcpu)
{
    char name[THREAD_NAME_MAX];
    snprintf(name, sizeof name, "%s/%u", vcpu->vm->name, vcpu->index);
    return thread_create(&vcpu->thread, name, vcpu->cpu, vcpu_thread, vcpu);
}

void vcpu_join(struct vcpu *vcpu)
{
    if (!vcpu->thread)
        return;
    vcpu->stop = true;
    thread_wake(vcpu->thread); /* held, it is nowhere but in the thread's own loop, and looks at `stop` */
    thread_join(vcpu->thread);
    vcpu->thread = NULL;
}
