/*
 * fpu: all the state of a processor that a guest can see, filled with known values and compared again and
 * again: x87, SSE, AVX and every other XSAVE component that the CPU offers, debug registers (and that they
 * still work), MSRs, control registers, descriptor tables, general registers. It proves that state survives a
 * teleport, and that guests side by side do not see each other's. Each tick prints
 *
 *     state ok N
 *
 * Options: hz=20, count=40 (ticks until the verdict; 0: for ever), seed=1 (give guests side by side different
 * ones).
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

const char guest_name[] = "fpu";
static uint64_t seed;

static uint64_t random_number(uint64_t n)
{
    uint64_t x = (seed * 1000003 + n) * 0x9E3779B97F4A7C15;
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93;
    return x ^ x >> 32;
}

static void expect(const char *what, uint64_t expected, uint64_t found)
{
    if (expected != found)
        guest_fail("%s is 0x%lx instead of 0x%lx at interrupt %lu", what, found, expected, timer_interrupts());
}

/* XSAVE state: SDM Vol. 1, section 13.4 "XSAVE Area" ------------------------------------------- */

#define CPUID_XSAVE 0x0D
#define CPUID_ECX_XSAVE (1u << 26)
#define XSAVE_AREA_MAX 8192
#define XSAVE_HEADER 512                /* XSTATE_BV is its first word */
#define XSTATE_BNDCSR 4
#define XSTATE_PKRU 9
#define XSTATE_KNOWN 0x2FFull           /* x87, SSE, AVX, MPX (2), AVX-512 (3), PKRU */
#define FCW 0x027F                      /* double precision: not what a reset leaves */
#define MXCSR 0x7F80                    /* rounds toward zero */

static uint8_t area_wanted[XSAVE_AREA_MAX] __attribute__((section(".bss.cold"), aligned(64)));
static uint8_t area_found[XSAVE_AREA_MAX] __attribute__((section(".bss.cold"), aligned(64)));
static uint64_t xcr0;
static uint64_t bytes_compared;

/* Calls `visit` for each range of the area that has a value of ours. */
static void visit_ranges(void (*visit)(uint32_t offset, uint32_t size))
{
    visit(0, 5);                        /* FCW, FSW, FTW; the instruction pointers are another matter */
    visit(24, 4);                       /* MXCSR */
    for (uint32_t i = 0; i < 8; i++)
        visit(32 + 16 * i, 10);         /* ST0 .. ST7 */
    visit(160, 256);                    /* XMM0 .. XMM15 */
    for (uint32_t i = 2; i < 63; i++) {
        struct cpuid_result component;
        if (!(xcr0 >> i & 1) || i == XSTATE_BNDCSR)
            continue;
        component = cpuid(CPUID_XSAVE, i);
        visit(component.ebx, i == XSTATE_PKRU ? 4 : component.eax);
    }
}

static void fill_range(uint32_t offset, uint32_t size)
{
    for (uint32_t i = offset; i < offset + size; i++)
        area_wanted[i] = (uint8_t)random_number(i);
}

static void compare_range(uint32_t offset, uint32_t size)
{
    for (uint32_t i = offset; i < offset + size; i++)
        if (area_found[i] != area_wanted[i])
            guest_fail("XSAVE area, offset %u: 0x%x instead of 0x%x at interrupt %lu", i, area_found[i],
                       area_wanted[i], timer_interrupts());
    bytes_compared += size;
}

static void load_xsave_state(void)
{
    if (!(cpuid(1, 0).ecx & CPUID_ECX_XSAVE))
        guest_fail("CPUID offers no XSAVE");
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    xcr0 = cpuid(CPUID_XSAVE, 0).eax & XSTATE_KNOWN;
    xsetbv(0, xcr0);
    if (cpuid(CPUID_XSAVE, 0).ebx > XSAVE_AREA_MAX)
        guest_fail("the XSAVE area has %u bytes", cpuid(CPUID_XSAVE, 0).ebx);
    visit_ranges(fill_range);
    *(uint16_t *)&area_wanted[0] = FCW;
    *(uint16_t *)&area_wanted[2] = 0;           /* FSW: no exception pending, top of stack 0 */
    area_wanted[4] = 0xFF;                      /* FTW: no register empty */
    *(uint32_t *)&area_wanted[24] = MXCSR;
    *(uint64_t *)&area_wanted[XSAVE_HEADER] = xcr0;
    __asm__ volatile("xrstor64 %0" : : "m"(area_wanted), "a"(~0u), "d"(~0u) : "memory");
}

static void check_xsave_state(void)
{
    __asm__ volatile("xsave64 %0" : "+m"(area_found) : "a"(~0u), "d"(~0u) : "memory");
    expect("XSTATE_BV", xcr0, *(uint64_t *)&area_found[XSAVE_HEADER]);
    visit_ranges(compare_range);
}

/* MSRs ----------------------------------------------------------------------------------------- */

#define CANONICAL 0x00007FFFFFFFF000

static struct {
    const char *name;
    uint32_t msr;
    uint64_t mask;          /* bits that are random */
    uint64_t fixed;
    bool present;
    uint64_t value;
} msrs[] = {
    { "STAR", IA32_STAR, 0xFFFFFFFFFFFFFFFF, 0, true, 0 },
    { "LSTAR", IA32_LSTAR, CANONICAL, 0, true, 0 },
    { "CSTAR", IA32_CSTAR, CANONICAL, 0, true, 0 },
    { "FMASK", IA32_FMASK, 0xFFFFFFFF, 0, true, 0 },
    { "FS_BASE", IA32_FS_BASE, CANONICAL, 0, true, 0 },
    { "GS_BASE", IA32_GS_BASE, CANONICAL, 0, true, 0 },
    { "KERNEL_GS_BASE", IA32_KERNEL_GS_BASE, CANONICAL, 0, true, 0 },
    { "SYSENTER_CS", IA32_SYSENTER_CS, 0xFFF8, 0, true, 0 },
    { "SYSENTER_ESP", IA32_SYSENTER_ESP, CANONICAL, 0, true, 0 },
    { "SYSENTER_EIP", IA32_SYSENTER_EIP, CANONICAL, 0, true, 0 },
    { "PAT", IA32_PAT, 0x0101010101010100, 0x0004060004060406, true, 0 },    /* types 0, 1, 4 .. 7; entry 0 stays WB */
    { "TSC_AUX", IA32_TSC_AUX, 0xFFFFFFFF, 0, true, 0 },                     /* goes with RDTSCP or RDPID */
    { "EFER", IA32_EFER, 0, 0xD01, true, 0 },                                /* NXE, LMA, LME, SCE */
};
#define MSRS (sizeof(msrs) / sizeof(msrs[0]))

static void load_msrs(void)
{
    for (unsigned i = 0; i < MSRS; i++) {
        msrs[i].value = (random_number(msrs[i].msr) & msrs[i].mask) | msrs[i].fixed;
        msrs[i].present = attempt_wrmsr(msrs[i].msr, msrs[i].value) == ATTEMPT_NO_FAULT;
        if (!msrs[i].present && msrs[i].msr != IA32_TSC_AUX)
            guest_fail("WRMSR %s of 0x%lx raised vector %d", msrs[i].name, msrs[i].value, attempt.vector);
    }
}

static void check_msrs(void)
{
    for (unsigned i = 0; i < MSRS; i++)
        if (msrs[i].present)
            expect(msrs[i].name, msrs[i].value, rdmsr(msrs[i].msr));
}

/* Registers ------------------------------------------------------------------------------------ */

#define DR7_WATCH_8_BYTES 0x99990455    /* all four: local, data writes, 8 bytes; bit 10 is always 1 */
#define DR6_NOTHING 0xFFFF0FF0
#define DR6_B0 1
#define CR8_CLASS_1 1                   /* holds nothing back that we use */

static volatile uint64_t watched[4];
static volatile unsigned watch_hits;

static void watch_handler(struct interrupt_frame *frame)
{
    (void)frame;
    if (read_dr6() == (DR6_NOTHING | DR6_B0))
        watch_hits++;
    write_dr6(DR6_NOTHING);
}

/* The tables' registers as they were at the start: 10 bytes each, so base and limit as two rows. */
static uint64_t read_gdt_base(void) { return sgdt().base; }
static uint64_t read_idt_base(void) { return sidt().base; }
static uint64_t read_limits(void) { return (uint64_t)sgdt().limit << 16 | sidt().limit; }
static uint64_t read_tr(void) { return str(); }
static uint64_t read_xcr0(void) { return xgetbv(0); }

static struct {
    const char *name;
    uint64_t (*read)(void);
    uint64_t value;
} registers[] = {
    { "CR0", read_cr0, 0 }, { "CR2", read_cr2, 0 }, { "CR3", read_cr3, 0 }, { "CR4", read_cr4, 0 },
    { "CR8", read_cr8, 0 }, { "DR0", read_dr0, 0 }, { "DR1", read_dr1, 0 }, { "DR2", read_dr2, 0 },
    { "DR3", read_dr3, 0 }, { "DR6", read_dr6, 0 }, { "DR7", read_dr7, 0 }, { "XCR0", read_xcr0, 0 },
    { "GDTR base", read_gdt_base, 0 }, { "IDTR base", read_idt_base, 0 }, { "table limits", read_limits, 0 },
    { "TR", read_tr, 0 },
};
#define REGISTERS (sizeof(registers) / sizeof(registers[0]))

static void load_registers(void)
{
    write_cr2(random_number(0xC2) & CANONICAL);
    write_cr8(CR8_CLASS_1);
    write_dr0((uint64_t)&watched[0]);
    write_dr1((uint64_t)&watched[1]);
    write_dr2((uint64_t)&watched[2]);
    write_dr3((uint64_t)&watched[3]);
    write_dr6(DR6_NOTHING);
    write_dr7(DR7_WATCH_8_BYTES);
    interrupt_set_handler(VECTOR_DB, watch_handler);
    for (unsigned i = 0; i < REGISTERS; i++)
        registers[i].value = registers[i].read();
}

static void check_registers(void)
{
    for (unsigned i = 0; i < REGISTERS; i++)
        expect(registers[i].name, registers[i].value, registers[i].read());
}

/* The debug registers are not only there, they work. */
static void check_watch(uint64_t tick)
{
    watched[0] = tick;
    expect("hits of the data breakpoint", tick, watch_hits);
}

/* Halts until the tick with known values in the general registers. */
static void sleep_with_registers(uint64_t tick)
{
    uint64_t n = random_number(tick);
    register uint64_t r8 __asm__("r8") = n, r9 __asm__("r9") = n + 1, r10 __asm__("r10") = n + 2,
                      r11 __asm__("r11") = n + 3, r12 __asm__("r12") = n + 4,
                      r13 __asm__("r13") = n + 5, r14 __asm__("r14") = n + 6,
                      r15 __asm__("r15") = n + 7, rax __asm__("rax") = n + 8, rbx __asm__("rbx") = n + 9,
                      rcx __asm__("rcx") = n + 10, rdx __asm__("rdx") = n + 11, rsi __asm__("rsi") = n + 12,
                      rdi __asm__("rdi") = n + 13;
    __asm__ volatile("sti\n\thlt\n\tcli"
                     : "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r11), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15),
                       "+r"(rax), "+r"(rbx), "+r"(rcx), "+r"(rdx), "+r"(rsi), "+r"(rdi) : : "memory");
    const uint64_t after[] = { r8, r9, r10, r11, r12, r13, r14, r15, rax, rbx, rcx, rdx, rsi, rdi };
    for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++)
        expect("a general register after HLT", n + i, after[i]);
}

void guest_main(void)
{
    uint64_t hz = option_number("hz", 20, 1, 10000);
    uint64_t count = option_number("count", 40, 0, UINT64_MAX);

    seed = option_number("seed", 1, 0, UINT64_MAX);
    timer_start(hz);
    load_xsave_state();
    load_msrs();
    load_registers();
    check_xsave_state();
    print("fpu: XCR0 0x%lx, %lu bytes of XSAVE state, %lu MSRs, %lu registers\n", xcr0, bytes_compared, MSRS,
          REGISTERS);
    for (uint64_t tick = 1; tick <= count || count == 0; tick++) {
        timer_arm(tick);
        sleep_with_registers(tick);
        timer_sleep();
        check_xsave_state();
        check_msrs();
        check_registers();
        check_watch(tick);
        expect("reads in which the TSC ran backwards", 0, timer_backward_reads());
        print("state ok %lu\n", tick);
    }
}
