/*
 * VM exits: one table from exit reason to name and handler (exits/table.c), one file a family of handlers. A
 * handler runs with the vCPU's VMCS current and its registers loaded, never yields, and either moves the guest on,
 * injects an event, or stops the guest with a sentence. Nothing that a guest does ends anything but that guest.
 */
#ifndef TELEPOD_EXITS_H
#define TELEPOD_EXITS_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

enum exit_action {
    EXIT_REENTER, /* go on in this slice */
    EXIT_LEAVE,   /* others first: an interrupt waits, the slice is over, the guest sleeps or is stopped */
};

typedef enum exit_action exit_handler(struct vcpu *vcpu);

/* Looks at the exit that just happened, counts it, and calls its handler. */
enum exit_action exit_dispatch(struct vcpu *vcpu);
/* The manual's name of a basic exit reason; "unknown" for what is none. */
const char *exit_name(uint32_t basic_reason);

/* event.c */
exit_handler exit_exception_or_nmi, exit_external_interrupt, exit_triple_fault, exit_window, exit_task_switch;
exit_handler exit_entry_failure, exit_ignored_signal, exit_preemption_timer, exit_unexpected;
exit_handler exit_apic_access, exit_apic_write, exit_virtualized_eoi;     /* apic.c */
exit_handler exit_cpuid, exit_xsetbv;                                    /* cpuid.c */
exit_handler exit_hlt, exit_pause;                                       /* hlt.c */
exit_handler exit_io;                                                    /* io.c, io_string.c */
exit_handler exit_rdmsr, exit_wrmsr;                                     /* msr.c */
exit_handler exit_control_register;                                      /* cr.c */
exit_handler exit_ept_violation, exit_ept_misconfiguration;              /* ept.c */
exit_handler exit_undefined, exit_general_protection, exit_no_operation; /* refused.c */

/*
 * Clears the bits of MSRs that guests read and write without an exit (SDM 25.6.9 "MSR-Bitmap Address"); 4 KiB. x2apic:
 * also of those that "virtualize x2APIC mode", "APIC-register virtualization" and "virtual-interrupt delivery" serve.
 */
void msr_fill_bitmap(uint8_t *bitmap, bool rdtscp, bool x2apic, bool spec_ctrl);

#endif
