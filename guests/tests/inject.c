/*
 * inject: interrupts and NMIs in the order and at the instruction that the manual says, among instructions
 * that make a virtual machine exit. Stages: self IPIs and priorities, interrupt windows, NMI blocking,
 * delivery by way of pages that were never touched, and a storm of timer interrupts with a watch over the
 * general registers. Option: turns=20000 of the storm.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

#define VECTOR_LOW 40               /* priority class 2 */
#define VECTOR_MIDDLE 50            /* priority class 3, as the next one */
#define VECTOR_HIGH 60
#define PRIORITY_CLASS_2 0x20

const char guest_name[] = "inject";

/* Self IPIs: SDM Vol. 3A, section 11.8.3 "Interrupt, Task, and Processor Priority" ------------- */

/* What ran, in order: vectors; the return from a nested one is its vector + 100. */
#define LOG_MAX 16
#define RETURN_OF(vector) ((vector) + 100)
static unsigned log_count, log_entries[LOG_MAX];
static uint64_t last_rip;
static bool nest;

static void log_event(unsigned event)
{
    if (log_count < LOG_MAX)
        log_entries[log_count++] = event;
}

static void ipi_handler(struct interrupt_frame *frame)
{
    log_event((unsigned)frame->vector);
    last_rip = frame->rip;
    if (nest && frame->vector == VECTOR_LOW) {
        nest = false;
        wrmsr(X2APIC_SELF_IPI, VECTOR_HIGH);    /* this one may interrupt us... */
        wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);     /* ...and this one must wait for our EOI */
        __asm__ volatile("sti; nop; nop; cli" : : : "memory");
        log_event(RETURN_OF(VECTOR_LOW));
    }
    interrupt_end();
}

static void open_window(void)
{
    __asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
}

static void expect_log(const char *what, const unsigned *events, unsigned count)
{
    for (unsigned i = 0; i < count && i < log_count; i++)
        guest_expect(what, events[i], log_entries[i]);
    guest_expect(what, count, log_count);
    log_count = 0;
}
#define EXPECT_LOG(what, ...) \
    do { \
        static const unsigned events_[] = { __VA_ARGS__ }; \
        expect_log(what, events_, sizeof(events_) / sizeof(events_[0])); \
    } while (0)

static void test_ipis(void)
{
    interrupt_set_handler(VECTOR_LOW, ipi_handler);
    interrupt_set_handler(VECTOR_MIDDLE, ipi_handler);
    interrupt_set_handler(VECTOR_HIGH, ipi_handler);

    wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);
    wrmsr(X2APIC_ICR, X2APIC_ICR_SELF | VECTOR_HIGH);
    wrmsr(X2APIC_SELF_IPI, VECTOR_MIDDLE);
    wrmsr(X2APIC_ICR, rdmsr(X2APIC_ID) << 32 | VECTOR_MIDDLE);     /* IRR holds one of a kind */
    guest_expect("IPIs while IF = 0", 0, log_count);
    guest_expect("IRR, vectors 32 to 63", 1u << 8 | 1u << 18 | 1u << 28, rdmsr(X2APIC_IRR0 + 1));
    open_window();
    EXPECT_LOG("order of priorities", VECTOR_HIGH, VECTOR_MIDDLE, VECTOR_LOW);

    write_cr8(PRIORITY_CLASS_2 >> 4);
    wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);
    wrmsr(X2APIC_SELF_IPI, VECTOR_HIGH);
    open_window();
    EXPECT_LOG("TPR 20h", VECTOR_HIGH);
    interrupts_enable();
    write_cr8(0);
    interrupts_disable();
    EXPECT_LOG("TPR 0 again", VECTOR_LOW);

    nest = true;
    wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);
    open_window();
    EXPECT_LOG("nesting", VECTOR_LOW, VECTOR_HIGH, RETURN_OF(VECTOR_LOW), VECTOR_LOW);
    print("inject: self IPIs and priorities\n");
}

/* Windows: SDM Vol. 3A, section 6.8.1 "Masking Maskable Hardware Interrupts" ------------------- */

/* Runs `text` with VECTOR_LOW pending and IF = 0, and checks that the interrupt came at the label 1 in it. */
#define CHECK_WINDOW(what, text) \
    do { \
        uint64_t place_; \
        wrmsr(X2APIC_SELF_IPI, VECTOR_LOW); \
        __asm__ volatile("leaq 1f(%%rip), %0\n\t" text "\n\tnop\n\tcli" \
                         : "=&r"(place_) : : "rax", "rbx", "rcx", "rdx", "memory"); \
        guest_expect(what, place_, last_rip); \
        EXPECT_LOG(what, VECTOR_LOW); \
    } while (0)

static void test_windows(void)
{
    CHECK_WINDOW("STI, NOP", "sti\n\tnop\n1:");
    CHECK_WINDOW("STI, CPUID", "xorl %%eax, %%eax\n\tsti\n\tcpuid\n1:");
    CHECK_WINDOW("STI, IN", "sti\n\tinb $0x80, %%al\n1:");
    CHECK_WINDOW("STI, RDMSR", "movl $0x1B, %%ecx\n\tsti\n\trdmsr\n1:");
    CHECK_WINDOW("STI, HLT", "sti\n\thlt\n1:");
    CHECK_WINDOW("POPF", "pushfq\n\torl $0x200, (%%rsp)\n\tpopfq\n1:");
    __asm__ volatile("sti; cli" : : : "memory");
    wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);
    __asm__ volatile("sti; cli" : : : "memory");        /* no window at all */
    guest_expect("STI, CLI", 0, log_count);
    open_window();
    EXPECT_LOG("after STI, CLI", VECTOR_LOW);
    print("inject: interrupt windows\n");
}

/* NMI: SDM Vol. 3A, section 6.7.1 "Handling Multiple NMIs" ------------------------------------- */

#define NMIS 3
static volatile unsigned nmi_count, nmi_depth, nmi_depth_max;

/* The shorthand "self" is for fixed interrupts only (SDM Vol. 3A, table 11-3), so the destination is our ID. */
static void send_nmi(void)
{
    wrmsr(X2APIC_ICR, rdmsr(X2APIC_ID) << 32 | X2APIC_ICR_NMI);
}

static void nmi_handler(struct interrupt_frame *frame)
{
    (void)frame;
    nmi_depth++;
    if (nmi_depth > nmi_depth_max)
        nmi_depth_max = nmi_depth;
    if (++nmi_count < NMIS) {
        send_nmi();                     /* must wait for our IRET */
        inb(0x80);                      /* an exit or two in the meantime */
        cpuid(0, 0);
    }
    nmi_depth--;
}

static void wait_for_nmis(void)
{
    for (unsigned i = 0; i < 1000 && nmi_count < NMIS; i++)
        cpuid(0, 0);
}

static void test_nmis(void)
{
    interrupt_set_handler(VECTOR_NMI, nmi_handler);
    send_nmi();
    wait_for_nmis();
    guest_expect("NMIs", NMIS, nmi_count);
    guest_expect("NMIs at a time", 1, nmi_depth_max);
    nmi_count = 0;
    write_cr8(15);
    send_nmi();                         /* neither TPR nor IF holds an NMI back */
    wait_for_nmis();
    write_cr8(0);
    guest_expect("NMIs with TPR F0h", NMIS, nmi_count);
    print("inject: NMIs\n");
}

/* Delivery by way of fresh pages --------------------------------------------------------------- */

#define FRESH_FIRST 0x200000
#define FRESH_STRIDE 0x11000            /* a page in 17: all of the 2 MiB regions, at changing places */
#define FRESH_IDT_BYTES (VECTOR_COUNT * 16)

/* The processor reads the IDT and writes the stack in the middle of a delivery: both lie where nobody has been yet. */
static void test_fresh_pages(void)
{
    struct descriptor_table old = sidt(), fresh = { FRESH_IDT_BYTES - 1, 0 };
    uint64_t rounds = 0;

    nmi_count = NMIS - 1;
    interrupt_set_stack(VECTOR_UD, 1);
    interrupt_set_stack(VECTOR_LOW, 2);
    interrupt_set_stack(VECTOR_NMI, 3);
    for (uint64_t page = FRESH_FIRST; page + 5 * PAGE_SIZE <= guest_ram_size(); page += FRESH_STRIDE, rounds++) {
        __builtin_memcpy((void *)page, (const void *)old.base, FRESH_IDT_BYTES);
        fresh.base = page;
        lidt(&fresh);
        for (unsigned i = 0; i < 3; i++)
            tss.ist[i] = page + (i + 2) * PAGE_SIZE;
        guest_expect("#UD on a fresh page", VECTOR_UD, (uint64_t)ATTEMPT_INSTRUCTION("ud2"));
        wrmsr(X2APIC_SELF_IPI, VECTOR_LOW);
        open_window();
        EXPECT_LOG("IPI on a fresh page", VECTOR_LOW);
        nmi_count = NMIS - 1;
        send_nmi();
        wait_for_nmis();
        guest_expect("NMI on a fresh page", NMIS, nmi_count);
    }
    lidt(&old);
    interrupt_set_stack(VECTOR_UD, 0);
    interrupt_set_stack(VECTOR_LOW, 0);
    interrupt_set_stack(VECTOR_NMI, 0);
    print("inject: %lu deliveries on fresh pages\n", 3 * rounds);
}

/* The storm ------------------------------------------------------------------------------------ */

#define STORM_HZ 2000

static void check_registers(uint64_t seed)
{
    register uint64_t r8 __asm__("r8") = seed, r9 __asm__("r9") = seed + 1, r10 __asm__("r10") = seed + 2,
                      r11 __asm__("r11") = seed + 3, r12 __asm__("r12") = seed + 4, r13 __asm__("r13") = seed + 5,
                      r14 __asm__("r14") = seed + 6, r15 __asm__("r15") = seed + 7, rsi __asm__("rsi") = seed + 8,
                      rdi __asm__("rdi") = seed + 9;
    __asm__ volatile("sti\n\tcpuid\n\tinb $0x80, %%al\n\tnop\n\tcli"
                     : "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r11), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15),
                       "+r"(rsi), "+r"(rdi)
                     : : "rax", "rbx", "rcx", "rdx", "memory");
    const uint64_t after[] = { r8, r9, r10, r11, r12, r13, r14, r15, rsi, rdi };
    for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++)
        guest_expect("a register after exits and interrupts", seed + i, after[i]);
}

static void test_storm(uint64_t turns)
{
    uint64_t tick = 0;

    timer_start(STORM_HZ);
    for (uint64_t turn = 0; turn < turns; turn++) {
        if (timer_fired())
            timer_arm(++tick);
        check_registers(turn * 0x9E3779B97F4A7C15);
        if (turn % 64 == 0)
            wrmsr(X2APIC_SELF_IPI, VECTOR_HIGH);
    }
    timer_sleep();
    guest_expect("timer interrupts", tick, timer_interrupts());
    guest_expect("reads in which the TSC ran backwards", 0, timer_backward_reads());
    print("inject: %lu turns, %lu timer interrupts\n", turns, tick);
}

void guest_main(void)
{
    uint64_t turns = option_number("turns", 20000, 1, UINT32_MAX);

    timer_start(STORM_HZ);              /* for the local APIC; no tick is asked for yet */
    test_ipis();
    test_windows();
    test_nmis();
    test_fresh_pages();
    test_storm(turns);
}
