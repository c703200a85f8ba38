/*
 * exceptions: each with its vector, error code, RIP and CR2, as the manual says; and single steps, whose trap
 * must come after every instruction, also after one that made a virtual machine exit and was emulated.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"

#define DR6_BS (1u << 14)
#define RFLAGS_RF (1u << 16)

const char guest_name[] = "exceptions";
extern uint64_t page_directories[];     /* start.S: one entry for each 2 MiB */

/* Exceptions: SDM Vol. 3A, section 6.15 "Exception and Interrupt Reference" -------------------- */

#define HOLE_INDEX 1024             /* the 2 MiB from 2 GiB on: no guest of the tests has that much RAM */
#define HOLE_ADDRESS 0x80000000

#define TRY(name, text) \
    static int try_##name(void) \
    { \
        return ATTEMPT_INSTRUCTION(text); \
    }
/* Registers are 0 at the start: see ATTEMPT_INSTRUCTION. */
TRY(de, "divl %%ecx")
TRY(db, ".byte 0xF1")
TRY(bp, "int3")
TRY(ud, "ud2")
TRY(gp, "movabsq $0x8000000000000000, %%rax\n\tmovq (%%rax), %%rax")
TRY(gp_msr, "movl $0x4FFFFFFF, %%ecx\n\trdmsr")
TRY(ud_vmcall, "vmcall")
TRY(gp_selector, "movw $0x44, %%ax\n\tmovw %%ax, %%es")
TRY(int_de, "int $0")
TRY(pf_read, "movl $0x80000123, %%eax\n\tmovq (%%rax), %%rax")
TRY(pf_write, "movl $0x80000456, %%eax\n\tmovb $1, (%%rax)")

static const struct {
    const char *name;
    int (*instruction)(void);
    int vector, offset;
    uint64_t error_code, cr2;
} exceptions[] = {
    { "#DE", try_de, VECTOR_DE, -2, 0, 0 },
    { "#DB of INT1", try_db, VECTOR_DB, 0, 0, 0 },
    { "#BP", try_bp, VECTOR_BP, 0, 0, 0 },
    { "#UD", try_ud, VECTOR_UD, -2, 0, 0 },
    { "#GP of a non-canonical address", try_gp, VECTOR_GP, -3, 0, 0 },
    { "#GP of an MSR that is not there", try_gp_msr, VECTOR_GP, -2, 0, 0 },
    { "#UD of VMCALL", try_ud_vmcall, VECTOR_UD, -3, 0, 0 },
    { "#GP of a selector beyond the GDT", try_gp_selector, VECTOR_GP, -2, 0x44, 0 },
    { "INT 0", try_int_de, VECTOR_DE, 0, 0, 0 },
    { "#PF of a read", try_pf_read, VECTOR_PF, -3, 0, HOLE_ADDRESS + 0x123 },
    { "#PF of a write", try_pf_write, VECTOR_PF, -3, 2, HOLE_ADDRESS + 0x456 },
};

static void test_exceptions(void)
{
    uint64_t entry = page_directories[HOLE_INDEX];

    page_directories[HOLE_INDEX] = 0;
    __asm__ volatile("invlpg %0" : : "m"(*(char *)HOLE_ADDRESS) : "memory");
    for (unsigned i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        const char *name = exceptions[i].name;
        guest_expect(name, (uint64_t)exceptions[i].vector, (uint64_t)exceptions[i].instruction());
        guest_expect("its RIP", (uint64_t)exceptions[i].offset, (uint64_t)attempt.offset);
        guest_expect("its error code", exceptions[i].error_code, attempt.error_code);
        /* A fault pushes RF set, so that a breakpoint there comes only once (SDM Vol. 3B, 18.3.1.1). */
        guest_expect("its RF", exceptions[i].offset < 0, !!(attempt.rflags & RFLAGS_RF));
        if (exceptions[i].vector == VECTOR_PF)
            guest_expect("its CR2", exceptions[i].cr2, read_cr2());
    }
    page_directories[HOLE_INDEX] = entry;
    print("exceptions: vectors, error codes, RIP, CR2\n");
}

/* Single steps: SDM Vol. 3B, section 18.3.1.4 "Single-Step Exception Condition" ---------------- */

#define STEPS 9
static unsigned step_count;
static uint64_t step_rips[STEPS];
static bool step_without_bs;

static void step_handler(struct interrupt_frame *frame)
{
    if (step_count < STEPS)
        step_rips[step_count] = frame->rip;
    step_count++;
    if (!(read_dr6() & DR6_BS))
        step_without_bs = true;
    write_dr6(0);
}

/* TF is on from the first POPFQ on; the trap comes after each instruction, also after one that was emulated. */
__asm__(".text\n"
        "single_steps:\n\t"
        "pushq %rbx\n\t"
        "pushfq\n\t"
        "orl $0x100, (%rsp)\n\t"
        "popfq\n\t"
        "nop\n"
        "61: cpuid\n"
        "62: inb $0x80, %al\n"
        "63: outb %al, $0x80\n"
        "64: movl $0x1B, %ecx\n"
        "65: rdmsr\n"
        "66: hlt\n"                     /* its own trap ends it, though interrupts are off */
        "67: pushfq\n"
        "68: andl $0xFFFFFEFF, (%rsp)\n"
        "69: popfq\n\t"
        "popq %rbx\n\t"
        "ret\n\t"
        ".section .rodata\n"
        "single_step_rips: .quad 61b, 62b, 63b, 64b, 65b, 66b, 67b, 68b, 69b\n\t"
        ".text\n");
void single_steps(void);
extern const uint64_t single_step_rips[STEPS];

static void test_single_steps(void)
{
    interrupt_set_handler(VECTOR_DB, step_handler);
    __asm__ volatile("call single_steps" : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    interrupt_set_handler(VECTOR_DB, 0);
    for (unsigned i = 0; i < STEPS && i < step_count; i++)
        guest_expect("RIP of a step", single_step_rips[i], step_rips[i]);
    guest_expect("steps", STEPS + 1, step_count);     /* the last one follows the POPFQ that clears TF */
    guest_expect("a step without DR6.BS", false, step_without_bs);
    print("exceptions: single steps\n");
}

void guest_main(void)
{
    test_exceptions();
    test_single_steps();
}
