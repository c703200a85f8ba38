/*
 * apic: the interrupt hardware of a PC, as the manuals have it. Local APIC in xAPIC mode (registers in memory) and in
 * x2APIC mode, and the steps between them; I/O APIC, edge- and level-triggered; the 8259A pair through LINT0 ("virtual
 * wire"). The source of interrupts is the UART, whose transmitter is always empty: its line is up while IER.THRE is on.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"

const char guest_name[] = "apic";

#define VECTOR_A 40                 /* priority class 2 */
#define VECTOR_B 50                 /* class 3 */
#define PIC_BASE 40                 /* a multiple of 8 */
#define UART_IRQ 4
#define VECTOR_PIC (PIC_BASE + UART_IRQ)
#define PATIENCE 1000000            /* turns of a loop that waits */

static uint32_t rd(uint32_t offset) { return *(volatile uint32_t *)(uint64_t)(XAPIC_BASE + offset); }
static void wr(uint32_t offset, uint32_t value) { *(volatile uint32_t *)(uint64_t)(XAPIC_BASE + offset) = value; }

/* Interrupts that came, and what the handler saw --------------------------------------------- */

static unsigned came;
static uint64_t came_vector;
static bool in_memory;              /* xAPIC mode */
static uint32_t isr_seen, tmr_seen;
static void (*at_interrupt)(void);

static uint32_t apic_register(uint32_t offset)
{
    return in_memory ? rd(offset) : (uint32_t)rdmsr(0x800 + offset / 16);
}

static void eoi(void)
{
    if (in_memory)
        wr(XAPIC_EOI, 0);
    else
        wrmsr(X2APIC_EOI, 0);
}

static void note(struct interrupt_frame *frame)
{
    uint32_t word = (uint32_t)frame->vector / 32;
    came++;
    came_vector = frame->vector;
    isr_seen = apic_register(XAPIC_ISR0 + 16 * word) >> frame->vector % 32 & 1;
    tmr_seen = apic_register(XAPIC_TMR0 + 16 * word) >> frame->vector % 32 & 1;
    if (at_interrupt)
        at_interrupt();
}

static void apic_handler(struct interrupt_frame *frame)
{
    note(frame);
    eoi();
}

static void open_window(void)
{
    __asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
}

static void expect_interrupt(const char *what, unsigned times, unsigned vector)
{
    open_window();
    guest_expect(what, times, came);
    if (times)
        guest_expect(what, vector, came_vector);
    came = 0;
}

static void wait_for_interrupt(const char *what)
{
    for (unsigned i = 0; came == 0; i++) {
        open_window();
        if (i > PATIENCE)
            guest_fail("%s: no interrupt", what);
    }
    came = 0;
}

/* Modes: SDM Vol. 3A, section 11.12.5 "x2APIC State Transitions" ------------------------------ */

static uint64_t base_of(uint64_t mode)
{
    return (rdmsr(IA32_APIC_BASE) & ~(uint64_t)(IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD)) | mode;
}

static void expect_step(const char *what, uint64_t mode, int vector)
{
    guest_expect(what, (uint64_t)(int64_t)vector, (uint64_t)(int64_t)attempt_wrmsr(IA32_APIC_BASE, base_of(mode)));
}

static void test_modes(void)
{
    const uint64_t disabled = 0, xapic = IA32_APIC_BASE_EN, x2apic = IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD;
    uint64_t value;

    expect_step("x2APIC to xAPIC", xapic, VECTOR_GP);
    expect_step("x2APIC to invalid", IA32_APIC_BASE_EXTD, VECTOR_GP);
    wrmsr(X2APIC_SVR, 0x1ff);
    wrmsr(X2APIC_TPR, 0x30);
    expect_step("x2APIC to disabled", disabled, ATTEMPT_NO_FAULT);
    guest_expect("an x2APIC MSR while disabled", VECTOR_GP, (uint64_t)attempt_rdmsr(X2APIC_ID, &value));
    guest_expect("registers in memory while disabled", UINT32_MAX, rd(XAPIC_VERSION));
    expect_step("disabled to x2APIC", x2apic, VECTOR_GP);
    expect_step("disabled to xAPIC", xapic, ATTEMPT_NO_FAULT);
    guest_expect("an x2APIC MSR in xAPIC mode", VECTOR_GP, (uint64_t)attempt_rdmsr(X2APIC_ID, &value));
    guest_expect("TPR after disabling", 0, rd(XAPIC_TPR));
    guest_expect("SVR after disabling", 0xff, rd(XAPIC_SVR));
    wr(XAPIC_TPR, 0x40);
    expect_step("xAPIC to x2APIC", x2apic, ATTEMPT_NO_FAULT);
    guest_expect("TPR after xAPIC to x2APIC", 0x40, rdmsr(X2APIC_TPR));
    guest_expect("registers in memory in x2APIC mode", UINT32_MAX, rd(XAPIC_VERSION));
    wrmsr(X2APIC_TPR, 0);
    expect_step("x2APIC to disabled", disabled, ATTEMPT_NO_FAULT);
    expect_step("disabled to xAPIC", xapic, ATTEMPT_NO_FAULT);
    in_memory = true;
    print("apic: modes\n");
}

/* Registers in memory ------------------------------------------------------------------------ */

static void test_registers(void)
{
    guest_expect("ID", cpuid(1, 0).ebx >> 24, rd(XAPIC_ID) >> 24);
    wr(XAPIC_ID, 0x77000000);
    guest_expect("ID after a write", cpuid(1, 0).ebx >> 24, rd(XAPIC_ID) >> 24);
    guest_expect("version", 0x14, rd(XAPIC_VERSION) & 0xff);
    wr(XAPIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    wr(XAPIC_LDR, 0xffffffff);
    guest_expect("LDR", 0xff000000, rd(XAPIC_LDR));
    wr(XAPIC_DFR, 0);
    guest_expect("DFR", 0x0fffffff, rd(XAPIC_DFR));
    wr(XAPIC_DFR, 0xffffffff);
    wr(XAPIC_LVT_TIMER, 0xffffffff & ~(3u << 17));
    guest_expect("LVT timer", 0x100ff, rd(XAPIC_LVT_TIMER));
    wr(XAPIC_ICR_HIGH, 0xffffffff);
    guest_expect("ICR high", 0xff000000, rd(XAPIC_ICR_HIGH));
    wr(XAPIC_ESR, 0);
    wr(XAPIC_ICR, 0x40005);         /* self, vector 5: illegal */
    wr(XAPIC_ESR, 0);
    guest_expect("ESR", 1u << 5 | 1u << 6, rd(XAPIC_ESR));
    wr(XAPIC_ESR, 0);
    guest_expect("ESR after a write", 0, rd(XAPIC_ESR));
    wr(XAPIC_TPR, 0x35);
    guest_expect("PPR", 0x35, rd(XAPIC_PPR));
    guest_expect("CR8", 3, read_cr8());
    write_cr8(0);
    guest_expect("TPR", 0, rd(XAPIC_TPR));
    /* Accesses in other forms than a driver's MOV. */
    __asm__ volatile("orl $0x20, (%0)\n\taddl $0x10, (%0)" : : "r"((uint64_t)XAPIC_BASE + XAPIC_TPR) : "memory", "cc");
    guest_expect("TPR after OR and ADD", 0x30, rd(XAPIC_TPR));
    uint32_t exchanged = 0;
    __asm__ volatile("xchgl %0, (%1)" : "+r"(exchanged) : "r"((uint64_t)XAPIC_BASE + XAPIC_TPR) : "memory");
    guest_expect("XCHG with TPR", 0x30, exchanged);
    guest_expect("TPR after XCHG", 0, rd(XAPIC_TPR));
    print("apic: registers in memory\n");
}

/* Logical destinations: SDM Vol. 3A, section 11.6.2.2 "Logical Destination Mode" -------------- */

static void send(uint8_t destination, uint32_t low)
{
    wr(XAPIC_ICR_HIGH, (uint32_t)destination << 24);
    wr(XAPIC_ICR, low);
}

static void test_ipis(void)
{
    uint8_t id = (uint8_t)(rd(XAPIC_ID) >> 24);

    wr(XAPIC_ICR, 0x40000 | VECTOR_A);
    wr(XAPIC_ICR, 0x40000 | VECTOR_B);
    guest_expect("IRR", 1u << 8 | 1u << 18, rd(XAPIC_IRR0 + 16));
    expect_interrupt("IPIs to itself", 2, VECTOR_A);
    guest_expect("ISR bit seen by the handler", 1, isr_seen);
    guest_expect("TMR bit seen by the handler", 0, tmr_seen);
    send(id, VECTOR_A);
    expect_interrupt("IPI to its own ID", 1, VECTOR_A);
    send(0xff, VECTOR_A);
    expect_interrupt("IPI to all IDs", 1, VECTOR_A);
    send(id + 1, VECTOR_A);
    expect_interrupt("IPI to another ID", 0, 0);
    wr(XAPIC_LDR, 0x24000000);
    send(0x04, 0x800 | VECTOR_A);
    expect_interrupt("logical, flat: member", 1, VECTOR_A);
    send(0x02, 0x800 | VECTOR_A);
    expect_interrupt("logical, flat: no member", 0, 0);
    wr(XAPIC_DFR, 0x0fffffff);
    send(0x24, 0x800 | VECTOR_A);
    expect_interrupt("logical, cluster: member", 1, VECTOR_A);
    send(0x14, 0x800 | VECTOR_A);
    expect_interrupt("logical, cluster: another cluster", 0, 0);
    send(0x24, 0x900 | VECTOR_B);
    expect_interrupt("lowest priority", 1, VECTOR_B);
    wr(XAPIC_DFR, 0xffffffff);
    wr(XAPIC_TPR, 0x20);
    wr(XAPIC_ICR, 0x80000 | VECTOR_A);
    expect_interrupt("all including self, held by TPR", 0, 0);
    wr(XAPIC_TPR, 0x10);
    expect_interrupt("all including self", 1, VECTOR_A);
    wr(XAPIC_TPR, 0);
    wr(XAPIC_ICR, 0xc0000 | VECTOR_A);
    expect_interrupt("all excluding self", 0, 0);
    print("apic: IPIs in xAPIC mode\n");
}

static void test_timer(void)
{
    wr(XAPIC_DIVIDE, 0xb);
    wr(XAPIC_LVT_TIMER, VECTOR_A);
    wr(XAPIC_INITIAL_COUNT, 1000000);
    uint32_t first = rd(XAPIC_CURRENT_COUNT), second = rd(XAPIC_CURRENT_COUNT);
    if (first > 1000000 || second >= first || second == 0)
        guest_fail("current count: %u, then %u", first, second);
    wait_for_interrupt("one-shot timer");
    guest_expect("current count at the end", 0, rd(XAPIC_CURRENT_COUNT));
    wr(XAPIC_LVT_TIMER, 1u << 17 | VECTOR_A);
    wr(XAPIC_INITIAL_COUNT, 50000);
    for (unsigned i = 0; i < 5; i++)
        wait_for_interrupt("periodic timer");
    wr(XAPIC_INITIAL_COUNT, 0);
    open_window();                      /* one more period may have ended before the timer was stopped */
    came = 0;
    wr(XAPIC_LVT_TIMER, 2u << 17 | VECTOR_A);
    wrmsr(IA32_TSC_DEADLINE, rdtsc() + 100000);
    wait_for_interrupt("TSC deadline");
    guest_expect("IA32_TSC_DEADLINE afterwards", 0, rdmsr(IA32_TSC_DEADLINE));
    wr(XAPIC_LVT_TIMER, 0x10000);
    came = 0;
    print("apic: timer in xAPIC mode\n");
}

/* I/O APIC: 82093AA data sheet ---------------------------------------------------------------- */

static uint32_t io_read(uint32_t reg)
{
    *(volatile uint32_t *)(uint64_t)IOAPIC_ADDRESS = reg;
    return *(volatile uint32_t *)(uint64_t)(IOAPIC_ADDRESS + 0x10);
}

static void io_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(uint64_t)IOAPIC_ADDRESS = reg;
    *(volatile uint32_t *)(uint64_t)(IOAPIC_ADDRESS + 0x10) = value;
}

#define IO_MASKED 0x10000u
#define IO_LEVEL 0x8000u
#define IO_REMOTE_IRR 0x4000u

static void route(unsigned pin, uint32_t low)
{
    io_write(0x10 + 2 * pin + 1, rd(XAPIC_ID));
    io_write(0x10 + 2 * pin, low);
}

static void line_up(void) { outb(UART_IER, 2); }        /* "transmitter empty" */
static void line_down(void) { outb(UART_IER, 0); }

static unsigned turns_left;

static void lower_in_the_end(void)
{
    guest_expect("remote IRR in the handler", IO_REMOTE_IRR, io_read(0x10 + 2 * UART_IRQ) & IO_REMOTE_IRR);
    if (--turns_left == 0)
        line_down();
}

static void test_ioapic(void)
{
    guest_expect("I/O APIC version", 0x00170011, io_read(1));
    route(UART_IRQ, VECTOR_A);
    line_up();
    expect_interrupt("an edge", 1, VECTOR_A);
    guest_expect("TMR bit of an edge", 0, tmr_seen);
    expect_interrupt("no second edge", 0, 0);
    line_down();
    route(UART_IRQ, IO_MASKED | VECTOR_A);
    line_up();
    route(UART_IRQ, VECTOR_A);
    expect_interrupt("an edge while masked is lost", 0, 0);
    line_down();

    turns_left = 3;
    at_interrupt = lower_in_the_end;
    route(UART_IRQ, IO_LEVEL | VECTOR_A);
    line_up();
    for (unsigned i = 0; turns_left > 0 && i < PATIENCE; i++)
        open_window();
    open_window();
    at_interrupt = 0;
    guest_expect("a level comes again until it is gone", 3, came);
    guest_expect("TMR bit of a level", 1, tmr_seen);
    guest_expect("remote IRR after the last EOI", 0, io_read(0x10 + 2 * UART_IRQ) & IO_REMOTE_IRR);
    came = 0;
    route(UART_IRQ, IO_MASKED);
    print("apic: I/O APIC\n");
}

/* The pod's test lines (guests/ABI.md): a byte at the port of a pin is that pin's level. */
#define TEST_LINES 0x2000
#define TEST_PIN 14

static void test_lines(void)
{
    route(TEST_PIN, VECTOR_B);
    outb(TEST_LINES + TEST_PIN, 1);
    expect_interrupt("a test line goes up", 1, VECTOR_B);
    outb(TEST_LINES + TEST_PIN, 0xff);
    outb(TEST_LINES + TEST_PIN, 0);
    expect_interrupt("it was up, and goes down", 0, 0);
    outb(TEST_LINES + TEST_PIN, 1);
    expect_interrupt("it goes up again", 1, VECTOR_B);
    outb(TEST_LINES + TEST_PIN, 0);
    route(TEST_PIN, IO_MASKED);
    print("apic: test lines\n");
}

/* 8259A data sheet; MultiProcessor Specification 1.4, 3.6.2.2 "Virtual Wire Mode" -------------- */

#define PIC1 0x20
#define PIC2 0xA0

static void pic_handler(struct interrupt_frame *frame)
{
    note(frame);
    line_down();
    outb(PIC1, 0x20);
}

static void pic_init(uint8_t icw4)
{
    static const uint16_t ports[2] = { PIC1, PIC2 };
    for (unsigned i = 0; i < 2; i++) {
        outb(ports[i], 0x11);
        outb(ports[i] + 1, (uint8_t)(PIC_BASE + 8 * i));
        outb(ports[i] + 1, i == 0 ? 4 : 2);
        outb(ports[i] + 1, icw4);
        outb(ports[i] + 1, 0xff);
    }
}

static void test_pic(uint32_t lint0)
{
    interrupt_set_handler(VECTOR_PIC, pic_handler);
    pic_init(1);
    line_up();
    line_down();
    expect_interrupt("the PIC masks", 0, 0);
    outb(PIC1 + 1, (uint8_t)~(1u << UART_IRQ));
    /* The edge has been noted meanwhile. */
    if (in_memory)
        wr(XAPIC_LVT_LINT0, lint0);
    else
        wrmsr(0x835, lint0);
    expect_interrupt("an interrupt by LINT0", 1, VECTOR_PIC);
    guest_expect("ISR of the local APIC", 0, isr_seen);
    line_up();
    expect_interrupt("another", 1, VECTOR_PIC);
    if (in_memory)
        wr(XAPIC_LVT_LINT0, 0x10000 | lint0);
    else
        wrmsr(0x835, 0x10000 | lint0);
    line_up();
    expect_interrupt("LINT0 masked", 0, 0);
    outb(PIC1, 0x0c);
    guest_expect("poll", 0x80 | UART_IRQ, inb(PIC1));
    outb(PIC1, 0x20);
    line_down();
    outb(PIC1 + 1, 0xff);
    print("apic: PIC through LINT0, %s mode\n", in_memory ? "xAPIC" : "x2APIC");
}

void guest_main(void)
{
    interrupt_set_handler(VECTOR_A, apic_handler);
    interrupt_set_handler(VECTOR_B, apic_handler);
    outb(UART_MCR, UART_MCR_DTR_RTS | 0x08); /* OUT2 lets the UART's line through on a PC */
    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    test_pic(0x700);
    test_modes();
    test_registers();
    test_ipis();
    test_timer();
    test_ioapic();
    if (option_number("lines", 1, 0, 1))
        test_lines();
    test_pic(0x700);
}
