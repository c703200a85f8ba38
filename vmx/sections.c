/*
 * The tables of the vCPU's groups of state, and the checks that a received state must pass. Guarantee: a state that
 * passes cannot fault the host when it is loaded into the processor's registers (WRMSR, XSETBV, XRSTOR, MOV DR).
 * What the processor itself checks at VM entry is left to it: there a bad state halts the guest with a diagnosis.
 * Pure.
 */
#include <stdio.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/mailbox.h"
#include "vmx/vcpu_state.h"
#include "vmx/vmcs.h"

#define SECTION(name_, type, table, check_) \
    { .name = name_, .version = 1, .fields = table, .field_count = ARRAY_SIZE(table), \
      .struct_size = sizeof(struct type), .check = check_ }

static enum err bad(char *why, size_t why_size, const char *field, uint64_t value)
{
    snprintf(why, why_size, "%s may not be 0x%llx", field, (unsigned long long)value);
    return ERR_INVALID;
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static const struct field gpr_fields[] = {
    FIELD_ARRAY(struct state_gpr, gpr, 0),
    FIELD(struct state_gpr, rip, 0),
    FIELD(struct state_gpr, rflags, UINT32_MAX),
};
const struct section gpr_section = SECTION("gpr", state_gpr, gpr_fields, NULL);

static const struct field segments_fields[] = {
    FIELD_ARRAY(struct state_segments, selector, 0),
    FIELD_ARRAY(struct state_segments, base, 0),
    FIELD_ARRAY(struct state_segments, limit, 0),
    FIELD_ARRAY(struct state_segments, access_rights, 0),
    FIELD(struct state_segments, gdtr_base, 0),
    FIELD(struct state_segments, idtr_base, 0),
    FIELD(struct state_segments, gdtr_limit, UINT16_MAX),
    FIELD(struct state_segments, idtr_limit, UINT16_MAX),
};
const struct section segments_section = SECTION("segments", state_segments, segments_fields, NULL);

static const struct field control_fields[] = {
    FIELD(struct state_control, cr0, UINT32_MAX),
    FIELD(struct state_control, cr2, 0),
    FIELD(struct state_control, cr3, 0),
    FIELD(struct state_control, cr4, UINT32_MAX),
    FIELD(struct state_control, efer, 0),
    FIELD(struct state_control, xcr0, 0),
    FIELD_ARRAY(struct state_control, pdpte, 0),
};

static enum err control_check(const void *decoded, char *why, size_t why_size)
{
    const struct state_control *c = decoded;
    const uint64_t efer_bits = IA32_EFER_SCE | IA32_EFER_LME | IA32_EFER_LMA | IA32_EFER_NXE;
    bool long_mode = (c->efer & IA32_EFER_LME) && (c->cr0 & CR0_PG);
    if ((c->cr0 & CR0_PG) && !(c->cr0 & CR0_PE))
        return bad(why, why_size, "CR0 (PG without PE)", c->cr0);
    if ((c->efer & ~efer_bits) || long_mode != !!(c->efer & IA32_EFER_LMA))
        return bad(why, why_size, "IA32_EFER (with this CR0)", c->efer);
    if (long_mode && !(c->cr4 & CR4_PAE))
        return bad(why, why_size, "CR4 (IA-32e mode without PAE)", c->cr4);
    if (!cpuid_xcr0_valid(c->xcr0, XCR0_OFFERED))
        return bad(why, why_size, "XCR0", c->xcr0);
    return OK;
}
const struct section control_section = SECTION("control", state_control, control_fields, control_check);

/* MOV to DR6 or DR7 with a bit of 63:32 set is a #GP (SDM Vol. 3B, 18.2.6). */
static const struct field debug_fields[] = {
    FIELD_ARRAY(struct state_debug, dr, 0),
    FIELD(struct state_debug, dr6, UINT32_MAX),
    FIELD(struct state_debug, dr7, UINT32_MAX),
};
const struct section debug_section = SECTION("debug", state_debug, debug_fields, NULL);

static const struct field msr_fields[] = {
    FIELD(struct state_msr, star, 0),
    FIELD(struct state_msr, lstar, 0),
    FIELD(struct state_msr, cstar, 0),
    FIELD(struct state_msr, fmask, UINT32_MAX),
    FIELD(struct state_msr, kernel_gs_base, 0),
    FIELD(struct state_msr, tsc_aux, UINT32_MAX),
    FIELD(struct state_msr, spec_ctrl, IA32_SPEC_CTRL_IBRS | IA32_SPEC_CTRL_STIBP | IA32_SPEC_CTRL_SSBD),
    FIELD(struct state_msr, sysenter_cs, UINT32_MAX),
    FIELD(struct state_msr, sysenter_esp, 0),
    FIELD(struct state_msr, sysenter_eip, 0),
    FIELD(struct state_msr, pat, 0),
    FIELD(struct state_msr, misc_enable, 0),
    FIELD(struct state_msr, tsc_adjust, 0),
};

/* WRMSR of an address that is not canonical is a #GP (SDM Vol. 2D, "WRMSR"). */
static enum err msr_check(const void *decoded, char *why, size_t why_size)
{
    const struct state_msr *m = decoded;
    if (!canonical(m->lstar))
        return bad(why, why_size, "IA32_LSTAR", m->lstar);
    if (!canonical(m->cstar))
        return bad(why, why_size, "IA32_CSTAR", m->cstar);
    if (!canonical(m->kernel_gs_base))
        return bad(why, why_size, "IA32_KERNEL_GS_BASE", m->kernel_gs_base);
    return OK;
}
const struct section msr_section = SECTION("msr", state_msr, msr_fields, msr_check);

static const struct field xsave_fields[] = { FIELD_ARRAY(struct state_xsave, image, 0) };

/* SDM Vol. 1, 13.8 "Operation of XRSTOR": what makes it fault in standard format. */
static enum err xsave_check(const void *decoded, char *why, size_t why_size)
{
    const uint8_t *image = ((const struct state_xsave *)decoded)->image;
    uint64_t xstate_bv, xcomp_bv;
    uint32_t mxcsr;
    memcpy(&xstate_bv, image + XSAVE_XSTATE_BV, sizeof xstate_bv);
    memcpy(&xcomp_bv, image + XSAVE_XCOMP_BV, sizeof xcomp_bv);
    memcpy(&mxcsr, image + XSAVE_MXCSR, sizeof mxcsr);
    if (xstate_bv & ~XCR0_OFFERED)
        return bad(why, why_size, "XSTATE_BV", xstate_bv);
    if (xcomp_bv != 0)
        return bad(why, why_size, "XCOMP_BV", xcomp_bv);
    for (unsigned i = XSAVE_HEADER_RESERVED; i < XSAVE_HEADER_END; i++)
        if (image[i] != 0)
            return bad(why, why_size, "a reserved byte of the XSAVE header", image[i]);
    if (mxcsr & ~MXCSR_WRITABLE)
        return bad(why, why_size, "MXCSR", mxcsr);
    return OK;
}
const struct section xsave_section = SECTION("xsave", state_xsave, xsave_fields, xsave_check);

#define INTERRUPTIBILITY_KNOWN 0xfu
static const struct field events_fields[] = {
    FIELD(struct state_events, event_info, 0),
    FIELD(struct state_events, event_error_code, 0),
    FIELD(struct state_events, event_instruction_length, 15),
    FIELD(struct state_events, nmi_pending, NMIS_WAITING_MAX),
    FIELD(struct state_events, extint_message, 1),
    FIELD(struct state_events, pic_event, 0),
    FIELD(struct state_events, interruptibility, INTERRUPTIBILITY_KNOWN),
    FIELD(struct state_events, activity, ACTIVITY_WAIT_FOR_SIPI),
    FIELD(struct state_events, pending_debug_exceptions, 0),
};

/*
 * Nothing here can fault the host: VM entry checks an injected event (SDM 27.2.1.3). Reserved bits are refused all
 * the same.
 */
static enum err events_check(const void *decoded, char *why, size_t why_size)
{
    uint32_t info = ((const struct state_events *)decoded)->event_info;
    uint32_t pic_event = ((const struct state_events *)decoded)->pic_event;
    uint32_t activity = ((const struct state_events *)decoded)->activity;
    const uint32_t known = INTERRUPTION_VALID | INTERRUPTION_ERROR_CODE_VALID | INTERRUPTION_VECTOR_MASK |
                           INTERRUPTION_TYPE_MASK << INTERRUPTION_TYPE_SHIFT;
    if ((info & ~known) || (info && !(info & INTERRUPTION_VALID)))
        return bad(why, why_size, "event_info", info);
    if (pic_event && (pic_event & ~INTERRUPTION_VECTOR_MASK) != INTERRUPTION_VALID) /* an external interrupt */
        return bad(why, why_size, "pic_event", pic_event);
    if (activity != ACTIVITY_ACTIVE && activity != ACTIVITY_HLT && activity != ACTIVITY_WAIT_FOR_SIPI)
        return bad(why, why_size, "activity", activity);
    return OK;
}
const struct section events_section = SECTION("events", state_events, events_fields, events_check);

static const struct field clock_fields[] = {
    FIELD(struct state_clock, guest_tsc, 0),
    FIELD(struct state_clock, tsc_hz, 0),
};
const struct section clock_section = SECTION("clock", state_clock, clock_fields, NULL);
