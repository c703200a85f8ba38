/*
 * Segment, task and gate descriptors (SDM Vol. 3A, 3.4.5 "Segment Descriptors", 6.14.1 "64-Bit Mode IDT", 8.7 "Task
 * Management in 64-bit Mode"). Each CPU has its own GDT and TSS; all share one IDT with all 256 gates filled.
 *
 * A VM exit loads GDTR and IDTR with a limit of FFFFH and TR with a limit of 67H (Vol. 3C, 28.5.2 "Loading Host Segment
 * and Descriptor-Table Registers"). Both are harmless here: no selector but the three below is ever loaded, the IDT has
 * a gate for every vector there is, and the TSS is exactly 104 bytes long.
 */
#ifndef TELEPOD_DESCRIPTORS_H
#define TELEPOD_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

struct cpu;

struct segment_descriptor {
    uint16_t limit_low;
    uint16_t base_low;
    uint8_t base_middle;
    uint8_t type : 4, not_system : 1, dpl : 2, present : 1;
    uint8_t limit_high : 4, available : 1, long_mode : 1, default_32 : 1, granularity : 1;
    uint8_t base_high;
};
_Static_assert(sizeof(struct segment_descriptor) == 8, "SDM Figure 3-8");

struct tss_descriptor {
    struct segment_descriptor low;
    uint32_t base_upper;
    uint32_t reserved;
};
_Static_assert(sizeof(struct tss_descriptor) == 16, "SDM Figure 8-4");

struct gdt {
    struct segment_descriptor null, kernel_code, kernel_data;
    struct tss_descriptor tss __attribute__((packed));
};

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define TSS_SELECTOR 0x18
_Static_assert(offsetof(struct gdt, kernel_code) == KERNEL_CS, "selector");
_Static_assert(offsetof(struct gdt, kernel_data) == KERNEL_DS, "selector");
_Static_assert(offsetof(struct gdt, tss) == TSS_SELECTOR, "selector");

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; /* ist[0] is IST1 */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "SDM Figure 8-11");

/* Interrupt stack table slots; each has a stack of its own on each CPU, so that these handlers run whatever RSP is. */
enum ist { IST_NONE = 0, IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_END };
#define IST_STACK_SIZE (8 * 1024) /* bytes */

struct gate_descriptor {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type : 4, zero : 1, dpl : 2, present : 1;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate_descriptor) == 16, "SDM Figure 6-8");

/* One CPU's tables and the stacks of its IST slots (tops, 16-byte aligned; the caller owns the stacks). */
struct descriptor_tables {
    struct gdt gdt __attribute__((aligned(16)));
    struct tss tss __attribute__((aligned(16)));
};

void descriptors_prepare(struct descriptor_tables *tables, void *const ist_tops[IST_END]);
/* Loads GDT, segment registers, TR and IDT on this CPU. GS base is 0 afterwards: the caller writes it. */
void descriptors_load(struct descriptor_tables *tables);
const struct gate_descriptor *descriptors_idt(void); /* HOST_IDTR_BASE */

#endif
