/*
 * Accesses that the EPT does not allow. RAM is mapped whole and with all rights, so what gets here is either a page that
 * somebody took away, who then answers for it (vm->page_missing), or no RAM: a device's, or nobody's (vmx/mmio.h).
 */
#include "kernel/lib/addr.h"
#include "vmx/exits/exits.h"
#include "vmx/mmio.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

static const char *access_name(uint64_t qualification)
{
    if (qualification & EPT_VIOLATION_WRITE)
        return "write to";
    return qualification & EPT_VIOLATION_FETCH ? "fetch from" : "read of";
}

static enum exit_action access_to_ram(struct vcpu *vcpu, uint64_t qualification, uint64_t gpa)
{
    if (vcpu->vm->page_missing && vcpu->vm->page_missing(vcpu->vm, (struct gpa){ gpa }))
        return EXIT_REENTER;
    vcpu_stop_guest_dump(vcpu, "EPT violation: %s 0x%llx inside its memory, RIP 0x%llx: the pod's own fault",
                         access_name(qualification), (unsigned long long)gpa, (unsigned long long)vmcs_read(GUEST_RIP));
    return EXIT_LEAVE;
}

/*
 * Only an instruction's operand can be emulated: not code, not the guest's page tables, and not what the processor reads
 * and writes to deliver an event.
 */
static bool is_operand(const struct vcpu *vcpu, uint64_t qualification)
{
    const uint64_t operand = EPT_VIOLATION_LINEAR_ADDRESS_VALID | EPT_VIOLATION_NOT_PAGE_WALK;
    return (qualification & operand) == operand && !(qualification & EPT_VIOLATION_FETCH) && !vcpu->event.info;
}

enum exit_action exit_ept_violation(struct vcpu *vcpu)
{
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION), gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    if (guest_memory_contains(&vcpu->vm->memory, (struct gpa){ gpa }, 1))
        return access_to_ram(vcpu, qualification, gpa);
    if (is_operand(vcpu, qualification)) {
        mmio_emulate(vcpu, vmcs_read(GUEST_LINEAR_ADDRESS), gpa);
        return EXIT_REENTER;
    }
    vcpu_stop_guest(vcpu, "%s 0x%llx outside its %llu MiB%s, RIP 0x%llx", access_name(qualification),
                    (unsigned long long)gpa, (unsigned long long)vcpu->vm->memory.size / MIB,
                    vcpu->event.info ? ", to deliver an event" :
                    qualification & EPT_VIOLATION_FETCH ? "" : ", by its page tables",
                    (unsigned long long)vmcs_read(GUEST_RIP));
    return EXIT_LEAVE;
}

enum exit_action exit_ept_misconfiguration(struct vcpu *vcpu)
{
    vcpu_stop_guest_dump(vcpu, "EPT misconfiguration at 0x%llx: the pod's own fault",
                         (unsigned long long)vmcs_read(GUEST_PHYSICAL_ADDRESS));
    return EXIT_LEAVE;
}
