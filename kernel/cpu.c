/*
 * Guarantees: each CPU that counts (index < cpu_count()) has its struct cpu at GS:0, its own descriptor tables, and the
 * same control registers as all others.
 */
#include "kernel/cpu.h"
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/descriptors.h"
#include "kernel/arch/insn.h"
#include "kernel/lapic.h"
#include "kernel/arch/msr.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "mm/paging.h"

struct cpu_area {
    struct cpu cpu;
    struct descriptor_tables tables;
};

static struct cpu_area bootstrap;
static uint8_t bootstrap_ist_stacks[IST_END][IST_STACK_SIZE] __attribute__((aligned(16)));
static struct cpu *cpus[CPUS_MAX];
static atomic_uint online;

/*
 * The firmware's control registers are not believed. CR4 bits are set where the processor has the feature; VMXE is
 * vmx's. CD and NW are clear: caches on.
 */
static void control_registers_init(void)
{
    uint64_t cr4 = CR4_DE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (cpuid(1, 0).ecx & CPUID_01_ECX_XSAVE)
        cr4 |= CR4_OSXSAVE;
    uint32_t features = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).ebx : 0;
    cr4 |= features & CPUID_07_EBX_SMEP ? CR4_SMEP : 0;
    cr4 |= features & CPUID_07_EBX_SMAP ? CR4_SMAP : 0;
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
    write_cr4(cr4);
    wrmsr(IA32_EFER, IA32_EFER_LME | IA32_EFER_LMA | IA32_EFER_NXE);
}

static void cpu_fill(struct cpu_area *area, uint32_t index, uint32_t apic_id, void *const ist_tops[IST_END])
{
    descriptors_prepare(&area->tables, ist_tops);
    area->cpu = (struct cpu){
        .self = &area->cpu,
        .index = index,
        .apic_id = apic_id,
        .tss = &area->tables.tss,
        .gdt = &area->tables.gdt,
    };
    cpus[index] = &area->cpu;
}

void cpu_enter(struct cpu *cpu)
{
    struct cpu_area *area = (struct cpu_area *)cpu;

    control_registers_init();
    descriptors_load(&area->tables);
    wrmsr(IA32_GS_BASE, (uint64_t)cpu);
    wrmsr(IA32_FS_BASE, 0);
}

void cpu_set_online(struct cpu *cpu)
{
    KERNEL_ASSERT(cpu->index == atomic_load(&online));
    atomic_store(&online, cpu->index + 1);
}

void cpu_init(void)
{
    void *tops[IST_END];

    for (unsigned i = 0; i < IST_END; i++)
        tops[i] = bootstrap_ist_stacks[i] + IST_STACK_SIZE;
    cpu_fill(&bootstrap, 0, cpuid(1, 0).ebx >> 24, tops); /* the initial APIC id; interrupt_init() asks the LAPIC */
    cpu_enter(&bootstrap.cpu);
    cpu_set_online(&bootstrap.cpu);
}

static void free_stacks(void *const tops[IST_END])
{
    for (unsigned i = IST_DOUBLE_FAULT; i < IST_END; i++)
        if (tops[i])
            paging_free_stack(tops[i], IST_STACK_SIZE);
}

enum err cpu_prepare(uint32_t apic_id, struct cpu **out)
{
    uint32_t index = cpu_count();
    void *tops[IST_END] = { NULL };
    struct cpu_area *area;

    if (index == CPUS_MAX)
        return ERR_RANGE;
    area = memalign(_Alignof(struct cpu_area), sizeof(*area));
    if (!area)
        return ERR_NO_MEMORY;
    for (unsigned i = IST_DOUBLE_FAULT; i < IST_END; i++) {
        if (paging_alloc_stack(IST_STACK_SIZE, &tops[i])) {
            free_stacks(tops);
            free(area);
            return ERR_NO_MEMORY;
        }
    }
    cpu_fill(area, index, apic_id, tops);
    *out = &area->cpu;
    return OK;
}

struct cpu *cpu_this(void)
{
    return read_gs_0();
}

uint32_t cpu_count(void)
{
    return atomic_load_explicit(&online, memory_order_acquire);
}

struct cpu *cpu_by_index(uint32_t index)
{
    return index < cpu_count() ? cpus[index] : NULL;
}

void cpu_kick(struct cpu *cpu)
{
    /* The own CPU is neither in guest mode nor halted: it runs this. */
    if (cpu != cpu_this())
        lapic_send(cpu->apic_id, LAPIC_ICR_ASSERT | VECTOR_KICK);
}

void cpu_call(struct cpu *cpu, void (*fn)(void *), void *arg)
{
    struct thread *thread;

    if (cpu == cpu_this()) {
        fn(arg);
        return;
    }
    while (thread_create(&thread, "cpu_call", cpu, fn, arg) != OK)
        thread_yield(); /* out of memory now: another thread's end may bring some */
    thread_join(thread);
}
