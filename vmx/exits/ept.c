/*
 * Accesses that the EPT does not allow. RAM is mapped whole and with all rights, so what gets here went past its end;
 * unless somebody takes pages away, who then answers for them (vm->page_missing).
 */
#include "kernel/lib/addr.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

static const char *access_name(uint64_t qualification)
{
    if (qualification & EPT_VIOLATION_WRITE)
        return "write to";
    return qualification & EPT_VIOLATION_FETCH ? "fetch from" : "read of";
}

enum exit_action exit_ept_violation(struct vcpu *vcpu)
{
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION), gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    unsigned long long size = vcpu->vm->memory.size, rip = vmcs_read(GUEST_RIP);
    if (gpa < size && vcpu->vm->page_missing && vcpu->vm->page_missing(vcpu->vm, (struct gpa){ gpa }))
        return EXIT_REENTER;
    if (gpa < size)
        vcpu_stop_guest_dump(vcpu, "EPT violation: %s 0x%llx inside its %llu MiB, RIP 0x%llx: the pod's own fault",
                             access_name(qualification), (unsigned long long)gpa, size / MIB, rip);
    else
        vcpu_stop_guest(vcpu, "EPT violation: %s 0x%llx outside its %llu MiB, RIP 0x%llx", access_name(qualification),
                        (unsigned long long)gpa, size / MIB, rip);
    return EXIT_LEAVE;
}

enum exit_action exit_ept_misconfiguration(struct vcpu *vcpu)
{
    vcpu_stop_guest_dump(vcpu, "EPT misconfiguration at 0x%llx: the pod's own fault",
                         (unsigned long long)vmcs_read(GUEST_PHYSICAL_ADDRESS));
    return EXIT_LEAVE;
}
