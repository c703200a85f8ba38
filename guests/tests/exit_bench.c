/*
 * exit_bench: what an exit costs, or what needs none, in TSC ticks (in Bochs: instructions) a turn, loop included. One line
 * each, empty loop ("nothing") first; its overhead is not taken off:
 *
 *     cpuid instructions_per_exit X
 *
 * The local APIC is measured in x2APIC mode (lapic_read, ipi) and then in xAPIC mode, through memory
 * (xapic_read, xapic_ipi). virtio_kick is the doorbell of a virtio network device's transmit queue, if there is
 * one; nobody has set up the queue, so it is the way there and back and no packet.
 * Option: n=10000, the number of turns.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

const char guest_name[] = "exit_bench";

/* `turn` n times; %1 is an address for it. */
#define BENCH(name, turn) \
    static uint64_t bench_##name(uint64_t n, uint64_t address) \
    { \
        uint64_t start = rdtsc(); \
        __asm__ volatile("1:\n\t" turn "\n\tdec %0\n\tjnz 1b" \
                         : "+r"(n) : "r"(address) : "rax", "rbx", "rcx", "rdx", "cc", "memory"); \
        return rdtsc() - start; \
    }
#define MSR(number) "movl $" #number ", %%ecx\n\t"
#define PORT(number) "movl $" #number ", %%edx\n\t"

BENCH(nothing, "")
BENCH(cpuid, "xorl %%eax, %%eax\n\txorl %%ecx, %%ecx\n\tcpuid")
BENCH(rdmsr, MSR(0x1B) "rdmsr")
BENCH(tsc_deadline, MSR(0x6E0) "xorl %%eax, %%eax\n\txorl %%edx, %%edx\n\twrmsr")
BENCH(port, PORT(0x61) "inb %%dx, %%al")
BENCH(no_port, PORT(0x80) "outb %%al, %%dx")
BENCH(uart, PORT(0x3FD) "inb %%dx, %%al")
BENCH(x2apic_read, MSR(0x802) "rdmsr")
BENCH(x2apic_self_ipi, MSR(0x83F) "movl $0x40, %%eax\n\txorl %%edx, %%edx\n\twrmsr")
BENCH(cr8, "xorl %%eax, %%eax\n\tmovq %%rax, %%cr8")
BENCH(memory_read, "movl (%1), %%eax")
BENCH(xapic_self_ipi, "movl $0x40040, (%1)")
BENCH(doorbell, "movw $1, (%1)")

struct bench {
    const char *name;
    uint64_t (*run)(uint64_t n, uint64_t address);
    uint64_t address;
};

static uint64_t turns;

static void run(const struct bench *bench)
{
    uint64_t ticks = bench->run(turns, bench->address);
    print("%s instructions_per_exit %lu\n", bench->name, (ticks + turns / 2) / turns);
}

/* SDM Vol. 3A, section 11.12.5.1 "x2APIC States": from x2APIC to xAPIC mode the way is through "disabled". */
static void enter_xapic_mode(void)
{
    uint64_t base = rdmsr(IA32_APIC_BASE) & ~(uint64_t)(IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
    wrmsr(IA32_APIC_BASE, base);
    wrmsr(IA32_APIC_BASE, base | IA32_APIC_BASE_EN);
    *(volatile uint32_t *)(XAPIC_BASE + XAPIC_SVR) = X2APIC_SVR_ENABLE | VECTOR_SPURIOUS;
}

/* PCI configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2), and virtio 1.x, 4.1 "Virtio Over PCI Bus". */
#define PCI_ADDRESS_PORT 0xCF8
#define PCI_DATA_PORT 0xCFC
#define PCI_ENABLE 0x80000000u
#define PCI_SLOTS 32
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 2
#define PCI_BAR0 0x10
#define PCI_BARS 6
#define PCI_CAPABILITIES 0x34
#define PCI_CAPABILITY_VENDOR 9
#define VIRTIO_NET_ID 0x10411AF4u
#define VIRTIO_NOTIFY_CFG 2

static uint32_t pci_read(uint32_t slot, uint32_t offset)
{
    outl(PCI_ADDRESS_PORT, PCI_ENABLE | slot << 11 | (offset & 0xFC));
    return inl(PCI_DATA_PORT) >> 8 * (offset & 3);
}

static void pci_write(uint32_t slot, uint32_t offset, uint32_t value)
{
    outl(PCI_ADDRESS_PORT, PCI_ENABLE | slot << 11 | (offset & 0xFC));
    outl(PCI_DATA_PORT, value);
}

static uint64_t bar_address(uint32_t slot, uint32_t bar)
{
    uint32_t low = pci_read(slot, PCI_BAR0 + 4 * bar);
    uint64_t high = (low & 6) == 4 && bar + 1 < PCI_BARS ? pci_read(slot, PCI_BAR0 + 4 * (bar + 1)) : 0;
    return high << 32 | (low & ~0xFu);
}

/* The doorbell of the first virtio network device; 0: there is none, or it is out of reach. */
static uint64_t find_doorbell(void)
{
    for (uint32_t slot = 0; slot < PCI_SLOTS; slot++) {
        if (pci_read(slot, 0) != VIRTIO_NET_ID)
            continue;
        pci_write(slot, PCI_COMMAND, (pci_read(slot, PCI_COMMAND) & 0xFFFF) | PCI_COMMAND_MEMORY);
        for (uint32_t at = pci_read(slot, PCI_CAPABILITIES) & 0xFF; at != 0; at = pci_read(slot, at + 1) & 0xFF) {
            if ((pci_read(slot, at) & 0xFF) != PCI_CAPABILITY_VENDOR || (pci_read(slot, at + 3) & 0xFF) != VIRTIO_NOTIFY_CFG)
                continue;
            uint64_t address = bar_address(slot, pci_read(slot, at + 4) & 0xFF) + pci_read(slot, at + 8);
            return address < MAPPED_LIMIT ? address : 0;
        }
    }
    return 0;
}

void guest_main(void)
{
    static const struct bench first[] = {
        { "nothing", bench_nothing, 0 },
        { "cpuid", bench_cpuid, 0 },
        { "msr", bench_rdmsr, 0 },
        { "tsc_deadline", bench_tsc_deadline, 0 },
        { "port", bench_port, 0 },
        { "no_port", bench_no_port, 0 },
        { "uart", bench_uart, 0 },
        { "lapic_read", bench_x2apic_read, 0 },
        { "ipi", bench_x2apic_self_ipi, 0 },
        { "cr8", bench_cr8, 0 },
        { "ioapic_read", bench_memory_read, IOAPIC_ADDRESS },
    };
    static const struct bench in_memory[] = {
        { "xapic_read", bench_memory_read, XAPIC_BASE + XAPIC_SVR },
        { "xapic_ipi", bench_xapic_self_ipi, XAPIC_BASE + XAPIC_ICR },
    };
    uint64_t doorbell;

    turns = option_number("n", 10000, 1, UINT32_MAX);
    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        run(&first[i]);
    doorbell = find_doorbell();
    if (doorbell != 0)
        run(&(struct bench){ "virtio_kick", bench_doorbell, doorbell });
    enter_xapic_mode();
    for (unsigned i = 0; i < sizeof(in_memory) / sizeof(in_memory[0]); i++)
        run(&in_memory[i]);
}
