/*
 * RDMSR and WRMSR. Three kinds: MSRs that the processor switches with the guest or that stay loaded (no exit: the
 * bitmap), MSRs that are modelled here or by the APIC, and the rest, which do not exist: #GP(0), counted, the first
 * few logged.
 */
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define IA32_PLATFORM_ID 0x17
#define IA32_MCG_CAP 0x179
#define IA32_MCG_STATUS 0x17a

/* Read as these values; writes are swallowed, as nothing that a guest could set here has an effect. */
static const struct { uint32_t msr; uint64_t value; } constants[] = {
    { IA32_PLATFORM_ID, 0 },
    { IA32_BIOS_SIGN_ID, 0 },
    { IA32_MCG_CAP, 0 },
    { IA32_MCG_STATUS, 0 },
};

/* No exit. In the VMCS, or in struct vcpu_loaded; the processor checks what the guest writes. */
static const uint32_t direct[] = {
    IA32_EFER, IA32_PAT, IA32_FS_BASE, IA32_GS_BASE, IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP,
    IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_FMASK, IA32_KERNEL_GS_BASE,
};

/*
 * SDM 25.6.9: four bitmaps of 1 KiB: reads of low MSRs, reads of high ones, writes of low ones, writes of high
 * ones.
 */
#define BITMAP_BYTES 1024
#define HIGH_MSRS 0xc0000000u

static void clear_bit(uint8_t *bitmap, uint32_t msr, bool write)
{
    unsigned index = (write ? 2 : 0) + (msr >= HIGH_MSRS ? 1 : 0);
    uint32_t bit = msr & 0x1fff;
    bitmap[index * BITMAP_BYTES + bit / 8] &= (uint8_t)~(1u << bit % 8);
}

/*
 * SDM 30.5 "Virtualizing MSR-Based APIC Accesses": reads come from the virtual-APIC page, so those of registers that
 * do not exist must exit to get their #GP, and so must the current count, which nobody keeps there. Of the writes
 * only these three are virtualized; any other would reach the host's APIC.
 */
static const struct { uint32_t first, last; } x2apic_reads[] = {
    { 0x802, 0x803 }, { 0x808, 0x808 }, { 0x80a, 0x80a }, { 0x80d, 0x80d }, { 0x80f, 0x828 }, { 0x830, 0x830 },
    { 0x832, 0x838 }, { 0x83e, 0x83e },
};
static const uint32_t x2apic_writes[] = { 0x808, 0x80b, 0x83f }; /* TPR, EOI, SELF IPI */

static void free_x2apic(uint8_t *bitmap)
{
    for (unsigned i = 0; i < ARRAY_SIZE(x2apic_reads); i++)
        for (uint32_t msr = x2apic_reads[i].first; msr <= x2apic_reads[i].last; msr++)
            clear_bit(bitmap, msr, false);
    for (unsigned i = 0; i < ARRAY_SIZE(x2apic_writes); i++)
        clear_bit(bitmap, x2apic_writes[i], true);
}

void msr_fill_bitmap(uint8_t *bitmap, bool rdtscp, bool x2apic, bool spec_ctrl)
{
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        bitmap[i] = 0xff;
    for (unsigned i = 0; i < ARRAY_SIZE(direct); i++) {
        clear_bit(bitmap, direct[i], false);
        clear_bit(bitmap, direct[i], true);
    }
    clear_bit(bitmap, IA32_TIME_STAMP_COUNTER, false); /* reads are offset and scaled by the processor (26.3) */
    if (x2apic)
        free_x2apic(bitmap);
    if (rdtscp) {
        clear_bit(bitmap, IA32_TSC_AUX, false);
        clear_bit(bitmap, IA32_TSC_AUX, true);
    }
    if (spec_ctrl) { /* written at every entry into a kernel; a bit that is not there is a #GP by the processor */
        clear_bit(bitmap, IA32_SPEC_CTRL, false);
        clear_bit(bitmap, IA32_SPEC_CTRL, true);
        clear_bit(bitmap, IA32_PRED_CMD, true);
    }
}

#define X2APIC_MSRS 0x100 /* 800h to 8FFh (SDM Vol. 3A, 11.12.1.2) */

static bool is_apic_msr(uint32_t msr)
{
    return msr - IA32_X2APIC_BASE < X2APIC_MSRS || msr == IA32_TSC_DEADLINE || msr == IA32_APIC_BASE;
}

static enum exit_action refuse(struct vcpu *vcpu, uint32_t msr)
{
    vm_note_stray(vcpu->vm, &vcpu->vm->stray_msrs, "#GP for an access to MSR", msr);
    vcpu_inject_exception_error(vcpu, VECTOR_GP, 0);
    return EXIT_REENTER;
}

static const uint64_t *find_constant(uint32_t msr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(constants); i++)
        if (constants[i].msr == msr)
            return &constants[i].value;
    return NULL;
}

static bool read_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    if (is_apic_msr(msr))
        return lapic_msr_read(&vcpu->lapic, msr, vcpu_guest_tsc(vcpu), value);
    if (msr == IA32_MISC_ENABLE) {
        *value = vcpu->misc_enable;
        return true;
    }
    if (mtrr_is_msr(msr))
        return mtrr_read(&vcpu->mtrr, msr, value);
    if (msr == IA32_TIME_STAMP_COUNTER) {
        *value = vcpu_guest_tsc(vcpu);
        return true;
    }
    if (msr == IA32_TSC_ADJUST) {
        *value = vcpu->tsc_adjust;
        return true;
    }
    const uint64_t *constant = find_constant(msr);
    if (constant)
        *value = *constant;
    return constant;
}

static bool write_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    if (msr == IA32_APIC_BASE && value >> vcpu->vm->policy.physical_address_bits)
        return false; /* reserved, by the width that CPUID tells this guest */
    if (is_apic_msr(msr)) {
        bool ok = lapic_msr_write(&vcpu->lapic, msr, vcpu_guest_tsc(vcpu), value);
        vcpu_lapic_changed(vcpu);
        return ok;
    }
    if (msr == IA32_TIME_STAMP_COUNTER) {
        vcpu_write_tsc(vcpu, value);
        return true;
    }
    if (msr == IA32_TSC_ADJUST) {
        vcpu_write_tsc_adjust(vcpu, value);
        return true;
    }
    if (msr == IA32_MISC_ENABLE) {
        vcpu->misc_enable = value;
        return true;
    }
    if (mtrr_is_msr(msr))
        return mtrr_write(&vcpu->mtrr, msr, vcpu->vm->policy.physical_address_bits, value);
    return find_constant(msr);
}

enum exit_action exit_rdmsr(struct vcpu *vcpu)
{
    uint32_t msr = (uint32_t)vcpu->gpr[GPR_RCX];
    uint64_t value;
    if (!read_msr(vcpu, msr, &value))
        return refuse(vcpu, msr);
    vcpu->gpr[GPR_RAX] = (uint32_t)value;
    vcpu->gpr[GPR_RDX] = value >> 32;
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}

enum exit_action exit_wrmsr(struct vcpu *vcpu)
{
    uint32_t msr = (uint32_t)vcpu->gpr[GPR_RCX];
    uint64_t value = vcpu->gpr[GPR_RDX] << 32 | (uint32_t)vcpu->gpr[GPR_RAX];
    if (!write_msr(vcpu, msr, value))
        return refuse(vcpu, msr);
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
