/*
 * What the bootstrap processor leaves in the trampoline's frame for the CPU that it starts. The trampoline is copied to
 * a frame below 1 MiB that is mapped 1:1, and the parameters lie at its end.
 */
#ifndef TELEPOD_TRAMPOLINE_H
#define TELEPOD_TRAMPOLINE_H

#define TRAMPOLINE_PARAMS_OFFSET 0xf00
#define TRAMPOLINE_PARAM_CR3 (TRAMPOLINE_PARAMS_OFFSET + 0)
#define TRAMPOLINE_PARAM_CR4 (TRAMPOLINE_PARAMS_OFFSET + 8)
#define TRAMPOLINE_PARAM_EFER (TRAMPOLINE_PARAMS_OFFSET + 16)
#define TRAMPOLINE_PARAM_CR0 (TRAMPOLINE_PARAMS_OFFSET + 24)
#define TRAMPOLINE_PARAM_ENTRY (TRAMPOLINE_PARAMS_OFFSET + 32)
#define TRAMPOLINE_PARAM_CPU (TRAMPOLINE_PARAMS_OFFSET + 40)
#define TRAMPOLINE_PARAM_STACK (TRAMPOLINE_PARAMS_OFFSET + 48)

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct trampoline_params {
    uint64_t cr3; /* below 4 GiB: it is loaded with 32 bits */
    uint64_t cr4;
    uint64_t efer;
    uint64_t cr0;
    uint64_t entry;     /* entry_ap */
    uint64_t cpu;       /* its first argument */
    uint64_t stack_top; /* its second */
};
_Static_assert(offsetof(struct trampoline_params, efer) == TRAMPOLINE_PARAM_EFER - TRAMPOLINE_PARAMS_OFFSET, "layout");
_Static_assert(offsetof(struct trampoline_params, stack_top) == TRAMPOLINE_PARAM_STACK - TRAMPOLINE_PARAMS_OFFSET,
               "layout");

extern const char trampoline_start[], trampoline_end[];
void entry_ap(void); /* kernel/arch/entry.S; called by the trampoline only */
#endif

#endif
