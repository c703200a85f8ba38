/*
 * The instructions that C cannot say, one a function, for the loader only: it is compiled for the firmware's
 * world and shares no machine code with the kernel.
 */
#ifndef TELEPOD_BOOT_INSN_H
#define TELEPOD_BOOT_INSN_H

#include <stdint.h>

struct insn_cpuid { uint32_t eax, ebx, ecx, edx; };

static inline uint64_t insn_rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline struct insn_cpuid insn_cpuid(uint32_t leaf)
{
    struct insn_cpuid r;

    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
    return r;
}

static inline uint8_t insn_inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void insn_outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint64_t insn_read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline void insn_write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline void insn_cli(void)
{
    __asm__ volatile("cli" : : : "memory");
}

#endif
