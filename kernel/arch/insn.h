/*
 * The instructions that C cannot express, one a function; all of the kernel's inline assembly is here (VMX's own is in
 * vmx/insn.h). Nothing here touches the FPU or SSE registers, so every wrapper may be used anywhere in the kernel.
 * The two exceptions to "one instruction" are sti_hlt() and sti_nop_cli(): their meaning hangs on what directly follows
 * STI (SDM Vol. 2B, "STI": interrupts stay closed until the end of the next instruction).
 */
#ifndef TELEPOD_INSN_H
#define TELEPOD_INSN_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

/* I/O ports */
static inline void outb(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Time, identity, model-specific registers */
static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* RDRAND: false when the generator has nothing ready just now (CF clear). Only where CPUID offers it. */
static inline bool rdrand(uint64_t *value)
{
    bool ready;
    asm volatile("rdrand %0" : "=r"(*value), "=@ccc"(ready));
    return ready;
}

struct cpuid_result { uint32_t eax, ebx, ecx, edx; };

static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/* Interrupt flag, waiting */
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void hlt(void) { asm volatile("hlt" : : : "memory"); }
static inline void pause(void) { asm volatile("pause" : : : "memory"); }
/* No interrupt can come between the two: one that is pending ends the HLT. */
static inline void sti_hlt(void) { asm volatile("sti; hlt" : : : "memory"); }
/* Every interrupt that is pending is taken at the NOP's end. */
static inline void sti_nop_cli(void) { asm volatile("sti; nop; cli" : : : "memory"); }

/* Control and debug registers */
#define DEFINE_REGISTER_ACCESS(reg) \
    static inline uint64_t read_##reg(void) \
    { \
        uint64_t value; \
        asm volatile("mov %%" #reg ", %0" : "=r"(value) : : "memory"); \
        return value; \
    } \
    static inline void write_##reg(uint64_t value) { asm volatile("mov %0, %%" #reg : : "r"(value) : "memory"); }
DEFINE_REGISTER_ACCESS(cr0)
DEFINE_REGISTER_ACCESS(cr2)
DEFINE_REGISTER_ACCESS(cr3)
DEFINE_REGISTER_ACCESS(cr4)
DEFINE_REGISTER_ACCESS(dr0)
DEFINE_REGISTER_ACCESS(dr1)
DEFINE_REGISTER_ACCESS(dr2)
DEFINE_REGISTER_ACCESS(dr3)
DEFINE_REGISTER_ACCESS(dr6)
DEFINE_REGISTER_ACCESS(dr7)
#undef DEFINE_REGISTER_ACCESS

/* Descriptor tables and segment registers */
struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static inline void lgdt(const struct table_pointer *p) { asm volatile("lgdt %0" : : "m"(*p)); }
static inline void lidt(const struct table_pointer *p) { asm volatile("lidt %0" : : "m"(*p)); }
static inline void sgdt(struct table_pointer *p) { asm volatile("sgdt %0" : "=m"(*p)); }
static inline void sidt(struct table_pointer *p) { asm volatile("sidt %0" : "=m"(*p)); }
static inline void ltr(uint16_t selector) { asm volatile("ltr %0" : : "r"(selector) : "memory"); }
static inline void lldt(uint16_t selector) { asm volatile("lldt %0" : : "r"(selector) : "memory"); }
static inline void write_ds(uint16_t selector) { asm volatile("mov %0, %%ds" : : "r"(selector) : "memory"); }
static inline void write_es(uint16_t selector) { asm volatile("mov %0, %%es" : : "r"(selector) : "memory"); }
static inline void write_fs(uint16_t selector) { asm volatile("mov %0, %%fs" : : "r"(selector) : "memory"); }
static inline void write_gs(uint16_t selector) { asm volatile("mov %0, %%gs" : : "r"(selector) : "memory"); }
static inline void write_ss(uint16_t selector) { asm volatile("mov %0, %%ss" : : "r"(selector) : "memory"); }

/* The quadword at GS:0: struct cpu's pointer to itself. Not volatile: a CPU's GS base never changes under a thread. */
static inline void *read_gs_0(void)
{
    void *value;
    asm("movq %%gs:0, %0" : "=r"(value));
    return value;
}

/* TLB, caches, memory order */
static inline void invlpg(uint64_t virt) { asm volatile("invlpg (%0)" : : "r"(virt) : "memory"); }
static inline void mfence(void) { asm volatile("mfence" : : : "memory"); }
static inline void lfence(void) { asm volatile("lfence" : : : "memory"); }
static inline void wbinvd(void) { asm volatile("wbinvd" : : : "memory"); }

/* Extended state of guests. `area` is 64-byte aligned; `mask` selects components (SDM Vol. 1, 13). */
static inline void xsetbv(uint32_t index, uint64_t value)
{
    asm volatile("xsetbv" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t xgetbv(uint32_t index)
{
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void xsave(void *area, uint64_t mask)
{
    asm volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static inline void xrstor(const void *area, uint64_t mask)
{
    asm volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static inline void fxsave(void *area) { asm volatile("fxsave64 (%0)" : : "r"(area) : "memory"); }
static inline void fxrstor(const void *area) { asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory"); }

/* Bulk work in general-purpose registers only */

/* Copy or fill forward, `count` quadwords or bytes; the copies return the end of the destination, *from moves on. */
static inline void *rep_movsq(void *to, const void **from, size_t count)
{
    asm volatile("rep movsq" : "+D"(to), "+S"(*from), "+c"(count) : : "memory");
    return to;
}

static inline void *rep_movsb(void *to, const void **from, size_t count)
{
    asm volatile("rep movsb" : "+D"(to), "+S"(*from), "+c"(count) : : "memory");
    return to;
}

/*
 * Compares `count` quadwords, at least one, until two differ; both pointers then stand behind those. Whether they differed.
 */
static inline bool repe_cmpsq(const void **left, const void **right, size_t count)
{
    bool differ;
    asm volatile("repe cmpsq" : "+S"(*left), "+D"(*right), "+c"(count), "=@ccne"(differ) : : "memory");
    return differ;
}

static inline void *rep_stosq(void *to, uint64_t value, size_t count)
{
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return to;
}

static inline void *rep_stosb(void *to, uint8_t value, size_t count)
{
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return to;
}

/* Signed 128/64-bit division as the instruction does it; the quotient must fit. For the self-test of the processor. */
static inline int64_t idivq(int64_t high, uint64_t low, int64_t divisor)
{
    int64_t quotient = (int64_t)low;
    asm volatile("idivq %2" : "+a"(quotient), "+d"(high) : "r"(divisor) : "cc");
    return quotient;
}

#endif
