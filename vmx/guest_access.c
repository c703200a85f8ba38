/* The walk of vmx/guest_walk.c, on the guest's memory and with the guest's faults. */
#include "vmx/guest_access.h"

#include "kernel/arch/insn.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

#define CPL_USER 3
#define ACCESS_RIGHTS_DPL(rights) ((rights) >> 5 & 3)
#define VMCS_FIELD_STRIDE 2 /* the encodings of fields that follow one another: ES to GS, PDPTE0 to PDPTE3 */

/* An entry of a paging structure: 8 or 4 bytes, aligned, so another vCPU's change of it is seen whole or not at all. */
static bool read_ram(void *vm, uint64_t gpa, void *out, size_t size)
{
    const void *entry = guest_memory_at(&((struct vm *)vm)->memory, (struct gpa){ gpa }, size);
    if (!entry)
        return false;
    if (size == sizeof(uint64_t))
        *(uint64_t *)out = *(const volatile uint64_t *)entry;
    else
        *(uint32_t *)out = *(const volatile uint32_t *)entry;
    return true;
}

static bool update_ram(void *vm, uint64_t gpa, uint64_t old, uint64_t new, size_t size)
{
    return guest_memory_exchange(&((struct vm *)vm)->memory, (struct gpa){ gpa }, old, new, size);
}

/* SS.DPL is the CPL (SDM 25.4.1). */
static bool is_user(void)
{
    return ACCESS_RIGHTS_DPL(vmcs_read(GUEST_SS_ACCESS_RIGHTS)) == CPL_USER;
}

void guest_paging(struct walk_state *paging)
{
    *paging = (struct walk_state){
        .cr0 = vmcs_read(GUEST_CR0), .cr3 = vmcs_read(GUEST_CR3), .cr4 = vmcs_read(GUEST_CR4),
        .efer = vmcs_read(GUEST_IA32_EFER), .rflags = vmcs_read(GUEST_RFLAGS),
        .user = is_user(),
    };
    if (!(paging->efer & IA32_EFER_LMA) && (paging->cr4 & CR4_PAE))
        for (unsigned i = 0; i < ARRAY_SIZE(paging->pdpte); i++)
            paging->pdpte[i] = vmcs_read((enum vmcs_field)(GUEST_PDPTE0 + i * VMCS_FIELD_STRIDE));
}

bool guest_translate(struct vcpu *vcpu, const struct walk_state *paging, uint64_t linear, enum walk_access access,
                     uint64_t *gpa)
{
    const struct walk_memory memory = { read_ram, update_ram, vcpu->vm };
    uint32_t error_code = 0;
    switch (guest_walk(paging, &memory, linear, access, gpa, &error_code)) {
    case WALK_OK:
        return true;
    case WALK_PAGE_FAULT:
        write_cr2(linear); /* the guest's: this vCPU's registers are loaded */
        vcpu_inject_exception_error(vcpu, VECTOR_PF, error_code);
        return false;
    case WALK_NO_RAM:
        break;
    }
    vcpu_stop_guest(vcpu, "the page tables for linear address 0x%llx lie outside its memory, RIP 0x%llx",
                    (unsigned long long)linear, (unsigned long long)vmcs_read(GUEST_RIP));
    return false;
}

uint64_t guest_segment_base(struct vcpu *vcpu, unsigned segment)
{
    if (segment != SEGMENT_FS && segment != SEGMENT_GS && vcpu_in_64bit_mode(vcpu))
        return 0;
    return vmcs_read((enum vmcs_field)(GUEST_ES_BASE + segment * VMCS_FIELD_STRIDE));
}
