/*
 * The architectural state of one vCPU in named groups: what reset gives, what a teleport carries, what the VMCS and
 * the processor's registers hold while the vCPU lives. Each group has a table of its fields (vmx/sections.c), from
 * which size, save, load and the dissector come. Members are called as the SDM calls the registers. Pure: no
 * hardware in here.
 */
#ifndef TELEPOD_VCPU_STATE_H
#define TELEPOD_VCPU_STATE_H

#include <stdint.h>
#include "vmx/fields.h"
#include "vmx/mtrr.h"

/* Order of the general-purpose registers as instructions encode them (SDM Vol. 2, Table 3-1; RSP's place is 4). */
enum gpr {
    GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
    GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15, GPR_COUNT
};

struct state_gpr {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip, rflags;
};

enum segment { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS, SEGMENT_LDTR, SEGMENT_TR,
               SEGMENT_COUNT };

/* access_rights: the VMCS's format (SDM 25.4.1, Table 25-2 "Format of Access Rights"). */
struct state_segments {
    uint16_t selector[SEGMENT_COUNT];
    uint64_t base[SEGMENT_COUNT];
    uint32_t limit[SEGMENT_COUNT];
    uint32_t access_rights[SEGMENT_COUNT];
    uint64_t gdtr_base, idtr_base;
    uint32_t gdtr_limit, idtr_limit;
};

/* CR0 and CR4 as the guest reads them. CR8 is the APIC's TPR. PDPTEs count with PAE paging only. */
struct state_control {
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint64_t xcr0;
    uint64_t pdpte[4];
};

struct state_debug {
    uint64_t dr[4], dr6, dr7;
};

struct state_msr {
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, spec_ctrl;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat;
    uint64_t misc_enable;
    uint64_t tsc_adjust;            /* IA32_TSC_ADJUST */
};

/*
 * The XSAVE area in standard format (SDM Vol. 1, 13.4 "XSAVE Area"): legacy region, header, and the components up to
 * Hi16_ZMM at their offsets, which are the same on every processor with AVX-512 and which vmx_init checks.
 */
#define XSAVE_IMAGE_SIZE 2688
struct state_xsave {
    uint8_t image[XSAVE_IMAGE_SIZE];
};

/* Offsets in the image. */
#define XSAVE_FCW 0
#define XSAVE_MXCSR 24
#define XSAVE_XSTATE_BV 512
#define XSAVE_XCOMP_BV 520
#define XSAVE_HEADER_RESERVED 528
#define XSAVE_HEADER_END 576
#define FCW_INIT 0x037f
#define XSTATE_X87_SSE 3u
#define MXCSR_INIT 0x1f80
#define MXCSR_WRITABLE 0xffffu

/* Events on their way into the guest. `event` is one whose delivery was cut short by a VM exit; 0: none. */
struct state_events {
    uint32_t event_info;            /* format of the VM-entry interruption-information field */
    uint32_t event_error_code;
    uint32_t event_instruction_length;
    uint32_t nmi_pending;           /* how many wait: 0, 1 or, while none is handled, 2 */
    uint32_t extint_message;        /* 0 or 1: an ExtINT message came, the PIC's next interrupt is for this vCPU */
    uint32_t pic_event;             /* an interrupt of the PIC's that was acknowledged and not yet delivered; as event_info */
    uint32_t interruptibility;
    uint32_t activity;              /* ACTIVITY_ACTIVE, ACTIVITY_HLT or ACTIVITY_WAIT_FOR_SIPI */
    uint64_t pending_debug_exceptions;
};

struct vcpu_state {
    struct state_gpr gpr;
    struct state_segments segments;
    struct state_control control;
    struct state_debug debug;
    struct state_msr msr;
    struct state_xsave xsave;
    struct state_events events;
    struct state_mtrr mtrr;
};

/* The machine's clock at its pause. */
struct state_clock {
    uint64_t guest_tsc, tsc_hz;
};

extern const struct section gpr_section, segments_section, control_section, debug_section, msr_section, xsave_section,
    events_section, clock_section;

/* As guests/ABI.md says: real mode, CS:IP at `entry` (below 1 MiB), everything else as after a start-up IPI. */
void vcpu_state_reset(struct vcpu_state *state, uint64_t entry);
/* What an INIT makes of it (SDM Vol. 3A, Table 10-1): as reset, but FPU and XSAVE state, XCR0 and MSRs stay. */
void vcpu_state_init(struct vcpu_state *state);

#endif
