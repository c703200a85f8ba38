/*
 * The way from a vector to C. vectors.S saves the interrupted registers as struct trap_frame and calls trap_dispatch().
 * Vectors from VECTOR_FIRST_EXTERNAL on are interrupts (kernel/interrupt.c); the lower ones are exceptions, and an
 * exception in the kernel is our bug: it panics, but for the few probing instructions of kernel/arch/probe.S.
 */
#ifndef TELEPOD_TRAP_H
#define TELEPOD_TRAP_H

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#define VECTOR_COUNT 256
#define VECTOR_STUB_SIZE 16
#define VECTOR_FIRST_EXTERNAL 32

/* SDM Vol. 3A, Table 6-1 "Protected-Mode Exceptions and Interrupts" */
#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17
#define VECTOR_MC 18
#define VECTOR_CP 21
#define VECTOR_VC 29
#define VECTOR_SX 30
/* Exceptions that push an error code. */
#define VECTORS_WITH_ERROR_CODE                                                                                        \
    ((1 << VECTOR_DF) | (1 << VECTOR_TS) | (1 << VECTOR_NP) | (1 << VECTOR_SS) | (1 << VECTOR_GP) | (1 << VECTOR_PF) | \
     (1 << VECTOR_AC) | (1 << VECTOR_CP) | (1 << VECTOR_VC) | (1 << VECTOR_SX))

#ifndef __ASSEMBLER__
/* In the order in which vectors.S pushes, lowest address first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 176, "vectors.S");
_Static_assert(offsetof(struct trap_frame, rbp) == 64 && offsetof(struct trap_frame, rip) == 136, "vectors.S");

extern const char vector_stubs[];            /* VECTOR_COUNT stubs of VECTOR_STUB_SIZE bytes */
void descriptors_load_cs(void);              /* vectors.S: reloads CS with KERNEL_CS */
void trap_capture(struct trap_frame *frame); /* vectors.S: the caller's registers as they are */

void trap_dispatch(struct trap_frame *frame);

/* probe.S: instructions that may fault on purpose. False: an exception came and nothing else happened. */
bool probe_read8(const volatile void *address, uint8_t *out);
bool probe_write8(volatile void *address, uint8_t value);
bool probe_rdmsr(uint32_t msr, uint64_t *out);
bool probe_wrmsr(uint32_t msr, uint64_t value);
#endif

#endif
