/*
 * apic_abuse: a guest that treats its interrupt hardware badly. Every register of the local APIC in every mode, of the
 * I/O APIC and of the PICs, with values that make no sense, in accesses of all sizes, in any order; storms of IPIs; modes
 * and base addresses that cannot be. The guest itself must come out of it alive, and its APIC must work after a reset
 * of it; what the pod and its other guests make of it is for the test outside to see. Interrupts stay off: which vectors
 * arrive is not the point. INITs to itself, which would end it, are left out. Options: turns=20000, seed=1.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

const char guest_name[] = "apic_abuse";

#define ICR_MODE_MASK 0x700u
#define MODE_INIT 0x500u
#define MODE_START_UP 0x600u

static uint64_t seed;

static uint32_t random_word(void)
{
    seed = seed * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(seed >> 32);
}

static uint32_t nasty(void)
{
    static const uint32_t values[] = { 0, 1, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x60000,
                                       0x1ffff, 0xcc500, 0x1f, 0xb };
    uint32_t choice = random_word() % 32;
    return choice < sizeof(values) / sizeof(values[0]) ? values[choice] : random_word();
}

/* No INIT and no start-up IPI. */
static uint32_t harmless(uint32_t value)
{
    uint32_t mode = value & ICR_MODE_MASK;
    return mode == MODE_INIT || mode == MODE_START_UP ? value & ~ICR_MODE_MASK : value;
}

static unsigned nmis;
static void count_nmi(struct interrupt_frame *frame)
{
    (void)frame;
    nmis++;
}

/* An access of 1, 2, 4 or 8 bytes anywhere in a page of registers. */
static void any_access(uint64_t page, uint32_t value)
{
    uint32_t r = random_word();
    uint64_t address = page + (r & 0x3ff0) % 0x1000 + (r % 8 == 0 ? r >> 20 & 15 : 0);
    switch (r >> 16 & 7) {
    case 0: *(volatile uint8_t *)address = (uint8_t)value; break;
    case 1: *(volatile uint16_t *)address = (uint16_t)value; break;
    case 2: *(volatile uint64_t *)address = value | (uint64_t)value << 32; break;
    case 3: (void)*(volatile uint8_t *)address; break;
    case 4: (void)*(volatile uint64_t *)address; break;
    case 5: (void)*(volatile uint32_t *)address; break;
    default: *(volatile uint32_t *)address = value;
    }
}

static void use_xapic(void)
{
    uint32_t offset = random_word() % 0x40 * 16, value = nasty();
    any_access(XAPIC_BASE, harmless(value));
    *(volatile uint32_t *)(uint64_t)(XAPIC_BASE + offset) = offset == XAPIC_ICR ? harmless(value) : value;
    (void)*(volatile uint32_t *)(uint64_t)(XAPIC_BASE + offset);
}

static void use_x2apic(void)
{
    uint32_t msr = 0x800 + random_word() % 0x100;
    uint64_t value = nasty();
    if (random_word() % 4 == 0)
        value |= (uint64_t)nasty() << 32;
    attempt_wrmsr(msr, msr == X2APIC_ICR ? (value & ~0xffffffffull) | harmless((uint32_t)value) : value);
    attempt_rdmsr(msr, &value);
    attempt_write_cr8(random_word() % 20);
}

static void use_ioapic(void)
{
    *(volatile uint32_t *)(uint64_t)IOAPIC_ADDRESS = random_word() % 72;
    *(volatile uint32_t *)(uint64_t)(IOAPIC_ADDRESS + 0x10) = harmless(nasty());
    any_access(IOAPIC_ADDRESS, harmless(nasty()) & ~ICR_MODE_MASK);
}

static void use_pic(void)
{
    static const uint16_t ports[] = { 0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1 };
    outb(ports[random_word() % 6], (uint8_t)nasty());
    inb(ports[random_word() % 6]);
    outb(UART_IER, random_word() & 2);      /* its line goes up and down */
}

static void use_timer(void)
{
    attempt_wrmsr(IA32_TSC_DEADLINE, random_word() % 2 ? rdtsc() + random_word() % 5000 : nasty());
}

/* All of IA32_APIC_BASE; what is legal is taken, and the registers are looked for where it says, outside of RAM. */
static void any_base(void)
{
    uint64_t value = rdmsr(IA32_APIC_BASE) ^ 1ull << random_word() % 64;
    if (random_word() % 4 == 0)
        value = nasty() | (uint64_t)nasty() << 32;
    attempt_wrmsr(IA32_APIC_BASE, value);
    value = rdmsr(IA32_APIC_BASE) & ~(uint64_t)(PAGE_SIZE - 1);
    if (value >= guest_ram_size() && value < MAPPED_LIMIT)
        any_access(value, harmless(nasty()) & ~ICR_MODE_MASK);
    any_access(XAPIC_BASE, harmless(nasty()) & ~ICR_MODE_MASK);
}

static void sane_base(uint64_t mode)
{
    uint64_t base = XAPIC_BASE | 0x100;
    wrmsr(IA32_APIC_BASE, base);
    wrmsr(IA32_APIC_BASE, base | IA32_APIC_BASE_EN);
    wrmsr(IA32_APIC_BASE, base | mode);
}

static void abuse(const char *what, uint64_t mode, void (*use)(void), uint64_t turns)
{
    sane_base(mode);
    for (uint64_t i = 0; i < turns; i++) {
        use();
        use_ioapic();
        use_pic();
        use_timer();
    }
    print("apic_abuse: %s\n", what);
}

/* Storms: as fast as it can, with what is allowed. */
static void storm(uint64_t turns)
{
    sane_base(IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    for (uint64_t i = 0; i < turns; i++) {
        wrmsr(X2APIC_ICR, 0xffffffffull << 32 | X2APIC_ICR_NMI);       /* to all */
        wrmsr(X2APIC_ICR, 0xc0000 | 0x30);
        wrmsr(X2APIC_SELF_IPI, 0x31);
        wrmsr(X2APIC_ICR, 0xc0000 | MODE_INIT | 0x4000);               /* all excluding self */
    }
    print("apic_abuse: storm of IPIs, %s\n", nmis > 0 ? "NMIs came" : "no NMI came");
}

void guest_main(void)
{
    uint64_t turns = option_number("turns", 5000, 1, UINT32_MAX);

    seed = option_number("seed", 1, 0, UINT32_MAX);
    interrupt_set_handler(VECTOR_NMI, count_nmi);
    abuse("x2APIC mode", IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD, use_x2apic, turns);
    abuse("xAPIC mode", IA32_APIC_BASE_EN, use_xapic, turns);
    abuse("disabled", 0, use_xapic, turns / 4);
    abuse("modes and bases", IA32_APIC_BASE_EN, any_base, turns);
    storm(turns);
    sane_base(IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
    outb(UART_IER, 0);
    outb(0x21, 0xff);
    outb(0xA1, 0xff);
    for (unsigned pin = 0; pin < 24; pin++) {
        *(volatile uint32_t *)(uint64_t)IOAPIC_ADDRESS = 0x10 + 2 * pin;
        *(volatile uint32_t *)(uint64_t)(IOAPIC_ADDRESS + 0x10) = 0x10000;
    }
    timer_start(100);
    for (uint64_t tick = 1; tick <= 5; tick++) {
        timer_arm(tick);
        timer_sleep();
    }
}
