/*
 * VMX operation of the pod as a whole: what was negotiated, each CPU's part, and what the rest of vmx/ asks of the
 * processor. The rest of the pod uses vmx/vm.h.
 */
#ifndef TELEPOD_VMX_H
#define TELEPOD_VMX_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "vmx/controls.h"

struct vcpu;

/* cpu->vmx: only that CPU touches it. */
struct vmx_cpu {
    struct hpa vmxon_region;
    struct vcpu *current;       /* whose VMCS is current; NULL: none */
    struct vcpu *loaded;        /* whose struct vcpu_loaded and XSAVE state are in the processor; NULL: nobody's */
};
struct vmx_cpu *vmx_cpu_this(void);

/* After vmx_init. */
const struct vmx_controls *vmx_controls_get(void);
bool vmx_has_tsc_scaling(void);
uint64_t vmx_host_xcr0(void);           /* XSAVE components that guests use, of XCR0_OFFERED; 0: no XSAVE */
/* Bits of IA32_SPEC_CTRL that the processor has, and guests may set; 0: there is no such MSR. */
uint64_t vmx_host_spec_ctrl(void);
/*
 * For all vCPUs: the same MSRs are free for every guest. x2apic: for one whose x2APIC registers the processor
 * virtualizes.
 */
struct hpa vmx_msr_bitmap(bool x2apic);

/*
 * SDM 29.4.3.4 "Guidelines for Use of the INVEPT Instruction": after an EPT entry loses permission or an accessed
 * or dirty flag, and when a root table's frame gets a new use. On the CPU on which the guest runs; no other CPU has
 * its translations.
 */
void vmx_invalidate_ept(uint64_t eptp);
/* SDM 29.4.3.3 "Guidelines for Use of the INVVPID Instruction": when a VPID gets a new owner. */
void vmx_invalidate_vpid(uint16_t vpid);

#endif
