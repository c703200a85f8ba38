/*
 * pc: the devices of the guest's PC, used and misused. Clocks must agree with the TSC (PIT, ACPI timer, RTC), devices in
 * memory must answer all kinds of instructions, PCI configuration space must stand any writes, and a BAR that is moved onto
 * RAM, an APIC or another BAR must hide nothing but itself. Option: end=pass, or refused: at last a PUSH from a
 * device, for which the pod must end the guest and show the instruction's bytes.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"
#include "guests/lib/virtio.h"

#define CPUID_TSC_KHZ 0x40000010u
#define PERMILLE 1000

const char guest_name[] = "pc";

static uint64_t tsc_hz;

static void expect_near(const char *what, uint64_t measured, uint64_t expected, uint64_t permille)
{
    uint64_t slack = expected * permille / PERMILLE;
    print("pc: %s: %lu TSC ticks, expected %lu\n", what, measured, expected);
    if (measured + slack < expected || measured > expected + slack)
        guest_fail("%s is wrong", what);
}

/* ---- clocks ---- */

#define PIT_HZ 1193182u
#define PIT_COUNT 23864u                /* 20 ms */
#define PIT_CHANNEL_2 0x42
#define PIT_CONTROL 0x43
#define SPEAKER 0x61
#define SPEAKER_GATE 0x01
#define SPEAKER_OUTPUT 0x20

/* A guest beside may have the CPU when the time is over: the shortest of some tries was not disturbed. */
#define TRIES 5

static uint64_t shortest(uint64_t (*measure)(void))
{
    uint64_t least = measure();

    for (unsigned i = 1; i < TRIES; i++) {
        uint64_t ticks = measure();

        if (ticks < least)
            least = ticks;
    }
    return least;
}

/* As kernels measure their TSC. */
static uint64_t pit_ticks(void)
{
    uint64_t start;
    outb(SPEAKER, (inb(SPEAKER) & ~2) | SPEAKER_GATE);
    outb(PIT_CONTROL, 0xb0);            /* channel 2, both bytes, mode 0 */
    outb(PIT_CHANNEL_2, PIT_COUNT & 0xff);
    start = rdtsc();
    outb(PIT_CHANNEL_2, PIT_COUNT >> 8);
    while (!(inb(SPEAKER) & SPEAKER_OUTPUT))
        ;
    return rdtsc() - start;
}

static void check_pit(void)
{
    expect_near("20 ms by the PIT", shortest(pit_ticks), tsc_hz * PIT_COUNT / PIT_HZ, 10);
}

#define PM_TIMER 0x608
#define PM_HZ 3579545u

static uint64_t pm_timer_ticks(void)
{
    uint32_t first = inl(PM_TIMER), ticks = PM_HZ / 50;
    uint64_t start = rdtsc();
    while (inl(PM_TIMER) - first < ticks)
        ;
    return rdtsc() - start;
}

static void check_pm_timer(void)
{
    expect_near("20 ms by the ACPI timer", shortest(pm_timer_ticks), tsc_hz / 50, 10);
}

#define RTC_INDEX 0x70
#define RTC_DATA 0x71

static uint8_t rtc(uint8_t index)
{
    outb(RTC_INDEX, index);
    return inb(RTC_DATA);
}

static uint64_t next_second(void)
{
    uint8_t second = rtc(0);
    while (rtc(0) == second)
        ;
    return rdtsc();
}

static void check_rtc(void)
{
    uint64_t start = next_second();
    print("pc: the clock says %x%x-%x-%x %x:%x:%x\n", rtc(0x32), rtc(9), rtc(8), rtc(7), rtc(4), rtc(2), rtc(0));
    expect_near("a second by the RTC", next_second() - start, tsc_hz, 10);
}

static void check_fw_cfg(void)
{
    char signature[5] = "";
    outw(0x510, 0);
    for (unsigned i = 0; i < 4; i++)
        signature[i] = (char)inb(0x511);
    outw(0x510, 5);
    unsigned cpus = inb(0x511);
    print("pc: firmware configuration %s, %u processors\n", signature, cpus);
    if (signature[0] != 'Q' || signature[3] != 'U' || cpus < 1)
        guest_fail("firmware configuration is wrong");
}

/* ---- instructions on a device ---- */

#define IOAPIC 0xfec00000ul
#define IOAPIC_SELECT ((volatile uint32_t *)IOAPIC)
#define IOAPIC_WINDOW (IOAPIC + 0x10)
#define IOAPIC_VERSION 1
#define IOAPIC_ENTRY_0 0x10

/* `instruction` with the window as (%1) and EAX = %0; then EAX must be `expected`. */
#define TRY(instruction, before, expected) \
    do { \
        uint64_t result = (before); \
        __asm__ volatile(instruction : "+a"(result) : "r"(IOAPIC_WINDOW) : "cc", "memory", "rcx", "rsi", "rdi"); \
        if (result != (expected)) \
            guest_fail("%s: 0x%lx, expected 0x%lx", instruction, result, (uint64_t)(expected)); \
    } while (0)

static void check_instructions(void)
{
    *IOAPIC_SELECT = IOAPIC_VERSION;
    uint32_t version = *(volatile uint32_t *)IOAPIC_WINDOW;
    print("pc: the I/O APIC's version register is 0x%x\n", version);
    TRY("movl (%1), %%eax", UINT64_MAX, version);
    TRY("movq (%1), %%rax", UINT64_MAX, version);
    TRY("movb (%1), %%ah", 0x1122334455667788, 0x1122334455660088 | (version & 0xff) << 8);
    TRY("movw (%1), %%ax", 0x1122334455667788, 0x1122334455660000 | (version & 0xffff));
    TRY("movzbl (%1), %%eax", UINT64_MAX, version & 0xff);
    TRY("movzwl (%1), %%eax", UINT64_MAX, version & 0xffff);
    TRY("orl (%1), %%eax", 0x80000000, version | 0x80000000u);
    TRY("addl (%1), %%eax", 1, version + 1);
    TRY("cmpl %%eax, (%1)\n\tsete %%al\n\tmovzbl %%al, %%eax", version, 1);
    TRY("testl $1, (%1)\n\tsetnz %%al\n\tmovzbl %%al, %%eax", 0, version & 1);
    TRY("movq %1, %%rsi\n\tlodsl\n\tsubq %1, %%rsi\n\taddq %%rsi, %%rax", 0, version + 4);
    *IOAPIC_SELECT = IOAPIC_ENTRY_0;    /* vector and mask: what is written can be read */
    TRY("movl $0x10041, (%1)\n\tmovl (%1), %%eax", 0, 0x10041);
    TRY("orl $6, (%1)\n\tmovl (%1), %%eax", 0, 0x10047);
    TRY("xchgl %%eax, (%1)", 0x10050, 0x10047);
    TRY("lock btsl $0, (%1)\n\tmovl (%1), %%eax", 0, 0x10051);
    TRY("movq %1, %%rdi\n\tmovl $1, %%ecx\n\tmovl $0x10042, %%eax\n\trep stosl\n\tmovl (%1), %%eax", 0, 0x10042);
}

/* ---- PCI ---- */

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_DEVICES 32
#define PCI_BAR_FIRST 0x10
#define PCI_BAR_LAST 0x24
#define X2APIC_VERSION 0x803

/* Every register of every slot, of every width; the header's constants must stay. */
static void abuse_config_space(void)
{
    for (uint32_t slot = 0; slot < PCI_DEVICES; slot++) {
        uint32_t id = pci_read(slot, 0), kind = pci_read(slot, 8);
        for (uint32_t offset = 0; offset < 256; offset++) {
            outl(PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
            outb((uint16_t)(PCI_DATA + offset % 4), 0xff);
            outw((uint16_t)(PCI_DATA + offset % 4), 0xa55a);
            outl((uint16_t)(PCI_DATA + offset % 4), 0xffffffff);
            inb((uint16_t)(PCI_DATA + offset % 4));
            inw((uint16_t)(PCI_DATA + offset % 4));
            inl((uint16_t)(PCI_DATA + offset % 4));
            outl(PCI_DATA, offset * 0x01010101u);
        }
        if (pci_read(slot, 0) != id || pci_read(slot, 8) != kind)
            guest_fail("slot %u has changed what it is", slot);
    }
    outl(PCI_ADDRESS, 0x80ffff00);      /* another bus */
    if (inl(PCI_DATA) != 0xffffffff)
        guest_fail("there is something on bus 255");
}

/* All BARs of all slots to one address, decoding on. */
static void move_bars(uint32_t address)
{
    for (uint32_t slot = 0; slot < PCI_DEVICES; slot++) {
        if (pci_read(slot, 0) == 0xffffffff)
            continue;
        for (uint32_t bar = PCI_BAR_FIRST; bar <= PCI_BAR_LAST; bar += 4)
            pci_write(slot, bar, address);
        pci_write(slot, 4, 2);
    }
}

static void abuse_bars(void)
{
    static volatile uint64_t word = 0x123456789abcdef0;
    static const uint32_t places[] = { 0xc0000000, 0xfebff000, 0xfffff000, 0xff000000 };
    uint32_t version;

    *IOAPIC_SELECT = IOAPIC_VERSION;
    version = *(volatile uint32_t *)IOAPIC_WINDOW;
    move_bars((uint32_t)(uintptr_t)&word & ~0xfffu);
    if (word != 0x123456789abcdef0)
        guest_fail("a BAR lies over RAM");
    word = 0x0fedcba987654321;
    if (word != 0x0fedcba987654321)
        guest_fail("a BAR took a write to RAM");
    move_bars((uint32_t)IOAPIC);
    *IOAPIC_SELECT = IOAPIC_VERSION;
    if (*(volatile uint32_t *)IOAPIC_WINDOW != version)
        guest_fail("a BAR lies over the I/O APIC");
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        move_bars(places[i]);
        for (uint64_t at = places[i]; at < places[i] + 0x8000ul && at < 0x100000000ul - 8; at += 8) {
            *(volatile uint64_t *)at = at * 0x9e3779b97f4a7c15;
            (void)*(volatile uint64_t *)at;
            *(volatile uint16_t *)(at + 3) = 0xffff;
            (void)*(volatile uint8_t *)(at + 7);
        }
    }
    move_bars(0xfee00000);
    if ((rdmsr(X2APIC_VERSION) & 0xff) < 0x10)
        guest_fail("a BAR has changed the local APIC");
}

void guest_main(void)
{
    static const char *const ends[] = { "pass", "refused" };
    unsigned end = option_choice("end", ends, 2, 0);

    tsc_hz = (uint64_t)cpuid(CPUID_TSC_KHZ, 0).eax * 1000;
    check_pit();
    check_pm_timer();
    check_rtc();
    check_fw_cfg();
    check_instructions();
    abuse_config_space();
    abuse_bars();
    check_pit();
    if (end == 1) {
        __asm__ volatile("pushq (%0)" : : "a"(IOAPIC_WINDOW) : "memory");
        guest_fail("PUSH from a device was survived");
    }
}
