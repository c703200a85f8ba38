/*
 * Exits of a guest whose APIC the processor virtualizes: what it leaves to software. An EOI or a write comes when it is
 * done, and RIP is past it (SDM 30.1.4, 30.4.3.3: "trap-like"); an access that it does not virtualize comes before.
 */
#include "kernel/lib/util.h"
#include "vmx/devices/lapic.h"
#include "vmx/exits/exits.h"
#include "vmx/mmio.h"
#include "vmx/vcpu.h"

#define APIC_OFFSET(q) ((uint32_t)((q) & 0xfff))
#define EOI_VECTOR(q) ((uint8_t)((q) & 0xff))

enum exit_action exit_virtualized_eoi(struct vcpu *vcpu)
{
    lapic_eoi_virtualized(&vcpu->lapic, EOI_VECTOR(vmcs_read(EXIT_QUALIFICATION)));
    vcpu->lapic.changed |= LAPIC_CHANGED_REQUESTS;
    vcpu->inject_work = true; /* who waited for this end can come now */
    return EXIT_REENTER;
}

enum exit_action exit_apic_write(struct vcpu *vcpu)
{
    lapic_page_written(&vcpu->lapic, APIC_OFFSET(vmcs_read(EXIT_QUALIFICATION)), vcpu_guest_tsc(vcpu));
    vcpu_lapic_changed(vcpu);
    return EXIT_REENTER;
}

/* SDM Table 28-6 "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses" */
#define APIC_ACCESS_TYPE(q) ((unsigned)((q) >> 12 & 0xf))
enum { ACCESS_READ, ACCESS_WRITE };

/* Reads and writes by instructions are carried out by software; whatever else a guest may think of, nobody needs. */
enum exit_action exit_apic_access(struct vcpu *vcpu)
{
    uint64_t q = vmcs_read(EXIT_QUALIFICATION);
    if (APIC_ACCESS_TYPE(q) <= ACCESS_WRITE) {
        mmio_emulate(vcpu, MMIO_NO_LINEAR, LAPIC_DEFAULT_BASE + APIC_OFFSET(q));
        return EXIT_REENTER;
    }
    vcpu_stop_guest(vcpu, "access of type %u to its APIC's registers at offset 0x%x, RIP 0x%llx", APIC_ACCESS_TYPE(q),
                    APIC_OFFSET(q), (unsigned long long)vmcs_read(GUEST_RIP));
    return EXIT_LEAVE;
}
