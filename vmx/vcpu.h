/*
 * One virtual processor: a VMCS, the registers that the VMCS does not hold, a local APIC, and the thread that runs
 * it.
 *
 * **Who touches it**: only code on vcpu->cpu, but for the atomics. Its thread lives there and kernel code is never
 * preempted, so a vCPU is out of guest mode whenever anything else runs on its CPU; other CPUs get there with
 * cpu_call(). There are no locks. What other vCPUs and devices want of it they put into its mailbox.
 *
 * **Where the state is**: in the VMCS; in gpr[]; and, for what entry and exit do not switch, either in the
 * processor itself (while this vCPU is the CPU's `loaded` one) or in struct vcpu_loaded (vmx/loaded.c).
 */
#ifndef TELEPOD_VCPU_H
#define TELEPOD_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"
#include "vmx/devices/lapic.h"
#include "vmx/entry_offsets.h"
#include "vmx/insn.h"
#include "vmx/mailbox.h"
#include "vmx/mmio.h"
#include "vmx/stats.h"
#include "vmx/vcpu_state.h"

struct thread;
struct vm;

/* Registers that stay the guest's while the host runs, because the host does not use them. */
struct vcpu_loaded {
    uint64_t cr2;
    uint64_t dr[4], dr6;
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, spec_ctrl;
    uint64_t xcr0;
};

/* An event to inject at the next entry, before anything else; info 0: none. */
struct vcpu_event {
    uint32_t info; /* VM-entry interruption-information */
    uint32_t error_code;
    uint32_t instruction_length;
};

struct vcpu {
    uint64_t gpr[GPR_COUNT];            /* the guest's while it is out of guest mode; RSP is in the VMCS */
    uint64_t host_rsp;                  /* HOST_RSP as the VMCS has it (entry.S) */

    /* identity */
    struct vm *vm;
    uint32_t index;
    uint16_t vpid;                      /* 0: no VPID */
    struct hpa vmcs;
    bool launched;                      /* VMRESUME from now on */
    struct cpu *cpu;                    /* its home: where its thread lives, for life */
    struct thread *thread;              /* NULL until vcpu_start */
    _Atomic bool stop;                  /* the thread shall end */
    _Atomic bool busy;                  /* in guest mode or near it: holds wait for its end, posts need a kick */
    _Atomic bool dead;                  /* asleep so that only NMI, INIT or a start-up IPI wakes it */
    _Atomic bool invept;                /* the EPT has changed: INVEPT before the next entry */
    bool give_way;                      /* it has sent something to a vCPU that shares its CPU: its slice ends */
    struct vcpu_mailbox mailbox;

    /* interrupts, events, time */
    struct lapic lapic;
    uint64_t lapic_deadline;            /* host TSC at which the APIC timer wants to be looked at; UINT64_MAX: never */
    bool inject_work;                   /* vcpu_inject has something to look at */
    uint32_t nmi_pending;               /* how many wait, at most NMIS_WAITING_MAX */
    struct vcpu_event event;
    uint8_t awaited_eoi;                /* whose EOI exits because another interrupt waits for it; 0: none (vmx/apicv.c) */
    bool extint_message;                /* an ExtINT message came: the PIC's next interrupt is for this vCPU */
    uint32_t pic_event;                 /* acknowledged by the PIC and not yet injected, as VM-entry information; 0: none */
    uint32_t activity;                  /* ACTIVITY_ACTIVE; _HLT, _WAIT_FOR_SIPI: waits, outside guest mode */
    uint32_t primary_controls;          /* as the VMCS has them */
    bool clock_changed;                 /* TSC_OFFSET and TSC_MULTIPLIER are to be written again */
    uint64_t tsc_adjust;                /* IA32_TSC_ADJUST: this vCPU's TSC less the machine's time; two's complement */

    /* state that is not switched at each entry */
    struct vcpu_loaded loaded;
    uint8_t *xsave;                     /* XSAVE area, 64-byte aligned, page(s) of its own */
    struct state_mtrr mtrr;
    uint64_t misc_enable;               /* IA32_MISC_ENABLE: the guest's own number, without effect */
    uint64_t cr4_allowed;               /* CR4 bits that this guest may set */

    struct mmio_cache mmio_cache;       /* decoded instructions that accessed devices */

    /* the last exit, and statistics */
    uint32_t exit_reason;
    uint64_t exit_counts[VMX_EXIT_REASONS];
    uint64_t guest_ticks;               /* TSC ticks in guest mode */
    uint64_t last_ran_tsc;              /* host TSC of its last exit, or of its waking from HLT since then */
    uint64_t events_recovered;          /* deliveries that an exit cut short and that were begun again */
};

#define ASSERT_GPR(name) _Static_assert(offsetof(struct vcpu, gpr[GPR_##name]) == VCPU_##name, "entry_offsets.h")
ASSERT_GPR(RAX);
ASSERT_GPR(RCX);
ASSERT_GPR(RDX);
ASSERT_GPR(RBX);
ASSERT_GPR(RBP);
ASSERT_GPR(RSI);
ASSERT_GPR(RDI);
ASSERT_GPR(R8);
ASSERT_GPR(R15);
_Static_assert(offsetof(struct vcpu, host_rsp) == VCPU_HOST_RSP, "entry_offsets.h");
_Static_assert(HOST_RSP == HOST_RSP_FIELD, "entry_offsets.h");

/* vmx/vcpu.c: life. Creation and end on the CPU where it lives, the others anywhere. */
/* In xAPIC mode the first one's APIC is as a PC's firmware leaves it, else all are as after reset. */
enum err vcpu_create(struct vcpu **out, struct vm *vm, uint32_t index, enum apic_mode apic_mode);
void vcpu_destroy(struct vcpu *vcpu);               /* after vcpu_join; NULL is fine */
enum err vcpu_start(struct vcpu *vcpu);             /* its thread; waits there until the machine runs */
void vcpu_join(struct vcpu *vcpu);                  /* ends the thread; the machine is held */

/* vmx/run.c */
void vcpu_thread(void *vcpu);

/* entry.S */
enum vmx_result vmx_enter(struct vcpu *vcpu, bool launched);
void vmx_exit_point(void);

/* vmx/init.c: on vcpu->cpu, out of guest mode */
void vcpu_init(struct vcpu *vcpu);                  /* an INIT: resets it, but for what INIT leaves alone, and it waits */
void vcpu_start_up(struct vcpu *vcpu, uint8_t vector);  /* a start-up IPI: runs from vector * 4 KiB, if it waits for that */
void vcpu_sleep_dead(struct vcpu *vcpu);            /* from now on only others can wake it; the guest ends if nobody is left */

/* vmx/loaded.c: on vcpu->cpu */
void vcpu_make_current(struct vcpu *vcpu);          /* VMPTRLD, if another VMCS is current */
void vcpu_load(struct vcpu *vcpu);                  /* the registers of struct vcpu_loaded and XSAVE state */
void vcpu_unload(struct vcpu *vcpu);                /* saves them, if they are in the processor */
void vcpu_forget(struct vcpu *vcpu);                /* the CPU holds nothing of it any more */

/* vmx/capture.c: on vcpu->cpu, with the vCPU out of guest mode */
void vcpu_capture(struct vcpu *vcpu, struct vcpu_state *out);       /* its mail is taken first: nothing is left behind */
void vcpu_read_state(struct vcpu *vcpu, struct vcpu_state *out);    /* without its mail */
/* What could fault in the host must have been checked (sections.c); what VM entry checks by itself need not. */
void vcpu_apply(struct vcpu *vcpu, const struct vcpu_state *state);
void vcpu_write_clock(struct vcpu *vcpu);           /* TSC_OFFSET and TSC_MULTIPLIER from its clock; VMCS current */
/* CR4 bits whose features this policy offers. */
uint64_t vcpu_cr4_allowed(const struct vm *vm);

/* vmx/inject.c */
void vcpu_inject(struct vcpu *vcpu);                /* before each entry when inject_work */
void vcpu_recover_event(struct vcpu *vcpu, uint32_t idt_vectoring_information);
bool vcpu_has_deliverable_event(struct vcpu *vcpu); /* would it wake a halted processor? `dead` counts */
void vcpu_add_nmis(struct vcpu *vcpu, uint32_t count);              /* that have come to it */
/* A fault for the guest at its present RIP. Combines with one in delivery (SDM Vol. 3A, Table 6-5). */
void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector);
void vcpu_inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);
/* Gives the guest the exception that just caused an exit; info: VM-exit interruption-information. */
void vcpu_reflect_exception(struct vcpu *vcpu, uint32_t info);

/* vmx/guest_time.c */
uint64_t vcpu_guest_tsc(const struct vcpu *vcpu);
void vcpu_lapic_advance(struct vcpu *vcpu);         /* timer expiry into IRR */
void vcpu_lapic_changed(struct vcpu *vcpu);         /* after a write to the APIC: new deadline, something to inject */
void vcpu_write_tsc(struct vcpu *vcpu, uint64_t value);             /* WRMSR of IA32_TIME_STAMP_COUNTER */
void vcpu_write_tsc_adjust(struct vcpu *vcpu, uint64_t value);      /* WRMSR of IA32_TSC_ADJUST; VMCS current */

/* vmx/step.c */
void vcpu_skip_instruction(struct vcpu *vcpu);      /* past the instruction that caused the exit */
void vcpu_skip_bytes(struct vcpu *vcpu, unsigned length);   /* the same, where the exit does not tell its length */
bool vcpu_in_64bit_mode(struct vcpu *vcpu);
uint64_t vcpu_read_gpr(struct vcpu *vcpu, unsigned gpr);
void vcpu_write_gpr(struct vcpu *vcpu, unsigned gpr, uint64_t value);

/* vmx/stop.c: the guest's end, in words: VM_HALTED, the reason in vm->reason and in the log. Never resumes. */
void vcpu_stop_guest(struct vcpu *vcpu, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, with the VMCS in the log. */
void vcpu_stop_guest_dump(struct vcpu *vcpu, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
