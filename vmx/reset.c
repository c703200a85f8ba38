/*
 * The state in which a vCPU begins, as data: real mode, as after a start-up IPI (SDM Vol. 3A, Table 10-1;
 * guests/ABI.md).
 */
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/access_rights.h"
#include "vmx/cpuid.h"
#include "vmx/vcpu_state.h"
#include "vmx/vmcs.h"

#define REAL_MODE_LIMIT 0xffffu
#define REAL_MODE_PARAGRAPH 16

static const struct vcpu_state reset_state = {
    .gpr = { .rflags = 2 },
    .segments = {
        .limit = { [0 ... SEGMENT_COUNT - 1] = REAL_MODE_LIMIT },
        .access_rights = {
            [SEGMENT_ES] = ACCESS_DATA,
            [SEGMENT_CS] = ACCESS_CODE,
            [SEGMENT_SS] = ACCESS_DATA,
            [SEGMENT_DS] = ACCESS_DATA,
            [SEGMENT_FS] = ACCESS_DATA,
            [SEGMENT_GS] = ACCESS_DATA,
            [SEGMENT_LDTR] = ACCESS_PRESENT | TYPE_LDT,
            [SEGMENT_TR] = ACCESS_PRESENT | TYPE_BUSY_TSS_32,
        },
        .gdtr_limit = REAL_MODE_LIMIT,
        .idtr_limit = REAL_MODE_LIMIT,
    },
    .control = { .cr0 = 0x60000010, .xcr0 = XCR0_X87 }, /* CD, NW, ET */
    .debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 },
    /* IA32_MISC_ENABLE: fast strings on; no branch trace store, no PEBS (SDM Vol. 4, Table 2-2). */
    .msr = { .pat = 0x0007040600070406, .misc_enable = BIT(0) | BIT(11) | BIT(12) },
};

void vcpu_state_reset(struct vcpu_state *state, uint64_t entry)
{
    const uint16_t fcw = FCW_INIT;
    const uint32_t mxcsr = MXCSR_INIT;
    *state = reset_state;
    mtrr_reset(&state->mtrr);
    state->segments.selector[SEGMENT_CS] = (uint16_t)(entry / REAL_MODE_PARAGRAPH);
    state->segments.base[SEGMENT_CS] = entry / REAL_MODE_PARAGRAPH * REAL_MODE_PARAGRAPH;
    state->gpr.rip = entry % REAL_MODE_PARAGRAPH;
    /* XSTATE_BV = 0: everything in its initial configuration; MXCSR is read from here even so (Vol. 1, 13.8.1). */
    memcpy(&state->xsave.image[XSAVE_FCW], &fcw, sizeof fcw);
    memcpy(&state->xsave.image[XSAVE_MXCSR], &mxcsr, sizeof mxcsr);
}

void vcpu_state_init(struct vcpu_state *state)
{
    struct vcpu_state kept = *state;
    vcpu_state_reset(state, 0);
    state->xsave = kept.xsave;
    state->msr = kept.msr;
    state->mtrr = kept.mtrr;
    state->control.xcr0 = kept.control.xcr0;
}
