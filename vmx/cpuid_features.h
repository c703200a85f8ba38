/*
 * The feature bits of CPUID, each once: its name in the manual and what a guest gets of it. A bit that is not
 * in the table is hidden from guests. Pure data.
 */
#ifndef TELEPOD_VMX_CPUID_FEATURES_H
#define TELEPOD_VMX_CPUID_FEATURES_H

#include <stdint.h>
#include "vmx/cpuid.h"

/* The registers that are made of feature bits. */
enum cpuid_word {
    CPUID_WORD_1_ECX,
    CPUID_WORD_1_EDX,
    CPUID_WORD_6_EAX,
    CPUID_WORD_7_0_EBX,
    CPUID_WORD_7_0_ECX,
    CPUID_WORD_7_0_EDX,
    CPUID_WORD_D_1_EAX,
    CPUID_WORD_80000001_ECX,
    CPUID_WORD_80000001_EDX,
    CPUID_WORD_80000007_EDX,
    CPUID_WORDS
};

struct cpuid_word_place {
    uint32_t leaf, subleaf;
    uint32_t reg;           /* CPUID_EAX .. CPUID_EDX */
    const char *name;       /* "7.0 EBX" */
};
extern const struct cpuid_word_place cpuid_word_places[CPUID_WORDS];

/* The bits of a word that a guest gets on a host whose word is `host`, if it may enable `xcr0`. */
uint32_t cpuid_features_offered(enum cpuid_word word, uint32_t host,
                                const struct cpuid_constraints *constraints, uint64_t xcr0);

/* As the manual spells it; NULL for a bit that is not in the table. */
const char *cpuid_feature_name(enum cpuid_word word, unsigned bit);

#endif
