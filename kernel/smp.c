/*
 * Guarantees: CPUs are started one at a time, so that the trampoline's frame and parameters have one user; when
 * smp_start() returns, each CPU either counts (cpu_count()) and runs its idle loop, or is held in the INIT state.
 *
 * The sequence INIT, SIPI, SIPI and its delays: SDM Vol. 3A, 9.4.4.1 "Typical BSP Initialization Sequence".
 */
#include "kernel/smp.h"
#include <stdatomic.h>
#include <string.h>
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/lapic.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trampoline.h"
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "mm/page.h"
#include "mm/paging.h"

#define INIT_DELAY_US 10000
#define SIPI_DELAY_US 200
#define ONLINE_TIMEOUT_US 200000

static atomic_bool arrived;
/* A copy of the top table for processors whose page tables lie above 4 GiB: the trampoline loads CR3 with 32 bits. */
static uint64_t low_pml4[PAGE_SIZE / sizeof(uint64_t)] __attribute__((aligned(4096)));

void smp_ap_main(struct cpu *cpu) __attribute__((noreturn));

/* First C code of another CPU, called by entry_ap() on the stack of its idle thread. */
void smp_ap_main(struct cpu *cpu)
{
    write_cr3(paging_cr3());
    cpu_enter(cpu);
    lapic_init_cpu();
    timer_init_cpu();
    thread_init_cpu(cpu);
    atomic_store(&arrived, true);
    thread_idle();
}

static void delay_us(uint64_t us)
{
    for (uint64_t end = time_after_us(us); time_now() < end;)
        pause();
}

static bool wait_arrived(uint64_t us)
{
    for (uint64_t end = time_after_us(us); time_now() < end; pause())
        if (atomic_load(&arrived))
            return true;
    return atomic_load(&arrived);
}

static bool start_cpu(struct cpu *cpu, struct hpa frame)
{
    uint32_t startup = LAPIC_ICR_ASSERT | LAPIC_ICR_STARTUP | (uint32_t)(frame.raw >> PAGE_SHIFT);

    atomic_store(&arrived, false);
    lapic_send(cpu->apic_id, LAPIC_ICR_ASSERT | LAPIC_ICR_INIT);
    delay_us(INIT_DELAY_US);
    lapic_send(cpu->apic_id, startup);
    if (!wait_arrived(SIPI_DELAY_US))
        lapic_send(cpu->apic_id, startup);
    if (wait_arrived(ONLINE_TIMEOUT_US))
        return true;
    lapic_send(cpu->apic_id, LAPIC_ICR_ASSERT | LAPIC_ICR_INIT); /* if it comes late, it must not come at all */
    return false;
}

/* The CR3 that the trampoline loads; 0: none lies below 4 GiB. Asked for last: a copy has the entries of this moment. */
static uint64_t trampoline_cr3(uint64_t kernel_phys)
{
    uint64_t copy = kernel_phys + ((uint64_t)low_pml4 - KERNEL_BASE);

    if (paging_cr3() <= UINT32_MAX)
        return paging_cr3();
    if (copy > UINT32_MAX)
        return 0;
    memcpy(low_pml4, hpa_to_virt((struct hpa){ paging_cr3() & ~PAGE_MASK }), sizeof(low_pml4));
    return copy;
}

static void start_one(uint32_t apic_id, struct hpa frame, struct trampoline_params *params, uint64_t kernel_phys)
{
    struct cpu *cpu;
    void *stack_top;

    if (cpu_prepare(apic_id, &cpu) || paging_alloc_stack(THREAD_STACK_SIZE, &stack_top)) {
        log_error("smp", "no memory for the CPU with APIC id %u: it stays off", apic_id);
        return;
    }
    params->cr3 = trampoline_cr3(kernel_phys);
    if (!params->cr3) {
        log_error("smp", "page tables and kernel lie above 4 GiB: the CPU with APIC id %u stays off", apic_id);
        return;
    }
    params->cpu = (uint64_t)cpu;
    params->stack_top = (uint64_t)stack_top;
    memcpy(hpa_to_virt(frame), trampoline_start, (size_t)(trampoline_end - trampoline_start));
    memcpy((char *)hpa_to_virt(frame) + TRAMPOLINE_PARAMS_OFFSET, params, sizeof(*params));
    if (start_cpu(cpu, frame))
        cpu_set_online(cpu);
    else
        log_error("smp", "the CPU with APIC id %u did not start", apic_id);
}

void smp_start(uint64_t kernel_phys)
{
    const struct acpi_info *acpi = acpi_get();
    struct hpa frame = page_low_frame();
    struct trampoline_params params = {
        .cr4 = read_cr4(),
        .efer = IA32_EFER_LME | IA32_EFER_NXE,
        .cr0 = read_cr0(),
        .entry = (uint64_t)entry_ap,
    };

    if (acpi->cpu_count <= 1)
        return;
    if (!frame.raw || paging_identity_low(frame, PAGE_SIZE)) {
        log_error("smp", "no frame below 1 MiB for the trampoline: only one CPU runs");
        return;
    }
    for (uint32_t i = 0; i < acpi->cpu_count; i++)
        if (acpi->apic_ids[i] != cpu_this()->apic_id)
            start_one(acpi->apic_ids[i], frame, &params, kernel_phys);
    paging_identity_low(frame, 0);
    log_info("smp", "%u of %u CPUs run", cpu_count(), acpi->cpu_count);
}
