/*
 * Guarantees: an external interrupt goes to its handler; an exception at a probing instruction goes on at its landing;
 * any other exception is our bug and ends in a panic that says in words what happened.
 */
#include "kernel/arch/trap.h"
#include "kernel/arch/insn.h"
#include "kernel/interrupt.h"
#include "kernel/log.h"
#include "kernel/lib/util.h"
#include "mm/paging.h"

struct fixup {
    uint64_t fault_rip, landing;
};
extern const struct fixup __fixup_start[], __fixup_end[];

static const char *const names[VECTOR_FIRST_EXTERNAL] = {
    [VECTOR_DE] = "#DE divide error",
    [VECTOR_DB] = "#DB debug exception",
    [VECTOR_NMI] = "NMI",
    [VECTOR_BP] = "#BP breakpoint",
    [4] = "#OF overflow",
    [5] = "#BR BOUND range exceeded",
    [VECTOR_UD] = "#UD invalid opcode",
    [7] = "#NM device not available",
    [VECTOR_DF] = "#DF double fault",
    [VECTOR_TS] = "#TS invalid TSS",
    [VECTOR_NP] = "#NP segment not present",
    [VECTOR_SS] = "#SS stack-segment fault",
    [VECTOR_GP] = "#GP general protection",
    [VECTOR_PF] = "#PF page fault",
    [16] = "#MF x87 floating-point error",
    [VECTOR_AC] = "#AC alignment check",
    [VECTOR_MC] = "#MC machine check",
    [19] = "#XM SIMD floating-point exception",
    [20] = "#VE virtualization exception",
    [VECTOR_CP] = "#CP control protection",
};

/* "#PF page fault"; never NULL. */
static const char *trap_name(uint64_t vector)
{
    if (vector < ARRAY_SIZE(names) && names[vector])
        return names[vector];
    return "reserved vector";
}

static bool trap_fixup(struct trap_frame *frame)
{
    for (const struct fixup *f = __fixup_start; f < __fixup_end; f++) {
        if (f->fault_rip == frame->rip) {
            frame->rip = f->landing;
            return true;
        }
    }
    return false;
}

/* SDM Vol. 3A, 4.7 "Page-Fault Exceptions": the error code. */
#define PF_PRESENT BIT(0)
#define PF_WRITE BIT(1)
#define PF_RESERVED BIT(3)
#define PF_FETCH BIT(4)

static __attribute__((noreturn)) void page_fault(const struct trap_frame *frame)
{
    uint64_t address = read_cr2();
    const char *access = frame->error_code & PF_FETCH ? "execute" : frame->error_code & PF_WRITE ? "write" : "read";
    const char *why = frame->error_code & PF_RESERVED  ? "reserved bit set"
                      : frame->error_code & PF_PRESENT ? "not allowed"
                                                       : "not mapped";

    if (paging_is_guard(address))
        panic_trap(frame, "guard page: stack overflow (%s of %#lx)", access, address);
    panic_trap(frame, "#PF page fault: %s of %#lx: %s", access, address, why);
}

/* A push onto a guard page cannot deliver #PF on the same stack and becomes #DF, with CR2 still telling the place. */
static __attribute__((noreturn)) void double_fault(const struct trap_frame *frame)
{
    if (paging_is_guard(read_cr2()))
        panic_trap(frame, "guard page: stack overflow (push at %#lx)", read_cr2());
    panic_trap(frame, "#DF double fault");
}

void trap_dispatch(struct trap_frame *frame)
{
    if (frame->vector >= VECTOR_FIRST_EXTERNAL) {
        interrupt_dispatch(frame->vector);
        return;
    }
    if (frame->vector == VECTOR_NMI) {
        panic_handle_nmi();
        return;
    }
    if ((frame->vector == VECTOR_PF || frame->vector == VECTOR_GP) && trap_fixup(frame))
        return;
    if (frame->vector == VECTOR_PF)
        page_fault(frame);
    if (frame->vector == VECTOR_DF)
        double_fault(frame);
    panic_trap(frame, "%s, error code %#lx", trap_name(frame->vector), frame->error_code);
}
