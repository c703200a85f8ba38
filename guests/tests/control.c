/*
 * control: writes to control registers, debug registers and MSRs that the manual forbids must raise #GP(0)
 * and change nothing; a few that it allows must work. The rules are quoted beside the values.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

#define NON_CANONICAL 0x8000000000000000
#define CPUID_ECX_OSXSAVE (1u << 27)
#define CPUID_ECX_VMX (1u << 5)
#define CPUID_ECX_XSAVE (1u << 26)

const char guest_name[] = "control";

/* A register with the present value that a forbidden value is made from: (present | set) & ~clear. */
struct trial {
    const char *rule;
    uint64_t set, clear;
};

static void check_refused(const char *name, const char *rule, int vector, uint64_t before, uint64_t after)
{
    if (vector != VECTOR_GP)
        guest_fail("%s: %s: vector %d instead of #GP", name, rule, vector);
    if (attempt.error_code)
        guest_fail("%s: %s: #GP with error code 0x%lx", name, rule, attempt.error_code);
    if (before != after)
        guest_fail("%s: %s: #GP came, but the register went from 0x%lx to 0x%lx", name, rule, before, after);
}

/* One function a register: tries all the trials of its table. */
#define TRY_ALL(function, name, trials, read, write) \
    static void function(void) \
    { \
        for (unsigned i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) { \
            uint64_t before = read; \
            int vector = write((before | trials[i].set) & ~trials[i].clear); \
            check_refused(name, trials[i].rule, vector, before, read); \
        } \
        print("control: %s, %lu forbidden values refused\n", name, sizeof(trials) / sizeof(trials[0])); \
    }

/* SDM Vol. 3A, section 2.5 "Control Registers"; Vol. 2B, "MOV--Move to/from Control Registers". */
static const struct trial cr0_trials[] = {
    { "PG without PE", 0, CR0_PE },
    { "NW without CD", CR0_NW, CR0_CD },
    { "bit 32 is reserved", 1UL << 32, 0 },
    { "bit 63 is reserved", 1UL << 63, 0 },
};
TRY_ALL(try_cr0, "CR0", cr0_trials, read_cr0(), attempt_write_cr0)

static const struct trial cr4_trials[] = {
    { "PAE is needed in IA-32e mode", 0, CR4_PAE },
    { "bit 15 is reserved", 1UL << 15, 0 },
    { "bit 63 is reserved", 1UL << 63, 0 },
    { "LA57 can't change in IA-32e mode", CR4_LA57, 0 },
};
TRY_ALL(try_cr4, "CR4", cr4_trials, read_cr4(), attempt_write_cr4)

static const struct trial cr4_vmxe_trials[] = {
    { "VMXE, where CPUID offers no VMX", CR4_VMXE, 0 },
};
TRY_ALL(try_cr4_vmxe, "CR4", cr4_vmxe_trials, read_cr4(), attempt_write_cr4)

static const struct trial cr3_trials[] = {
    { "bit 60 is reserved", 1UL << 60, 0 },
    { "bit 52 is reserved", 1UL << 52, 0 },
};
TRY_ALL(try_cr3, "CR3", cr3_trials, read_cr3(), attempt_write_cr3)

static const struct trial cr8_trials[] = {
    { "bit 4 is reserved", 1UL << 4, 0 },
    { "bit 63 is reserved", 1UL << 63, 0 },
};
TRY_ALL(try_cr8, "CR8", cr8_trials, read_cr8(), attempt_write_cr8)

/* SDM Vol. 3B, section 18.2.6 "Debug Registers and Intel 64 Processors". */
static const struct trial dr_trials[] = {
    { "bit 32 is reserved", 1UL << 32, 0 },
    { "bit 63 is reserved", 1UL << 63, 0 },
};
TRY_ALL(try_dr6, "DR6", dr_trials, read_dr6(), attempt_write_dr6)
TRY_ALL(try_dr7, "DR7", dr_trials, read_dr7(), attempt_write_dr7)

/* SDM Vol. 2D, "WRMSR--Write to Model Specific Register", and each MSR's description in Vol. 4. */
static const struct {
    const char *rule;
    uint32_t msr;
    uint64_t set, clear;
    bool write_only;
} msr_trials[] = {
    { "EFER: bit 1 is reserved", IA32_EFER, 2, 0, false },
    { "EFER: bit 63 is reserved", IA32_EFER, 1UL << 63, 0, false },
    { "EFER: LME can't change while paging is on", IA32_EFER, 0, IA32_EFER_LME, false },
    { "LSTAR: not canonical", IA32_LSTAR, NON_CANONICAL, 0, false },
    { "FS_BASE: not canonical", IA32_FS_BASE, NON_CANONICAL, 0, false },
    { "GS_BASE: not canonical", IA32_GS_BASE, NON_CANONICAL, 0, false },
    { "KERNEL_GS_BASE: not canonical", IA32_KERNEL_GS_BASE, NON_CANONICAL, 0, false },
    { "SYSENTER_EIP: not canonical", IA32_SYSENTER_EIP, NON_CANONICAL, 0, false },
    { "PAT: type 2 is reserved", IA32_PAT, 0x02, 0xFD, false },
    { "PAT: bit 63 is reserved", IA32_PAT, 1UL << 63, 0, false },
    { "APIC_BASE: EXTD without EN", IA32_APIC_BASE, 0, IA32_APIC_BASE_EN, false },
    { "APIC_BASE: from x2APIC to xAPIC mode", IA32_APIC_BASE, 0, IA32_APIC_BASE_EXTD, false },
    { "APIC_BASE: bit 63 is reserved", IA32_APIC_BASE, 1UL << 63, 0, false },
    { "x2APIC ID is read-only", X2APIC_ID, 0, 0, false },
    { "x2APIC PPR is read-only", X2APIC_PPR, 0, 0, false },
    { "x2APIC ISR is read-only", X2APIC_ISR0, 0, 0, false },
    { "x2APIC ESR takes only 0", X2APIC_ESR, 1, 0, false },
    { "x2APIC EOI takes only 0", X2APIC_EOI, 1, 0, true },
    { "x2APIC TPR: bit 8 is reserved", X2APIC_TPR, 1UL << 8, 0, false },
    { "x2APIC SVR: bit 32 is reserved", X2APIC_SVR, 1UL << 32, 0, false },
    { "x2APIC: DFR does not exist in this mode", X2APIC_DFR, 0, 0, true },
};

static void try_msrs(void)
{
    wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
    for (unsigned i = 0; i < sizeof(msr_trials) / sizeof(msr_trials[0]); i++) {
        uint64_t before = 0, after = 0;
        int readable = attempt_rdmsr(msr_trials[i].msr, &before);

        if ((readable == VECTOR_GP) != msr_trials[i].write_only)
            guest_fail("%s: RDMSR gave vector %d", msr_trials[i].rule, readable);
        int vector = attempt_wrmsr(msr_trials[i].msr, (before | msr_trials[i].set) & ~msr_trials[i].clear);
        uint64_t error_code = attempt.error_code;
        attempt_rdmsr(msr_trials[i].msr, &after);
        attempt.error_code = error_code;
        check_refused("WRMSR", msr_trials[i].rule, vector, before, msr_trials[i].write_only ? before : after);
    }
    print("control: MSRs, %lu forbidden values refused\n", sizeof(msr_trials) / sizeof(msr_trials[0]));
}

static void check_allowed(const char *what, bool works)
{
    if (!works)
        guest_fail("%s does not work", what);
}

/* SDM Vol. 2D, "XSETBV--Set Extended Control Register"; Vol. 1, section 13.3 "Enabling the XSAVE Feature Set..." */
static void try_xcr0(void)
{
    static const struct { const char *rule; uint32_t index; uint64_t value; } trials[] = {
        { "XCR1 does not exist", 1, 1 },       { "x87 state can't be off", 0, 0 },
        { "x87 state can't be off", 0, 2 },    { "AVX state without SSE state", 0, 5 },
        { "bit 63 is reserved", 0, 1UL << 63 | 1 }, { "opmask state without AVX state", 0, 0x23 },
        { "part of the AVX-512 state", 0, 0x27 }, { "half of the MPX state", 0, 0x0B },
    };
    uint64_t before;

    if (!(cpuid(1, 0).ecx & CPUID_ECX_XSAVE)) {
        print("control: no XSAVE\n");
        return;
    }
    write_cr4(read_cr4() & ~(uint64_t)CR4_OSXSAVE);
    check_allowed("CPUID.1:ECX.OSXSAVE = 0 with CR4.OSXSAVE = 0", !(cpuid(1, 0).ecx & CPUID_ECX_OSXSAVE));
    check_allowed("#UD of XSETBV without CR4.OSXSAVE", attempt_xsetbv(0, 1) == VECTOR_UD);
    write_cr4(read_cr4() | CR4_OSXSAVE);
    check_allowed("CPUID.1:ECX.OSXSAVE = 1 with CR4.OSXSAVE = 1", cpuid(1, 0).ecx & CPUID_ECX_OSXSAVE);
    before = xgetbv(0);
    for (unsigned i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        int vector = attempt_xsetbv(trials[i].index, trials[i].value);
        check_refused("XCR0", trials[i].rule, vector, before, xgetbv(0));
    }
    xsetbv(0, 3);
    check_allowed("XSETBV of 3", xgetbv(0) == 3);
    print("control: XCR0, %lu forbidden values refused\n", sizeof(trials) / sizeof(trials[0]));
}

static void try_allowed(void)
{
    uint64_t cr0 = read_cr0(), cr4 = read_cr4();

    write_cr0(cr0 | CR0_TS);
    check_allowed("CR0.TS", read_cr0() == (cr0 | CR0_TS));
    check_allowed("#NM with CR0.TS", ATTEMPT_INSTRUCTION("fnop") == VECTOR_NM);
    __asm__ volatile("clts");
    check_allowed("CLTS", read_cr0() == cr0);
    write_cr0(cr0 | CR0_CD);
    check_allowed("CR0.CD", read_cr0() == (cr0 | CR0_CD));
    write_cr0((cr0 & ~(uint64_t)CR0_NE) | CR0_NW | CR0_CD);
    check_allowed("CR0.NW and CD, NE clear", read_cr0() == ((cr0 & ~(uint64_t)CR0_NE) | CR0_NW | CR0_CD));
    write_cr0(cr0);
    check_allowed("the old CR0", read_cr0() == cr0);
    write_cr4(cr4 | CR4_OSFXSR);
    check_allowed("CR4.OSFXSR", read_cr4() == (cr4 | CR4_OSFXSR));
    write_cr4(cr4);
    check_allowed("the old CR4", read_cr4() == cr4);
    write_cr8(9);
    check_allowed("CR8", read_cr8() == 9 && rdmsr(X2APIC_TPR) == 0x90);
    write_cr8(0);
    check_allowed("WBINVD", ATTEMPT_INSTRUCTION("wbinvd") == ATTEMPT_NO_FAULT);
    check_allowed("INVD or #GP", ATTEMPT_INSTRUCTION("invd") != VECTOR_UD);
    print("control: allowed values work\n");
}

void guest_main(void)
{
    try_msrs();
    try_cr0();
    try_cr3();
    try_cr4();
    if (!(cpuid(1, 0).ecx & CPUID_ECX_VMX))
        try_cr4_vmxe();
    try_cr8();
    try_dr6();
    try_dr7();
    try_xcr0();
    try_allowed();
}
