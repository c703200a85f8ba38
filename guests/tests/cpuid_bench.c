/*
 * cpuid_bench: what an exit costs, in TSC ticks (in Bochs: instructions) a turn, loop included. One line each:
 *
 *     cpuid instructions_per_exit X
 *
 * The overhead of an empty loop is the line "nothing"; it is not taken off. Option: n=10000, the number of turns.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

const char guest_name[] = "cpuid_bench";

/* `turn` n times. */
#define BENCH(name, turn) \
    static uint64_t bench_##name(uint64_t n) \
    { \
        uint64_t start = rdtsc(); \
        __asm__ volatile("1:\n\t" turn "\n\tdec %0\n\tjnz 1b" \
                         : "+r"(n) : : "rax", "rbx", "rcx", "rdx", "cc", "memory"); \
        return rdtsc() - start; \
    }
#define MSR(number) "movl $" #number ", %%ecx\n\t"
#define PORT(number) "movl $" #number ", %%edx\n\t"

BENCH(nothing, "")
BENCH(cpuid, "xorl %%eax, %%eax\n\txorl %%ecx, %%ecx\n\tcpuid")
BENCH(rdmsr_apic_base, MSR(0x1B) "rdmsr")
BENCH(wrmsr_tsc_deadline, MSR(0x6E0) "xorl %%eax, %%eax\n\txorl %%edx, %%edx\n\twrmsr")
BENCH(in_0x61, PORT(0x61) "inb %%dx, %%al")
BENCH(out_0x80, PORT(0x80) "outb %%al, %%dx")
BENCH(in_uart, PORT(0x3FD) "inb %%dx, %%al")
BENCH(lapic_read, MSR(0x802) "rdmsr")
BENCH(write_cr8, "xorl %%eax, %%eax\n\tmovq %%rax, %%cr8")

static const struct {
    const char *name;
    uint64_t (*run)(uint64_t n);
} benches[] = {
    { "nothing", bench_nothing },
    { "cpuid", bench_cpuid },
    { "rdmsr_apic_base", bench_rdmsr_apic_base },
    { "wrmsr_tsc_deadline", bench_wrmsr_tsc_deadline },
    { "in_0x61", bench_in_0x61 },
    { "out_0x80", bench_out_0x80 },
    { "in_0x3fd", bench_in_uart },
    { "lapic_read", bench_lapic_read },
    { "write_cr8", bench_write_cr8 },
};

void guest_main(void)
{
    uint64_t n = option_number("n", 10000, 1, UINT32_MAX);

    for (unsigned i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
        print("%s instructions_per_exit %lu\n", benches[i].name, (benches[i].run(n) + n / 2) / n);
}
