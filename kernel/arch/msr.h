/* Model-specific registers, control register bits and CPUID bits that the kernel uses, as the SDM spells them
   (Vol. 4, Table 2-2 "IA-32 Architectural MSRs"; Vol. 3A, 2.5 "Control Registers"). VMX's MSRs are in there too. */
#ifndef TELEPOD_MSR_H
#define TELEPOD_MSR_H

#define IA32_TIME_STAMP_COUNTER 0x10
#define IA32_APIC_BASE 0x1b
#define IA32_APIC_BASE_BSP (1ULL << 8)
#define IA32_APIC_BASE_EXTD (1ULL << 10)    /* x2APIC mode */
#define IA32_APIC_BASE_ENABLE (1ULL << 11)
#define IA32_FEATURE_CONTROL 0x3a
#define IA32_FEATURE_CONTROL_LOCK (1ULL << 0)
#define IA32_FEATURE_CONTROL_VMX_OUTSIDE_SMX (1ULL << 2)
#define IA32_TSC_ADJUST 0x3b
#define IA32_SPEC_CTRL 0x48
#define IA32_SPEC_CTRL_IBRS (1ULL << 0)
#define IA32_SPEC_CTRL_STIBP (1ULL << 1)
#define IA32_SPEC_CTRL_SSBD (1ULL << 2)
#define IA32_PRED_CMD 0x49
#define IA32_BIOS_SIGN_ID 0x8b
#define IA32_MTRRCAP 0xfe
#define IA32_SYSENTER_CS 0x174
#define IA32_SYSENTER_ESP 0x175
#define IA32_SYSENTER_EIP 0x176
#define IA32_MISC_ENABLE 0x1a0
#define IA32_DEBUGCTL 0x1d9
#define IA32_PAT 0x277
#define IA32_MTRR_DEF_TYPE 0x2ff
#define IA32_PERF_GLOBAL_CTRL 0x38f
#define IA32_VMX_BASIC 0x480
#define IA32_VMX_PINBASED_CTLS 0x481
#define IA32_VMX_PROCBASED_CTLS 0x482
#define IA32_VMX_EXIT_CTLS 0x483
#define IA32_VMX_ENTRY_CTLS 0x484
#define IA32_VMX_MISC 0x485
#define IA32_VMX_CR0_FIXED0 0x486
#define IA32_VMX_CR0_FIXED1 0x487
#define IA32_VMX_CR4_FIXED0 0x488
#define IA32_VMX_CR4_FIXED1 0x489
#define IA32_VMX_VMCS_ENUM 0x48a
#define IA32_VMX_PROCBASED_CTLS2 0x48b
#define IA32_VMX_EPT_VPID_CAP 0x48c
#define IA32_VMX_TRUE_PINBASED_CTLS 0x48d
#define IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define IA32_VMX_TRUE_EXIT_CTLS 0x48f
#define IA32_VMX_TRUE_ENTRY_CTLS 0x490
#define IA32_VMX_VMFUNC 0x491
#define IA32_VMX_PROCBASED_CTLS3 0x492
#define IA32_TSC_DEADLINE 0x6e0
#define IA32_X2APIC_BASE 0x800              /* register at MMIO offset n is MSR 0x800 + n / 16 (Vol. 3A, 11.12.1.2) */
#define IA32_XSS 0xda0
#define IA32_EFER 0xc0000080
#define IA32_EFER_SCE (1ULL << 0)
#define IA32_EFER_LME (1ULL << 8)
#define IA32_EFER_LMA (1ULL << 10)
#define IA32_EFER_NXE (1ULL << 11)
#define IA32_STAR 0xc0000081
#define IA32_LSTAR 0xc0000082
#define IA32_CSTAR 0xc0000083
#define IA32_FMASK 0xc0000084
#define IA32_FS_BASE 0xc0000100
#define IA32_GS_BASE 0xc0000101
#define IA32_KERNEL_GS_BASE 0xc0000102
#define IA32_TSC_AUX 0xc0000103

#define CR0_PE (1ULL << 0)
#define CR0_MP (1ULL << 1)
#define CR0_EM (1ULL << 2)
#define CR0_TS (1ULL << 3)
#define CR0_ET (1ULL << 4)
#define CR0_NE (1ULL << 5)
#define CR0_WP (1ULL << 16)
#define CR0_AM (1ULL << 18)
#define CR0_NW (1ULL << 29)
#define CR0_CD (1ULL << 30)
#define CR0_PG (1ULL << 31)

#define CR4_VME (1ULL << 0)
#define CR4_PVI (1ULL << 1)
#define CR4_TSD (1ULL << 2)
#define CR4_DE (1ULL << 3)
#define CR4_PSE (1ULL << 4)
#define CR4_PAE (1ULL << 5)
#define CR4_MCE (1ULL << 6)
#define CR4_PGE (1ULL << 7)
#define CR4_PCE (1ULL << 8)
#define CR4_OSFXSR (1ULL << 9)
#define CR4_OSXMMEXCPT (1ULL << 10)
#define CR4_UMIP (1ULL << 11)
#define CR4_VMXE (1ULL << 13)
#define CR4_SMXE (1ULL << 14)
#define CR4_FSGSBASE (1ULL << 16)
#define CR4_PCIDE (1ULL << 17)
#define CR4_OSXSAVE (1ULL << 18)
#define CR4_SMEP (1ULL << 20)
#define CR4_SMAP (1ULL << 21)

/* CPUID.01H (Vol. 2A, "CPUID", Tables 3-10 and 3-11) */
#define CPUID_01_ECX_VMX (1U << 5)
#define CPUID_01_ECX_SSE4_2 (1U << 20)
#define CPUID_01_ECX_X2APIC (1U << 21)
#define CPUID_01_ECX_TSC_DEADLINE (1U << 24)
#define CPUID_01_ECX_XSAVE (1U << 26)
#define CPUID_01_ECX_OSXSAVE (1U << 27)
#define CPUID_01_ECX_HYPERVISOR (1U << 31)
#define CPUID_01_EDX_APIC (1U << 9)
/* CPUID.(07H,0) */
#define CPUID_07_EBX_SMEP (1U << 7)
#define CPUID_07_EBX_SMAP (1U << 20)

#endif
