/*
 * The table of feature bits: SDM Vol. 2A, chapter 3, "CPUID - CPU Identification".
 *
 * Why a bit is hidden: VMX, SMX, SGX and their like would need nesting; MCE, MCA, the
 * speculation controls and performance counters come with MSRs that are not virtualized; CET, PKU, AMX and
 * LA57 with state that is not yet moved; MONITOR would let a guest wait where no exit reaches it; TSX is
 * withdrawn by microcode on some hosts.
 */
#include <stddef.h>
#include "kernel/lib/util.h"
#include "vmx/cpuid_features.h"

const struct cpuid_word_place cpuid_word_places[CPUID_WORDS] = {
    [CPUID_WORD_1_ECX] = { CPUID_LEAF_FEATURES, 0, CPUID_ECX, "1 ECX" },
    [CPUID_WORD_1_EDX] = { CPUID_LEAF_FEATURES, 0, CPUID_EDX, "1 EDX" },
    [CPUID_WORD_6_EAX] = { CPUID_LEAF_THERMAL_POWER, 0, CPUID_EAX, "6 EAX" },
    [CPUID_WORD_7_0_EBX] = { CPUID_LEAF_EXTENDED_FEATURES, 0, CPUID_EBX, "7.0 EBX" },
    [CPUID_WORD_7_0_ECX] = { CPUID_LEAF_EXTENDED_FEATURES, 0, CPUID_ECX, "7.0 ECX" },
    [CPUID_WORD_7_0_EDX] = { CPUID_LEAF_EXTENDED_FEATURES, 0, CPUID_EDX, "7.0 EDX" },
    [CPUID_WORD_D_1_EAX] = { CPUID_LEAF_XSAVE, 1, CPUID_EAX, "D.1 EAX" },
    [CPUID_WORD_80000001_ECX] = { CPUID_LEAF_EXTENDED_SIGNATURE, 0, CPUID_ECX, "80000001 ECX" },
    [CPUID_WORD_80000001_EDX] = { CPUID_LEAF_EXTENDED_SIGNATURE, 0, CPUID_EDX, "80000001 EDX" },
    [CPUID_WORD_80000007_EDX] = { CPUID_LEAF_INVARIANT_TSC, 0, CPUID_EDX, "80000007 EDX" },
};

enum treatment {
    HIDE,      /* never offered; in the table for its name */
    PASS,      /* offered where the host has it */
    FORCE,     /* the pod provides it, whatever the host says */
    DYNAMIC,   /* follows the guest's registers: 0 in a policy, put in by cpuid_policy_lookup */
    IF_XSAVE,  /* PASS, where any XSAVE state is offered */
    IF_AVX,    /* PASS, where XCR0.AVX is offered */
    IF_AVX512, /* PASS, where the three components of AVX-512 are offered */
    IF_RDTSCP, /* PASS, where the execution control "enable RDTSCP" is */
    IF_INVPCID /* PASS, where the execution control "enable INVPCID" is */
};

static const struct feature {
    uint8_t word, bit, treatment;
    const char *name;
} features[] = {
    { CPUID_WORD_1_ECX, 0, PASS, "SSE3" },
    { CPUID_WORD_1_ECX, 1, PASS, "PCLMULQDQ" },
    { CPUID_WORD_1_ECX, 2, HIDE, "DTES64" },
    { CPUID_WORD_1_ECX, 3, HIDE, "MONITOR" },
    { CPUID_WORD_1_ECX, 4, HIDE, "DS-CPL" },
    { CPUID_WORD_1_ECX, 5, HIDE, "VMX" },
    { CPUID_WORD_1_ECX, 6, HIDE, "SMX" },
    { CPUID_WORD_1_ECX, 7, HIDE, "EIST" },
    { CPUID_WORD_1_ECX, 8, HIDE, "TM2" },
    { CPUID_WORD_1_ECX, 9, PASS, "SSSE3" },
    { CPUID_WORD_1_ECX, 10, HIDE, "CNXT-ID" },
    { CPUID_WORD_1_ECX, 11, HIDE, "SDBG" },
    { CPUID_WORD_1_ECX, 12, IF_AVX, "FMA" },
    { CPUID_WORD_1_ECX, 13, PASS, "CMPXCHG16B" },
    { CPUID_WORD_1_ECX, 14, HIDE, "xTPR Update Control" },
    { CPUID_WORD_1_ECX, 15, HIDE, "PDCM" },
    { CPUID_WORD_1_ECX, 17, PASS, "PCID" },
    { CPUID_WORD_1_ECX, 18, HIDE, "DCA" },
    { CPUID_WORD_1_ECX, 19, PASS, "SSE4.1" },
    { CPUID_WORD_1_ECX, 20, PASS, "SSE4.2" },
    { CPUID_WORD_1_ECX, 21, FORCE, "x2APIC" },
    { CPUID_WORD_1_ECX, 22, PASS, "MOVBE" },
    { CPUID_WORD_1_ECX, 23, PASS, "POPCNT" },
    { CPUID_WORD_1_ECX, 24, FORCE, "TSC-Deadline" },
    { CPUID_WORD_1_ECX, 25, PASS, "AESNI" },
    { CPUID_WORD_1_ECX, 26, IF_XSAVE, "XSAVE" },
    { CPUID_WORD_1_ECX, 27, DYNAMIC, "OSXSAVE" },
    { CPUID_WORD_1_ECX, 28, IF_AVX, "AVX" },
    { CPUID_WORD_1_ECX, 29, IF_AVX, "F16C" },
    { CPUID_WORD_1_ECX, 30, PASS, "RDRAND" },
    { CPUID_WORD_1_ECX, 31, FORCE, "hypervisor present" },

    { CPUID_WORD_1_EDX, 0, PASS, "FPU" },
    { CPUID_WORD_1_EDX, 1, PASS, "VME" },
    { CPUID_WORD_1_EDX, 2, PASS, "DE" },
    { CPUID_WORD_1_EDX, 3, PASS, "PSE" },
    { CPUID_WORD_1_EDX, 4, PASS, "TSC" },
    { CPUID_WORD_1_EDX, 5, PASS, "MSR" },
    { CPUID_WORD_1_EDX, 6, PASS, "PAE" },
    { CPUID_WORD_1_EDX, 7, HIDE, "MCE" },
    { CPUID_WORD_1_EDX, 8, PASS, "CX8" },
    { CPUID_WORD_1_EDX, 9, FORCE, "APIC" },
    { CPUID_WORD_1_EDX, 11, PASS, "SEP" },
    { CPUID_WORD_1_EDX, 12, FORCE, "MTRR" },
    { CPUID_WORD_1_EDX, 13, PASS, "PGE" },
    { CPUID_WORD_1_EDX, 14, HIDE, "MCA" },
    { CPUID_WORD_1_EDX, 15, PASS, "CMOV" },
    { CPUID_WORD_1_EDX, 16, PASS, "PAT" },
    { CPUID_WORD_1_EDX, 17, PASS, "PSE-36" },
    { CPUID_WORD_1_EDX, 18, HIDE, "PSN" },
    { CPUID_WORD_1_EDX, 19, PASS, "CLFSH" },
    { CPUID_WORD_1_EDX, 21, HIDE, "DS" },
    { CPUID_WORD_1_EDX, 22, HIDE, "ACPI" },
    { CPUID_WORD_1_EDX, 23, PASS, "MMX" },
    { CPUID_WORD_1_EDX, 24, PASS, "FXSR" },
    { CPUID_WORD_1_EDX, 25, PASS, "SSE" },
    { CPUID_WORD_1_EDX, 26, PASS, "SSE2" },
    { CPUID_WORD_1_EDX, 27, PASS, "SS" },
    { CPUID_WORD_1_EDX, 28, HIDE, "HTT" },
    { CPUID_WORD_1_EDX, 29, HIDE, "TM" },
    { CPUID_WORD_1_EDX, 31, HIDE, "PBE" },

    { CPUID_WORD_6_EAX, 2, FORCE, "ARAT" }, /* the virtual APIC timer never stops */

    { CPUID_WORD_7_0_EBX, 0, PASS, "FSGSBASE" },
    { CPUID_WORD_7_0_EBX, 1, FORCE, "IA32_TSC_ADJUST" },
    { CPUID_WORD_7_0_EBX, 2, HIDE, "SGX" },
    { CPUID_WORD_7_0_EBX, 3, PASS, "BMI1" },
    { CPUID_WORD_7_0_EBX, 4, HIDE, "HLE" },
    { CPUID_WORD_7_0_EBX, 5, IF_AVX, "AVX2" },
    { CPUID_WORD_7_0_EBX, 6, HIDE, "FDP_EXCPTN_ONLY" },
    { CPUID_WORD_7_0_EBX, 7, PASS, "SMEP" },
    { CPUID_WORD_7_0_EBX, 8, PASS, "BMI2" },
    { CPUID_WORD_7_0_EBX, 9, PASS, "Enhanced REP MOVSB/STOSB" },
    { CPUID_WORD_7_0_EBX, 10, IF_INVPCID, "INVPCID" },
    { CPUID_WORD_7_0_EBX, 11, HIDE, "RTM" },
    { CPUID_WORD_7_0_EBX, 12, HIDE, "RDT-M" },
    { CPUID_WORD_7_0_EBX, 13, HIDE, "deprecates FPU CS and DS" },
    { CPUID_WORD_7_0_EBX, 14, HIDE, "MPX" },
    { CPUID_WORD_7_0_EBX, 15, HIDE, "RDT-A" },
    { CPUID_WORD_7_0_EBX, 16, IF_AVX512, "AVX512F" },
    { CPUID_WORD_7_0_EBX, 17, IF_AVX512, "AVX512DQ" },
    { CPUID_WORD_7_0_EBX, 18, PASS, "RDSEED" },
    { CPUID_WORD_7_0_EBX, 19, PASS, "ADX" },
    { CPUID_WORD_7_0_EBX, 20, PASS, "SMAP" },
    { CPUID_WORD_7_0_EBX, 21, IF_AVX512, "AVX512_IFMA" },
    { CPUID_WORD_7_0_EBX, 23, PASS, "CLFLUSHOPT" },
    { CPUID_WORD_7_0_EBX, 24, PASS, "CLWB" },
    { CPUID_WORD_7_0_EBX, 25, HIDE, "Intel Processor Trace" },
    { CPUID_WORD_7_0_EBX, 26, IF_AVX512, "AVX512PF" },
    { CPUID_WORD_7_0_EBX, 27, IF_AVX512, "AVX512ER" },
    { CPUID_WORD_7_0_EBX, 28, IF_AVX512, "AVX512CD" },
    { CPUID_WORD_7_0_EBX, 29, PASS, "SHA" },
    { CPUID_WORD_7_0_EBX, 30, IF_AVX512, "AVX512BW" },
    { CPUID_WORD_7_0_EBX, 31, IF_AVX512, "AVX512VL" },

    { CPUID_WORD_7_0_ECX, 0, PASS, "PREFETCHWT1" },
    { CPUID_WORD_7_0_ECX, 1, IF_AVX512, "AVX512_VBMI" },
    { CPUID_WORD_7_0_ECX, 2, PASS, "UMIP" },
    { CPUID_WORD_7_0_ECX, 3, HIDE, "PKU" },
    { CPUID_WORD_7_0_ECX, 4, HIDE, "OSPKE" },
    { CPUID_WORD_7_0_ECX, 5, HIDE, "WAITPKG" },
    { CPUID_WORD_7_0_ECX, 6, IF_AVX512, "AVX512_VBMI2" },
    { CPUID_WORD_7_0_ECX, 7, HIDE, "CET_SS" },
    { CPUID_WORD_7_0_ECX, 8, PASS, "GFNI" },
    { CPUID_WORD_7_0_ECX, 9, IF_AVX, "VAES" },
    { CPUID_WORD_7_0_ECX, 10, IF_AVX, "VPCLMULQDQ" },
    { CPUID_WORD_7_0_ECX, 11, IF_AVX512, "AVX512_VNNI" },
    { CPUID_WORD_7_0_ECX, 12, IF_AVX512, "AVX512_BITALG" },
    { CPUID_WORD_7_0_ECX, 13, HIDE, "TME_EN" },
    { CPUID_WORD_7_0_ECX, 14, IF_AVX512, "AVX512_VPOPCNTDQ" },
    { CPUID_WORD_7_0_ECX, 16, HIDE, "LA57" },
    { CPUID_WORD_7_0_ECX, 22, IF_RDTSCP, "RDPID" },
    { CPUID_WORD_7_0_ECX, 23, HIDE, "KL" },
    { CPUID_WORD_7_0_ECX, 24, HIDE, "BUS_LOCK_DETECT" },
    { CPUID_WORD_7_0_ECX, 25, PASS, "CLDEMOTE" },
    { CPUID_WORD_7_0_ECX, 27, PASS, "MOVDIRI" },
    { CPUID_WORD_7_0_ECX, 28, PASS, "MOVDIR64B" },
    { CPUID_WORD_7_0_ECX, 29, HIDE, "ENQCMD" },
    { CPUID_WORD_7_0_ECX, 30, HIDE, "SGX_LC" },
    { CPUID_WORD_7_0_ECX, 31, HIDE, "PKS" },

    { CPUID_WORD_7_0_EDX, 2, IF_AVX512, "AVX512_4VNNIW" },
    { CPUID_WORD_7_0_EDX, 3, IF_AVX512, "AVX512_4FMAPS" },
    { CPUID_WORD_7_0_EDX, 4, PASS, "Fast Short REP MOV" },
    { CPUID_WORD_7_0_EDX, 5, HIDE, "UINTR" },
    { CPUID_WORD_7_0_EDX, 8, IF_AVX512, "AVX512_VP2INTERSECT" },
    { CPUID_WORD_7_0_EDX, 10, PASS, "MD_CLEAR" },
    { CPUID_WORD_7_0_EDX, 11, HIDE, "RTM_ALWAYS_ABORT" },
    { CPUID_WORD_7_0_EDX, 14, PASS, "SERIALIZE" },
    { CPUID_WORD_7_0_EDX, 15, HIDE, "Hybrid" },
    { CPUID_WORD_7_0_EDX, 16, HIDE, "TSXLDTRK" },
    { CPUID_WORD_7_0_EDX, 18, HIDE, "PCONFIG" },
    { CPUID_WORD_7_0_EDX, 19, HIDE, "Architectural LBRs" },
    { CPUID_WORD_7_0_EDX, 20, HIDE, "CET_IBT" },
    { CPUID_WORD_7_0_EDX, 22, HIDE, "AMX-BF16" },
    { CPUID_WORD_7_0_EDX, 23, IF_AVX512, "AVX512_FP16" },
    { CPUID_WORD_7_0_EDX, 24, HIDE, "AMX-TILE" },
    { CPUID_WORD_7_0_EDX, 25, HIDE, "AMX-INT8" },
    { CPUID_WORD_7_0_EDX, 26, PASS, "IBRS and IBPB" },
    { CPUID_WORD_7_0_EDX, 27, PASS, "STIBP" },
    { CPUID_WORD_7_0_EDX, 28, HIDE, "L1D_FLUSH" },
    { CPUID_WORD_7_0_EDX, 29, HIDE, "IA32_ARCH_CAPABILITIES" },
    { CPUID_WORD_7_0_EDX, 30, HIDE, "IA32_CORE_CAPABILITIES" },
    { CPUID_WORD_7_0_EDX, 31, PASS, "SSBD" },

    { CPUID_WORD_D_1_EAX, 0, IF_XSAVE, "XSAVEOPT" },
    { CPUID_WORD_D_1_EAX, 1, IF_XSAVE, "XSAVEC" },
    { CPUID_WORD_D_1_EAX, 2, IF_XSAVE, "XGETBV with ECX = 1" },
    { CPUID_WORD_D_1_EAX, 3, HIDE, "XSAVES" },
    { CPUID_WORD_D_1_EAX, 4, HIDE, "XFD" },

    { CPUID_WORD_80000001_ECX, 0, PASS, "LAHF/SAHF in 64-bit mode" },
    { CPUID_WORD_80000001_ECX, 5, PASS, "LZCNT" },
    { CPUID_WORD_80000001_ECX, 8, PASS, "PREFETCHW" },

    { CPUID_WORD_80000001_EDX, 11, PASS, "SYSCALL" },
    { CPUID_WORD_80000001_EDX, 20, PASS, "Execute Disable" },
    { CPUID_WORD_80000001_EDX, 26, PASS, "1-GByte pages" },
    { CPUID_WORD_80000001_EDX, 27, IF_RDTSCP, "RDTSCP" },
    { CPUID_WORD_80000001_EDX, 29, PASS, "Intel 64" },

    { CPUID_WORD_80000007_EDX, 8, PASS, "Invariant TSC" },
};

static bool treatment_offers(enum treatment treatment, bool host_has,
                             const struct cpuid_constraints *constraints, uint64_t xcr0)
{
    switch (treatment) {
    case HIDE: return false;
    case DYNAMIC: return false;
    case FORCE: return true;
    case PASS: return host_has;
    case IF_XSAVE: return host_has && xcr0 != 0;
    case IF_AVX: return host_has && (xcr0 & XCR0_AVX) != 0;
    case IF_AVX512: return host_has && (xcr0 & XCR0_AVX512) == XCR0_AVX512;
    case IF_RDTSCP: return host_has && constraints->rdtscp;
    case IF_INVPCID: return host_has && constraints->invpcid;
    }
    return false;
}

uint32_t cpuid_features_offered(enum cpuid_word word, uint32_t host,
                                const struct cpuid_constraints *constraints, uint64_t xcr0)
{
    uint32_t offered = 0;

    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *feature = &features[i];
        bool host_has = (host >> feature->bit & 1) != 0;

        if (feature->word == word && treatment_offers(feature->treatment, host_has, constraints, xcr0))
            offered |= 1u << feature->bit;
    }
    return offered;
}

const char *cpuid_feature_name(enum cpuid_word word, unsigned bit)
{
    for (size_t i = 0; i < ARRAY_SIZE(features); i++)
        if (features[i].word == word && features[i].bit == bit)
            return features[i].name;
    return NULL;
}
