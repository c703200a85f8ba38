/* Exit reason -> name and handler. A reason without a handler of its own stops the guest and names itself. */
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"

static const struct {
    const char *name;       /* SDM Vol. 3D, Appendix C, "Basic Exit Reasons" */
    exit_handler *handler;
} exits[] = {
    [EXIT_REASON_EXCEPTION_OR_NMI] = { "exception or NMI", exit_exception_or_nmi },
    [EXIT_REASON_EXTERNAL_INTERRUPT] = { "external interrupt", exit_external_interrupt },
    [EXIT_REASON_TRIPLE_FAULT] = { "triple fault", exit_triple_fault },
    [EXIT_REASON_INIT_SIGNAL] = { "INIT signal", exit_ignored_signal },
    [EXIT_REASON_SIPI] = { "start-up IPI", exit_ignored_signal },
    [EXIT_REASON_IO_SMI] = { "I/O SMI", exit_ignored_signal },
    [EXIT_REASON_OTHER_SMI] = { "other SMI", exit_ignored_signal },
    [EXIT_REASON_INTERRUPT_WINDOW] = { "interrupt window", exit_window },
    [EXIT_REASON_NMI_WINDOW] = { "NMI window", exit_window },
    [EXIT_REASON_TASK_SWITCH] = { "task switch", exit_task_switch },
    [EXIT_REASON_CPUID] = { "CPUID", exit_cpuid },
    [EXIT_REASON_GETSEC] = { "GETSEC", exit_undefined },
    [EXIT_REASON_HLT] = { "HLT", exit_hlt },
    [EXIT_REASON_INVD] = { "INVD", exit_no_operation },
    [EXIT_REASON_INVLPG] = { "INVLPG", exit_unexpected },
    [EXIT_REASON_RDPMC] = { "RDPMC", exit_general_protection },
    [EXIT_REASON_RDTSC] = { "RDTSC", exit_unexpected },
    [EXIT_REASON_RSM] = { "RSM", exit_undefined },
    [EXIT_REASON_VMCALL] = { "VMCALL", exit_undefined },
    [EXIT_REASON_VMCLEAR] = { "VMCLEAR", exit_undefined },
    [EXIT_REASON_VMLAUNCH] = { "VMLAUNCH", exit_undefined },
    [EXIT_REASON_VMPTRLD] = { "VMPTRLD", exit_undefined },
    [EXIT_REASON_VMPTRST] = { "VMPTRST", exit_undefined },
    [EXIT_REASON_VMREAD] = { "VMREAD", exit_undefined },
    [EXIT_REASON_VMRESUME] = { "VMRESUME", exit_undefined },
    [EXIT_REASON_VMWRITE] = { "VMWRITE", exit_undefined },
    [EXIT_REASON_VMXOFF] = { "VMXOFF", exit_undefined },
    [EXIT_REASON_VMXON] = { "VMXON", exit_undefined },
    [EXIT_REASON_CONTROL_REGISTER_ACCESSES] = { "control-register access", exit_control_register },
    [EXIT_REASON_MOV_DR] = { "MOV DR", exit_unexpected },
    [EXIT_REASON_IO_INSTRUCTION] = { "I/O instruction", exit_io },
    [EXIT_REASON_RDMSR] = { "RDMSR", exit_rdmsr },
    [EXIT_REASON_WRMSR] = { "WRMSR", exit_wrmsr },
    [EXIT_REASON_ENTRY_FAILURE_INVALID_GUEST_STATE] = { "VM-entry failure: invalid guest state", exit_entry_failure },
    [EXIT_REASON_ENTRY_FAILURE_MSR_LOADING] = { "VM-entry failure: MSR loading", exit_entry_failure },
    [EXIT_REASON_MWAIT] = { "MWAIT", exit_undefined },
    [EXIT_REASON_MONITOR_TRAP_FLAG] = { "monitor trap flag", exit_unexpected },
    [EXIT_REASON_MONITOR] = { "MONITOR", exit_undefined },
    [EXIT_REASON_PAUSE] = { "PAUSE", exit_pause },
    [EXIT_REASON_ENTRY_FAILURE_MACHINE_CHECK] = { "VM-entry failure: machine check", exit_entry_failure },
    [EXIT_REASON_TPR_BELOW_THRESHOLD] = { "TPR below threshold", exit_unexpected },
    [EXIT_REASON_APIC_ACCESS] = { "APIC access", exit_apic_access },
    [EXIT_REASON_VIRTUALIZED_EOI] = { "virtualized EOI", exit_virtualized_eoi },
    [EXIT_REASON_ACCESS_TO_GDTR_OR_IDTR] = { "access to GDTR or IDTR", exit_unexpected },
    [EXIT_REASON_ACCESS_TO_LDTR_OR_TR] = { "access to LDTR or TR", exit_unexpected },
    [EXIT_REASON_EPT_VIOLATION] = { "EPT violation", exit_ept_violation },
    [EXIT_REASON_EPT_MISCONFIGURATION] = { "EPT misconfiguration", exit_ept_misconfiguration },
    [EXIT_REASON_INVEPT] = { "INVEPT", exit_undefined },
    [EXIT_REASON_RDTSCP] = { "RDTSCP", exit_unexpected },
    [EXIT_REASON_VMX_PREEMPTION_TIMER_EXPIRED] = { "VMX-preemption timer expired", exit_preemption_timer },
    [EXIT_REASON_INVVPID] = { "INVVPID", exit_undefined },
    [EXIT_REASON_WBINVD_OR_WBNOINVD] = { "WBINVD or WBNOINVD", exit_no_operation },
    [EXIT_REASON_XSETBV] = { "XSETBV", exit_xsetbv },
    [EXIT_REASON_APIC_WRITE] = { "APIC write", exit_apic_write },
    [EXIT_REASON_RDRAND] = { "RDRAND", exit_unexpected },
    [EXIT_REASON_INVPCID] = { "INVPCID", exit_undefined },
    [EXIT_REASON_VMFUNC] = { "VMFUNC", exit_undefined },
    [EXIT_REASON_ENCLS] = { "ENCLS", exit_undefined },
    [EXIT_REASON_RDSEED] = { "RDSEED", exit_unexpected },
    [EXIT_REASON_PML_FULL] = { "page-modification log full", exit_unexpected },
    [EXIT_REASON_XSAVES] = { "XSAVES", exit_undefined },
    [EXIT_REASON_XRSTORS] = { "XRSTORS", exit_undefined },
    [EXIT_REASON_PCONFIG] = { "PCONFIG", exit_undefined },
    [EXIT_REASON_SPP_RELATED_EVENT] = { "SPP-related event", exit_unexpected },
    [EXIT_REASON_UMWAIT] = { "UMWAIT", exit_undefined },
    [EXIT_REASON_TPAUSE] = { "TPAUSE", exit_undefined },
    [EXIT_REASON_LOADIWKEY] = { "LOADIWKEY", exit_undefined },
    [EXIT_REASON_ENCLV] = { "ENCLV", exit_undefined },
    [EXIT_REASON_ENQCMD_PASID_FAILURE] = { "ENQCMD PASID translation failure", exit_undefined },
    [EXIT_REASON_ENQCMDS_PASID_FAILURE] = { "ENQCMDS PASID translation failure", exit_undefined },
    [EXIT_REASON_BUS_LOCK] = { "bus lock", exit_unexpected },
    [EXIT_REASON_INSTRUCTION_TIMEOUT] = { "instruction timeout", exit_unexpected },
};
_Static_assert(ARRAY_SIZE(exits) <= VMX_EXIT_REASONS, "a counter for each");

const char *exit_name(uint32_t basic)
{
    return basic < ARRAY_SIZE(exits) && exits[basic].name ? exits[basic].name : "unknown";
}

enum exit_action exit_dispatch(struct vcpu *vcpu)
{
    vcpu->exit_reason = (uint32_t)vmcs_read(EXIT_REASON);
    uint32_t basic = vcpu->exit_reason & EXIT_REASON_BASIC_MASK;
    if (basic >= ARRAY_SIZE(exits) || !exits[basic].handler)
        return exit_unexpected(vcpu);
    vcpu->exit_counts[basic]++;
    /* An entry that failed delivered nothing, and the field is left from an earlier exit. */
    if (!(vcpu->exit_reason & EXIT_REASON_VM_ENTRY_FAILURE)) {
        uint32_t vectoring = (uint32_t)vmcs_read(IDT_VECTORING_INFORMATION);
        if (vectoring & INTERRUPTION_VALID)
            vcpu_recover_event(vcpu, vectoring);
    }
    return exits[basic].handler(vcpu);
}
