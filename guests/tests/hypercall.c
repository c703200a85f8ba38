/*
 * hypercall: instructions that this machine does not have must raise #UD, whatever the hypervisor below uses
 * them for: the VMX and SMX instructions, and all whose CPUID bit is clear.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

const char guest_name[] = "hypercall";

/* SDM Vol. 2A, "CPUID--CPU Identification". ecx: the subleaf. */
struct feature {
    uint32_t leaf, subleaf;
    unsigned reg, bit;
};
enum { EAX, EBX, ECX, EDX };
static const struct feature always_absent = { 0, 0, 0, 0 }, smx = { 1, 0, ECX, 6 }, monitor = { 1, 0, ECX, 3 },
                            rdtscp = { 0x80000001, 0, EDX, 27 }, invpcid = { 7, 0, EBX, 10 },
                            waitpkg = { 7, 0, ECX, 5 }, rdrand = { 1, 0, ECX, 30 }, rdseed = { 7, 0, EBX, 18 },
                            sgx = { 7, 0, EBX, 2 }, pconfig = { 7, 0, EDX, 18 };

static bool is_present(const struct feature *feature)
{
    struct cpuid_result r;

    if (feature->leaf == 0 || cpuid(feature->leaf & 0x80000000, 0).eax < feature->leaf)
        return false;
    r = cpuid(feature->leaf, feature->subleaf);
    return (const uint32_t[]){ r.eax, r.ebx, r.ecx, r.edx }[feature->reg] >> feature->bit & 1;
}

static uint64_t operand[2] __attribute__((used));    /* named in assembly only */

#define TRY(name, text) \
    static int try_##name(void) \
    { \
        return ATTEMPT_INSTRUCTION(text); \
    }
TRY(vmcall, "vmcall")
TRY(vmmcall, "vmmcall")
TRY(vmlaunch, "vmlaunch")
TRY(vmresume, "vmresume")
TRY(vmxoff, "vmxoff")
TRY(vmxon, "vmxon operand")
TRY(vmptrld, "vmptrld operand")
TRY(vmptrst, "vmptrst operand")
TRY(vmclear, "vmclear operand")
TRY(vmread, "vmread %%rax, %%rcx")
TRY(vmwrite, "vmwrite %%rcx, %%rax")
TRY(vmfunc, "vmfunc")
TRY(invept, "invept operand, %%rax")
TRY(invvpid, "invvpid operand, %%rax")
TRY(getsec, "getsec")
TRY(rsm, "rsm")
TRY(monitor, "monitor")
TRY(mwait, "mwait")
TRY(rdtscp, "rdtscp")
TRY(invpcid, "invpcid operand, %%rax")
TRY(tpause, "tpause %%ecx")
TRY(rdrand, "rdrand %%rax")
TRY(rdseed, "rdseed %%rax")
TRY(encls, "encls")
TRY(pconfig, "pconfig")
TRY(ud2, "ud2")

static const struct {
    const char *name;
    int (*instruction)(void);
    const struct feature *feature;      /* clear: #UD must come; set: only the pod must survive it */
} trials[] = {
    { "VMCALL", try_vmcall, &always_absent },     { "VMMCALL", try_vmmcall, &always_absent },
    { "VMLAUNCH", try_vmlaunch, &always_absent }, { "VMRESUME", try_vmresume, &always_absent },
    { "VMXOFF", try_vmxoff, &always_absent },     { "VMXON", try_vmxon, &always_absent },
    { "VMPTRLD", try_vmptrld, &always_absent },   { "VMPTRST", try_vmptrst, &always_absent },
    { "VMCLEAR", try_vmclear, &always_absent },   { "VMREAD", try_vmread, &always_absent },
    { "VMWRITE", try_vmwrite, &always_absent },   { "VMFUNC", try_vmfunc, &always_absent },
    { "INVEPT", try_invept, &always_absent },     { "INVVPID", try_invvpid, &always_absent },
    { "GETSEC", try_getsec, &smx },               { "RSM", try_rsm, &always_absent },
    { "MONITOR", try_monitor, &monitor },         { "MWAIT", try_mwait, &monitor },
    { "RDTSCP", try_rdtscp, &rdtscp },            { "INVPCID", try_invpcid, &invpcid },
    { "TPAUSE", try_tpause, &waitpkg },           { "RDRAND", try_rdrand, &rdrand },
    { "RDSEED", try_rdseed, &rdseed },            { "ENCLS", try_encls, &sgx },
    { "PCONFIG", try_pconfig, &pconfig },         { "UD2", try_ud2, &always_absent },
};

void guest_main(void)
{
    for (unsigned i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        bool present = is_present(trials[i].feature);
        int vector = trials[i].instruction();

        print("hypercall: %s %s, vector %d\n", trials[i].name, present ? "offered" : "absent", vector);
        if (!present && vector != VECTOR_UD)
            guest_fail("%s raised vector %d instead of #UD", trials[i].name, vector);
    }
}
