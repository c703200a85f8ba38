/* Exits that no instruction caused: exceptions, interrupts, windows, the preemption timer, and what ends a guest. */
#include "kernel/arch/insn.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

/* SDM Vol. 3B, 18.2.3 "Debug Status Register (DR6)", 18.2.4 "Debug Control Register (DR7)" */
#define DR6_B0_TO_B3 0xfULL
#define DR6_STICKY (BIT(13) | BIT(14)) /* BD, BS */
#define DR7_GD BIT(13)

static unsigned long long guest_rip(void)
{
    return vmcs_read(GUEST_RIP);
}

/* SDM 28.1 "Architectural State Before a VM Exit": a #DB that exits has changed neither DR6 nor DR7: done here. */
static void deliver_debug_exception(struct vcpu *vcpu, uint32_t info)
{
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION); /* Table 28-1: bits as in DR6 */
    write_dr6((read_dr6() & ~DR6_B0_TO_B3) | (qualification & (DR6_B0_TO_B3 | DR6_STICKY)));
    vmcs_write(GUEST_DR7, vmcs_read(GUEST_DR7) & ~DR7_GD);
    /* 27.3.1.5: in the shadow of STI or MOV SS, a set TF must come with a pending single step. */
    const uint64_t shadow = INTERRUPTIBILITY_BLOCKING_BY_STI | INTERRUPTIBILITY_BLOCKING_BY_MOV_SS;
    if ((vmcs_read(GUEST_RFLAGS) & RFLAGS_TF) && (vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & shadow))
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
    vcpu_reflect_exception(vcpu, info);
}

/*
 * Of the guest's exceptions only #DB, #AC and #MC exit. #DB and #AC because a guest whose handler for them raises them
 * again would loop inside the processor, where neither interrupt nor timer gets through; #MC because it is the host's.
 */
enum exit_action exit_exception_or_nmi(struct vcpu *vcpu)
{
    uint32_t info = (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION);
    uint32_t type = info >> INTERRUPTION_TYPE_SHIFT & INTERRUPTION_TYPE_MASK, vector = info & INTERRUPTION_VECTOR_MASK;
    if (type == INTERRUPTION_NMI) {
        raise_host_nmi();
        return EXIT_REENTER;
    }
    /* 28.2.3: an IRET that faulted had unblocked NMIs before; it will be executed again. */
    if ((info & INTERRUPTION_NMI_UNBLOCKING_DUE_TO_IRET) && !vcpu->event.info && vector != VECTOR_DF)
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   vmcs_read(GUEST_INTERRUPTIBILITY_STATE) | INTERRUPTIBILITY_BLOCKING_BY_NMI);
    switch (vector) {
    case VECTOR_MC:
        raise_host_machine_check();
        return EXIT_REENTER;
    case VECTOR_DB:
        deliver_debug_exception(vcpu, info);
        return EXIT_REENTER;
    default:
        vcpu_reflect_exception(vcpu, info);
        return EXIT_REENTER;
    }
}

/* Not acknowledged at the exit: the host's dispatcher takes it in thread_yield(). */
enum exit_action exit_external_interrupt(struct vcpu *vcpu)
{
    (void)vcpu;
    return EXIT_LEAVE;
}

/* The slice is over or the APIC timer is due: the run loop looks at both. */
enum exit_action exit_preemption_timer(struct vcpu *vcpu)
{
    (void)vcpu;
    return EXIT_REENTER;
}

/* The guest can take what waits now: vcpu_inject has it. */
enum exit_action exit_window(struct vcpu *vcpu)
{
    vcpu->inject_work = true;
    return EXIT_REENTER;
}

enum exit_action exit_ignored_signal(struct vcpu *vcpu)
{
    (void)vcpu;
    return EXIT_LEAVE;
}

enum exit_action exit_triple_fault(struct vcpu *vcpu)
{
    vcpu_stop_guest(vcpu, "triple fault at RIP 0x%llx, CR2 0x%llx", guest_rip(), (unsigned long long)read_cr2());
    return EXIT_LEAVE;
}

enum exit_action exit_task_switch(struct vcpu *vcpu)
{
    vcpu_stop_guest(vcpu, "hardware task switch to selector 0x%x at RIP 0x%llx: not emulated",
                    (unsigned)(vmcs_read(EXIT_QUALIFICATION) & 0xffff), guest_rip()); /* Table 28-2 */
    return EXIT_LEAVE;
}

/* SDM 27.8 "VM-Entry Failures During or After Loading Guest State" */
enum exit_action exit_entry_failure(struct vcpu *vcpu)
{
    vcpu_stop_guest_dump(vcpu, "%s (qualification %llu) at RIP 0x%llx",
                         exit_name(vcpu->exit_reason & EXIT_REASON_BASIC_MASK),
                         (unsigned long long)vmcs_read(EXIT_QUALIFICATION), guest_rip());
    return EXIT_LEAVE;
}

enum exit_action exit_unexpected(struct vcpu *vcpu)
{
    uint32_t basic = vcpu->exit_reason & EXIT_REASON_BASIC_MASK;
    vcpu_stop_guest_dump(vcpu, "VM exit %u (%s) that nothing should cause, at RIP 0x%llx", basic, exit_name(basic),
                         guest_rip());
    return EXIT_LEAVE;
}
