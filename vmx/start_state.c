/*
 * The registers with which the first vCPU starts: as after reset, and then what the boot protocol of the image says. What a
 * protocol leaves open stays as after reset, so that a kernel which relies on more is found out.
 */
#include "kernel/lib/util.h"
#include "vmx/access_rights.h"
#include "vmx/loader/image.h"
#include "vmx/loader/linux_boot.h"
#include "vmx/loader/multiboot.h"
#include "vmx/vcpu_state.h"

/* SDM Vol. 3A, 2.5 "Control Registers"; Vol. 4, IA32_EFER. */
#define CR0_PE_BIT BIT(0)
#define CR0_ET_BIT BIT(4)
#define CR0_PG_BIT BIT(31)
#define CR4_PAE_BIT BIT(5)
#define EFER_LME_BIT BIT(8)
#define EFER_LMA_BIT BIT(10)
#define FLAT_LIMIT 0xffffffffu
/* Multiboot leaves the selectors' values open; these are those of most loaders. */
#define MULTIBOOT_CS 0x08
#define MULTIBOOT_DS 0x10

static void make_flat(struct vcpu_state *state, uint16_t code, uint32_t code_rights, uint16_t data)
{
    struct state_segments *s = &state->segments;

    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        s->selector[i] = i == SEGMENT_CS ? code : data;
        s->base[i] = 0;
        s->limit[i] = FLAT_LIMIT;
        s->access_rights[i] = ACCESS_GRANULARITY | (i == SEGMENT_CS ? code_rights : ACCESS_DATA | ACCESS_BIG);
    }
}

/* boot.rst, "64-bit BOOT PROTOCOL" */
static void start_linux64(struct vcpu_state *state, const struct image_plan *plan)
{
    make_flat(state, LINUX_BOOT_CS, ACCESS_CODE | ACCESS_LONG, LINUX_BOOT_DS);
    state->segments.gdtr_base = LINUX_BOOT_PAGE_GPA(LINUX_PAGE_GDT);
    state->segments.gdtr_limit = LINUX_GDT_ENTRIES * sizeof(uint64_t) - 1;
    state->control.cr0 = CR0_PE_BIT | CR0_ET_BIT | CR0_PG_BIT;
    state->control.cr3 = LINUX_BOOT_PAGE_GPA(LINUX_PAGE_PML4);
    state->control.cr4 = CR4_PAE_BIT;
    state->control.efer = EFER_LME_BIT | EFER_LMA_BIT;
    state->gpr.gpr[GPR_RSI] = LINUX_BOOT_PAGE_GPA(LINUX_PAGE_PARAMS);
    state->gpr.rip = plan->entry;
}

/* 3.2 "Machine state" */
static void start_multiboot(struct vcpu_state *state, const struct image_plan *plan)
{
    make_flat(state, MULTIBOOT_CS, ACCESS_CODE | ACCESS_BIG, MULTIBOOT_DS);
    state->control.cr0 = CR0_PE_BIT | CR0_ET_BIT;
    state->gpr.gpr[GPR_RAX] = MULTIBOOT_BOOTLOADER_MAGIC;
    state->gpr.gpr[GPR_RBX] = plan->boot.gpa;
    state->gpr.rip = plan->entry;
}

void image_start_state(const struct image_plan *plan, struct vcpu_state *state)
{
    vcpu_state_reset(state, plan->start == START_REAL ? plan->entry : 0);
    if (plan->start == START_LINUX64)
        start_linux64(state, plan);
    else if (plan->start == START_MULTIBOOT)
        start_multiboot(state, plan);
}
