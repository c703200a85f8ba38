/* Guarantees what descriptors.h says; the tables of a CPU are complete before they are loaded. */
#include "kernel/arch/descriptors.h"
#include "kernel/arch/insn.h"
#include "kernel/arch/trap.h"

/* SDM Table 3-1 "Code- and Data-Segment Types", Table 3-2 "System-Segment and Gate-Descriptor Types" */
#define TYPE_DATA_READ_WRITE_ACCESSED 0x3
#define TYPE_CODE_EXECUTE_READ_ACCESSED 0xb
#define TYPE_TSS_64_AVAILABLE 0x9
#define TYPE_INTERRUPT_GATE_64 0xe

static struct gate_descriptor idt[VECTOR_COUNT] __attribute__((aligned(16)));

static void gate_set(unsigned vector, uint64_t handler, enum ist ist)
{
    idt[vector] = (struct gate_descriptor){
        .offset_low = (uint16_t)handler,
        .offset_middle = (uint16_t)(handler >> 16),
        .offset_high = (uint32_t)(handler >> 32),
        .selector = KERNEL_CS,
        .ist = (uint8_t)ist,
        .type = TYPE_INTERRUPT_GATE_64,
        .present = 1,
    };
}

static void idt_fill(void)
{
    for (unsigned v = 0; v < VECTOR_COUNT; v++)
        gate_set(v, (uint64_t)vector_stubs + v * VECTOR_STUB_SIZE, IST_NONE);
    gate_set(VECTOR_NMI, (uint64_t)vector_stubs + VECTOR_NMI * VECTOR_STUB_SIZE, IST_NMI);
    gate_set(VECTOR_DF, (uint64_t)vector_stubs + VECTOR_DF * VECTOR_STUB_SIZE, IST_DOUBLE_FAULT);
    gate_set(VECTOR_MC, (uint64_t)vector_stubs + VECTOR_MC * VECTOR_STUB_SIZE, IST_MACHINE_CHECK);
}

void descriptors_prepare(struct descriptor_tables *tables, void *const ist_tops[IST_END])
{
    uint64_t base = (uint64_t)&tables->tss;

    if (!idt[0].present)
        idt_fill();
    tables->tss = (struct tss){ .io_map_base = sizeof(struct tss) }; /* past the limit: no I/O bitmap */
    for (enum ist i = IST_DOUBLE_FAULT; i < IST_END; i++)
        tables->tss.ist[i - 1] = (uint64_t)ist_tops[i];
    tables->gdt = (struct gdt){
        .kernel_code = { .type = TYPE_CODE_EXECUTE_READ_ACCESSED, .not_system = 1, .present = 1, .long_mode = 1 },
        .kernel_data = { .type = TYPE_DATA_READ_WRITE_ACCESSED, .not_system = 1, .present = 1 },
        .tss = {
            .low = {
                .limit_low = sizeof(struct tss) - 1,
                .base_low = (uint16_t)base,
                .base_middle = (uint8_t)(base >> 16),
                .base_high = (uint8_t)(base >> 24),
                .type = TYPE_TSS_64_AVAILABLE,
                .present = 1,
            },
            .base_upper = (uint32_t)(base >> 32),
        },
    };
}

void descriptors_load(struct descriptor_tables *tables)
{
    struct table_pointer gdtr = { sizeof(struct gdt) - 1, (uint64_t)&tables->gdt };
    struct table_pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };

    lgdt(&gdtr);
    descriptors_load_cs();
    write_ds(KERNEL_DS);
    write_es(KERNEL_DS);
    write_ss(KERNEL_DS);
    write_fs(0);
    write_gs(0);
    lldt(0);
    ltr(TSS_SELECTOR);
    lidt(&idtr);
}

const struct gate_descriptor *descriptors_idt(void)
{
    return idt;
}
