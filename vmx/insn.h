/*
 * The VMX instructions (SDM Vol. 3C, chapter 31 "VMX Instruction Reference"), one a function. Each returns how it
 * ended by the manual's conventions (31.2 "Conventions"): VMsucceed, VMfailInvalid, or VMfailValid with the reason
 * in VM_INSTRUCTION_ERROR. VMLAUNCH and VMRESUME are in vmx/entry.S.
 *
 * vmcs_read() and vmcs_write() are for fields that exist by construction: a failure there is our bug.
 */
#ifndef TELEPOD_VMX_INSN_H
#define TELEPOD_VMX_INSN_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "vmx/vmcs.h"

enum vmx_result { VMX_SUCCEED = 0, VMX_FAIL_INVALID = 1, VMX_FAIL_VALID = 2 };

static inline enum vmx_result vmx_result_of(bool carry, bool zero)
{
    return carry ? VMX_FAIL_INVALID : zero ? VMX_FAIL_VALID : VMX_SUCCEED;
}

#define DEFINE_VMX_POINTER_INSTRUCTION(name) \
    static inline enum vmx_result name(struct hpa region) \
    { \
        bool carry, zero; \
        asm volatile(#name " %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region.raw) : "memory"); \
        return vmx_result_of(carry, zero); \
    }
DEFINE_VMX_POINTER_INSTRUCTION(vmxon)
DEFINE_VMX_POINTER_INSTRUCTION(vmclear)
DEFINE_VMX_POINTER_INSTRUCTION(vmptrld)
#undef DEFINE_VMX_POINTER_INSTRUCTION

static inline enum vmx_result vmxoff(void)
{
    bool carry, zero;
    asm volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero) : : "memory");
    return vmx_result_of(carry, zero);
}

static inline enum vmx_result vmread(enum vmcs_field field, uint64_t *value)
{
    bool carry, zero;
    uint64_t got;
    asm volatile("vmread %3, %2" : "=@ccc"(carry), "=@ccz"(zero), "=r"(got) : "r"((uint64_t)field) : "memory");
    *value = got;
    return vmx_result_of(carry, zero);
}

static inline enum vmx_result vmwrite(enum vmcs_field field, uint64_t value)
{
    bool carry, zero;
    asm volatile("vmwrite %3, %2" : "=@ccc"(carry), "=@ccz"(zero) : "r"((uint64_t)field), "r"(value) : "memory");
    return vmx_result_of(carry, zero);
}

/* INVEPT and INVVPID take a type in a register and a 128-bit descriptor in memory. */
enum invept_type { INVEPT_SINGLE_CONTEXT = 1, INVEPT_GLOBAL = 2 };
enum invvpid_type { INVVPID_INDIVIDUAL_ADDRESS = 0, INVVPID_SINGLE_CONTEXT = 1, INVVPID_ALL_CONTEXTS = 2 };

static inline enum vmx_result invept(enum invept_type type, uint64_t eptp)
{
    const struct { uint64_t eptp, reserved; } descriptor = { eptp, 0 };
    bool carry, zero;
    asm volatile("invept %3, %2" : "=@ccc"(carry), "=@ccz"(zero) : "r"((uint64_t)type), "m"(descriptor) : "memory");
    return vmx_result_of(carry, zero);
}

static inline enum vmx_result invvpid(enum invvpid_type type, uint16_t vpid, uint64_t linear_address)
{
    const struct { uint64_t vpid, linear_address; } descriptor = { vpid, linear_address };
    bool carry, zero;
    asm volatile("invvpid %3, %2" : "=@ccc"(carry), "=@ccz"(zero) : "r"((uint64_t)type), "m"(descriptor) : "memory");
    return vmx_result_of(carry, zero);
}

/*
 * Hands an NMI or a machine check that ended guest mode to the host's own handler: INT enters through the same
 * gate.
 */
static inline void raise_host_nmi(void) { asm volatile("int $2" : : : "memory"); }
static inline void raise_host_machine_check(void) { asm volatile("int $18" : : : "memory"); }

/* Our bug: panics with the field and the instruction error. */
void vmcs_access_failed(enum vmcs_field field, bool write) __attribute__((noreturn, cold));

static inline uint64_t vmcs_read(enum vmcs_field field)
{
    uint64_t value;
    if (__builtin_expect(vmread(field, &value) != VMX_SUCCEED, 0))
        vmcs_access_failed(field, false);
    return value;
}

static inline void vmcs_write(enum vmcs_field field, uint64_t value)
{
    if (__builtin_expect(vmwrite(field, value) != VMX_SUCCEED, 0))
        vmcs_access_failed(field, true);
}

#endif
