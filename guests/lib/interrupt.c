#include "guests/lib/interrupt.h"
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"

/* SDM Vol. 3A, figure 6-8 "64-Bit IDT Gate Descriptors". */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "a gate has 16 bytes");
#define GATE_INTERRUPT 0x8E             /* present, DPL 0, clears IF on the way in */

extern const char interrupt_stubs[VECTOR_COUNT][16];
void interrupt_dispatch(struct interrupt_frame *frame);

static struct gate idt[VECTOR_COUNT] __attribute__((section(".bss.cold"), aligned(16)));
static interrupt_handler *handlers[VECTOR_COUNT] __attribute__((section(".bss.cold")));
struct attempt attempt;

void interrupt_load(void)
{
    struct descriptor_table table = { .limit = sizeof(idt) - 1, .base = (uint64_t)idt };

    lidt(&table);
}

void interrupt_init(void)
{
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        uint64_t stub = (uint64_t)interrupt_stubs[vector];
        idt[vector] = (struct gate){ .offset_low = (uint16_t)stub, .selector = SELECTOR_CODE64,
                                     .type = GATE_INTERRUPT, .offset_middle = (uint16_t)(stub >> 16),
                                     .offset_high = (uint32_t)(stub >> 32) };
    }
    interrupt_load();
}

void interrupt_set_handler(unsigned vector, interrupt_handler *handler)
{
    handlers[vector] = handler;
}

void interrupt_set_stack(unsigned vector, unsigned ist)
{
    idt[vector].ist = (uint8_t)ist;
}

void interrupt_end(void)
{
    wrmsr(X2APIC_EOI, 0);
}

/* Called by stubs.S. */
void interrupt_dispatch(struct interrupt_frame *frame)
{
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
    } else if (frame->vector < VECTOR_TIMER && attempt.resume_rip) {
        attempt.vector = (int)frame->vector;
        attempt.error_code = frame->error_code;
        attempt.offset = (int)(frame->rip - attempt.resume_rip);
        attempt.rflags = frame->rflags;
        frame->rip = attempt.resume_rip;
        attempt.resume_rip = 0;
    } else if (frame->vector != VECTOR_SPURIOUS) {      /* a spurious one wants no EOI and no answer */
        print("unexpected vector %lu, error code 0x%lx, at 0x%lx, CR2 0x%lx\n", frame->vector, frame->error_code,
              frame->rip, read_cr2());
        guest_end(GUEST_EXIT_UNEXPECTED);
    }
}
