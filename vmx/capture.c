/*
 * Between struct vcpu_state and the places where a vCPU's state lives. One table says which VMCS field is which
 * member, for both directions, so that what is captured is what is applied.
 */
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

#define PLACE(field, member) \
    { field, offsetof(struct vcpu_state, member), sizeof(((struct vcpu_state *)0)->member) }
#define PLACE_SEGMENT(name) \
    PLACE(GUEST_##name##_SELECTOR, segments.selector[SEGMENT_##name]), \
    PLACE(GUEST_##name##_BASE, segments.base[SEGMENT_##name]), \
    PLACE(GUEST_##name##_LIMIT, segments.limit[SEGMENT_##name]), \
    PLACE(GUEST_##name##_ACCESS_RIGHTS, segments.access_rights[SEGMENT_##name])

static const struct { uint16_t field, offset, size; } vmcs_places[] = {
    PLACE_SEGMENT(ES), PLACE_SEGMENT(CS), PLACE_SEGMENT(SS), PLACE_SEGMENT(DS),
    PLACE_SEGMENT(FS), PLACE_SEGMENT(GS), PLACE_SEGMENT(LDTR), PLACE_SEGMENT(TR),
    PLACE(GUEST_GDTR_BASE, segments.gdtr_base),
    PLACE(GUEST_GDTR_LIMIT, segments.gdtr_limit),
    PLACE(GUEST_IDTR_BASE, segments.idtr_base),
    PLACE(GUEST_IDTR_LIMIT, segments.idtr_limit),
    PLACE(GUEST_RSP, gpr.gpr[GPR_RSP]),
    PLACE(GUEST_RIP, gpr.rip),
    PLACE(GUEST_RFLAGS, gpr.rflags),
    PLACE(GUEST_CR3, control.cr3),
    PLACE(GUEST_IA32_EFER, control.efer),
    PLACE(GUEST_PDPTE0, control.pdpte[0]),
    PLACE(GUEST_PDPTE1, control.pdpte[1]),
    PLACE(GUEST_PDPTE2, control.pdpte[2]),
    PLACE(GUEST_PDPTE3, control.pdpte[3]),
    PLACE(GUEST_DR7, debug.dr7),
    PLACE(GUEST_IA32_SYSENTER_CS, msr.sysenter_cs),
    PLACE(GUEST_IA32_SYSENTER_ESP, msr.sysenter_esp),
    PLACE(GUEST_IA32_SYSENTER_EIP, msr.sysenter_eip),
    PLACE(GUEST_IA32_PAT, msr.pat),
    PLACE(GUEST_INTERRUPTIBILITY_STATE, events.interruptibility),
    PLACE(GUEST_PENDING_DEBUG_EXCEPTIONS, events.pending_debug_exceptions),
};

static void capture_vmcs(struct vcpu_state *out)
{
    for (unsigned i = 0; i < ARRAY_SIZE(vmcs_places); i++) {
        uint64_t value = vmcs_read(vmcs_places[i].field);
        memcpy((char *)out + vmcs_places[i].offset, &value, vmcs_places[i].size);
    }
}

static void apply_vmcs(const struct vcpu_state *state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(vmcs_places); i++) {
        uint64_t value = 0;
        memcpy(&value, (const char *)state + vmcs_places[i].offset, vmcs_places[i].size);
        vmcs_write(vmcs_places[i].field, value);
    }
}

/* CR0 bits that are ours (vmx/exits/cr.c says why); PE and PG are the guest's, thanks to "unrestricted guest". */
static uint64_t cr0_mask(void)
{
    const struct vmx_controls *c = vmx_controls_get();
    return CR0_CD | CR0_NW | CR0_NE | c->cr0_fixed0 | ~c->cr0_fixed1;
}

/* SDM 25.6.6: the guest reads mask bits from the shadow and the others from the register. */
static uint64_t guest_view(enum vmcs_field real, enum vmcs_field mask, enum vmcs_field shadow)
{
    uint64_t m = vmcs_read(mask);
    return (vmcs_read(real) & ~m) | (vmcs_read(shadow) & m);
}

static void apply_control_registers(struct vcpu *vcpu, const struct state_control *control)
{
    const struct vmx_controls *c = vmx_controls_get();
    uint64_t cr0_ours = cr0_mask(), cr4_ours = ~vcpu->cr4_allowed;
    vmcs_write(CR0_GUEST_HOST_MASK, cr0_ours);
    vmcs_write(CR0_READ_SHADOW, control->cr0 & cr0_ours);
    vmcs_write(GUEST_CR0, (control->cr0 & ~cr0_ours) | c->cr0_fixed0 | CR0_NE | CR0_ET);
    vmcs_write(CR4_GUEST_HOST_MASK, cr4_ours);
    vmcs_write(CR4_READ_SHADOW, 0);
    /* MCE stays as the host has it: a machine check must reach the host, not shut the processor down. */
    vmcs_write(GUEST_CR4, (control->cr4 & ~cr4_ours) | c->cr4_fixed0 | (vmcs_read(HOST_CR4) & CR4_MCE));
    uint32_t entry = c->entry | (control->efer & IA32_EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0);
    vmcs_write(VM_ENTRY_CONTROLS, entry);
}

/* CPUID bit -> the CR4 bits that may be set with it (SDM Vol. 3A, 2.5 "Control Registers"). */
static const struct { uint64_t cr4; uint32_t leaf; uint8_t reg, bit; } cr4_features[] = {
    { CR4_VME | CR4_PVI, CPUID_LEAF_FEATURES, CPUID_EDX, 1 },
    { CR4_DE, CPUID_LEAF_FEATURES, CPUID_EDX, 2 },
    { CR4_PSE, CPUID_LEAF_FEATURES, CPUID_EDX, 3 },
    { CR4_TSD, CPUID_LEAF_FEATURES, CPUID_EDX, 4 },
    { CR4_PAE, CPUID_LEAF_FEATURES, CPUID_EDX, 6 },
    { CR4_PGE, CPUID_LEAF_FEATURES, CPUID_EDX, 13 },
    { CR4_OSFXSR, CPUID_LEAF_FEATURES, CPUID_EDX, 24 },
    { CR4_OSXMMEXCPT, CPUID_LEAF_FEATURES, CPUID_EDX, 25 },
    { CR4_PCIDE, CPUID_LEAF_FEATURES, CPUID_ECX, 17 },
    { CR4_OSXSAVE, CPUID_LEAF_FEATURES, CPUID_ECX, 26 },
    { CR4_FSGSBASE, CPUID_LEAF_EXTENDED_FEATURES, CPUID_EBX, 0 },
    { CR4_SMEP, CPUID_LEAF_EXTENDED_FEATURES, CPUID_EBX, 7 },
    { CR4_SMAP, CPUID_LEAF_EXTENDED_FEATURES, CPUID_EBX, 20 },
    { CR4_UMIP, CPUID_LEAF_EXTENDED_FEATURES, CPUID_ECX, 2 },
};

uint64_t vcpu_cr4_allowed(const struct vm *vm)
{
    uint64_t allowed = CR4_PCE; /* no CPUID bit: RDPMC is as old as the others, and exits */
    for (unsigned i = 0; i < ARRAY_SIZE(cr4_features); i++)
        if (cpuid_policy_word(&vm->policy, cr4_features[i].leaf, 0, cr4_features[i].reg) >> cr4_features[i].bit & 1)
            allowed |= cr4_features[i].cr4;
    return allowed & vmx_controls_get()->cr4_fixed1;
}

static void capture_loaded(const struct vcpu *vcpu, struct vcpu_state *out)
{
    const struct vcpu_loaded *l = &vcpu->loaded;
    out->control.cr2 = l->cr2;
    out->control.xcr0 = l->xcr0;
    memcpy(out->debug.dr, l->dr, sizeof l->dr);
    out->debug.dr6 = l->dr6;
    out->msr.star = l->star;
    out->msr.lstar = l->lstar;
    out->msr.cstar = l->cstar;
    out->msr.fmask = l->fmask;
    out->msr.kernel_gs_base = l->kernel_gs_base;
    out->msr.tsc_aux = l->tsc_aux;
    out->msr.spec_ctrl = l->spec_ctrl;
    memcpy(out->xsave.image, vcpu->xsave, XSAVE_IMAGE_SIZE);
}

static void apply_loaded(struct vcpu *vcpu, const struct vcpu_state *state)
{
    vcpu->loaded = (struct vcpu_loaded){
        .cr2 = state->control.cr2,
        .xcr0 = state->control.xcr0,
        .dr6 = state->debug.dr6,
        .star = state->msr.star,
        .lstar = state->msr.lstar,
        .cstar = state->msr.cstar,
        .fmask = state->msr.fmask,
        .kernel_gs_base = state->msr.kernel_gs_base,
        .tsc_aux = state->msr.tsc_aux,
        .spec_ctrl = state->msr.spec_ctrl,
    };
    memcpy(vcpu->loaded.dr, state->debug.dr, sizeof vcpu->loaded.dr);
    memcpy(vcpu->xsave, state->xsave.image, XSAVE_IMAGE_SIZE);
}

void vcpu_capture(struct vcpu *vcpu, struct vcpu_state *out)
{
    if (!mailbox_is_empty(&vcpu->mailbox))
        vcpu_take_mail(vcpu);
    vcpu_read_state(vcpu, out);
}

void vcpu_read_state(struct vcpu *vcpu, struct vcpu_state *out)
{
    memset(out, 0, sizeof *out);
    vcpu_make_current(vcpu);
    vcpu_unload(vcpu);
    memcpy(out->gpr.gpr, vcpu->gpr, sizeof vcpu->gpr);
    capture_vmcs(out); /* after gpr[], whose RSP is not the one */
    out->control.cr0 = guest_view(GUEST_CR0, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW);
    out->control.cr4 = guest_view(GUEST_CR4, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW);
    capture_loaded(vcpu, out);
    out->msr.tsc_adjust = vcpu->tsc_adjust;
    out->msr.misc_enable = vcpu->misc_enable;
    out->events.event_info = vcpu->event.info;
    out->events.event_error_code = vcpu->event.error_code;
    out->events.event_instruction_length = vcpu->event.instruction_length;
    out->events.nmi_pending = vcpu->nmi_pending;
    out->events.extint_message = vcpu->extint_message;
    out->events.pic_event = vcpu->pic_event;
    out->mtrr = vcpu->mtrr;
    out->events.activity = vcpu->activity;
}

void vcpu_apply(struct vcpu *vcpu, const struct vcpu_state *state)
{
    vcpu_make_current(vcpu);
    if (vmx_cpu_this()->loaded == vcpu)
        vmx_cpu_this()->loaded = NULL; /* what the processor holds is history */
    vcpu->cr4_allowed = vcpu_cr4_allowed(vcpu->vm);
    memcpy(vcpu->gpr, state->gpr.gpr, sizeof vcpu->gpr);
    apply_vmcs(state);
    apply_control_registers(vcpu, &state->control);
    apply_loaded(vcpu, state);
    vcpu->event = (struct vcpu_event){ state->events.event_info, state->events.event_error_code,
                                       state->events.event_instruction_length };
    vcpu->nmi_pending = state->events.nmi_pending;
    vcpu->extint_message = state->events.extint_message;
    vcpu->pic_event = state->events.pic_event;
    vcpu->mtrr = state->mtrr;
    vcpu->activity = state->events.activity;
    vcpu->dead = vcpu->activity == ACTIVITY_WAIT_FOR_SIPI ||
                 (vcpu->activity == ACTIVITY_HLT && !(state->gpr.rflags & RFLAGS_IF));
    vcpu->tsc_adjust = state->msr.tsc_adjust;
    vcpu->misc_enable = state->msr.misc_enable;
    vcpu->clock_changed = true;
    vcpu->inject_work = true;
}
