/*
 * Any bytes as an instruction on a device, with any registers, in any mode. No crash; what is decoded is no longer than an
 * instruction can be, touches memory only where locate() put it and never before all of it is located, and leaves the
 * registers alone when it faults.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/mmio_execute.h"
#include "vmx/vcpu_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t mode, refuse_after, rflags[2];
    uint64_t gpr[GPR_COUNT], bases[SEGMENT_COUNT];
    uint8_t code[24];
};

static struct input input;
static unsigned located, touched;

static void require(int promise)
{
    if (!promise)
        abort();
}

static bool locate(void *context, uint64_t linear, unsigned size, bool write, struct mmio_place *out)
{
    (void)context, (void)write;
    require(touched == 0); /* of one element: all places first */
    require(size == 1 || size == 2 || size == 4 || size == 8);
    if (located++ >= input.refuse_after)
        return false;
    unsigned first = (unsigned)MIN(size, 4096 - linear % 4096);
    *out = (struct mmio_place){ { linear, linear + first }, { (uint8_t)first, (uint8_t)(size - first) } };
    return true;
}

static uint64_t read_place(void *context, const struct mmio_place *place)
{
    (void)context;
    touched++;
    require(place->size[0] + place->size[1] <= 8 && place->size[0] > 0);
    return place->gpa[0] * 0x9e3779b97f4a7c15ULL;
}

static void write_place(void *context, const struct mmio_place *place, uint64_t value)
{
    (void)context;
    unsigned size = place->size[0] + place->size[1];
    touched++;
    require(size == 8 || value >> 8 * size == 0);
}

static uint64_t segment_base(void *context, unsigned segment)
{
    (void)context;
    require(segment < SEGMENT_LDTR);
    return input.bases[segment];
}

#define ELEMENTS_MAX 20

static void execute(const struct mmio_instruction *instruction, bool mode64)
{
    uint64_t gpr[GPR_COUNT];
    struct mmio_machine machine = { .gpr = gpr, .rflags = input.rflags[0] | input.rflags[1] << 8, .mode64 = mode64,
                                    .next_rip = input.gpr[0], .locate = locate, .read = read_place, .write = write_place,
                                    .segment_base = segment_base };
    memcpy(gpr, input.gpr, sizeof gpr);
    for (unsigned i = 0; i < ELEMENTS_MAX; i++) {
        uint64_t before[GPR_COUNT], rflags = machine.rflags;
        memcpy(before, gpr, sizeof before);
        touched = 0;
        switch (mmio_execute(instruction, &machine)) {
        case MMIO_DONE:
            return;
        case MMIO_AGAIN:
            require(instruction->repeated && gpr[GPR_RCX] != before[GPR_RCX]);
            break;
        case MMIO_FAULTED:
            require(touched == 0 && machine.rflags == rflags && memcmp(gpr, before, sizeof gpr) == 0);
            return;
        }
        located = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mmio_instruction instruction;
    size_t have = size > offsetof(struct input, code) ? MIN(size - offsetof(struct input, code), sizeof input.code) : 0;
    memset(&input, 0, sizeof input);
    memcpy(&input, data, MIN(size, sizeof input));
    enum mmio_mode mode = (enum mmio_mode)(input.mode % 3);
    located = touched = 0;
    /* What is complete stays what it is, however many bytes follow; what is not is never taken for an instruction. */
    enum mmio_decoded decoded = mmio_decode(&instruction, input.code, have, mode);
    require(decoded != MMIO_NEEDS_BYTES || have < INSTRUCTION_BYTES_MAX);
    if (decoded != MMIO_DECODED)
        return 0;
    require(instruction.length > 0 && instruction.length <= INSTRUCTION_BYTES_MAX && instruction.length <= have);
    require(instruction.operation < MMIO_OPERATIONS);
    struct mmio_instruction shorter;
    require(mmio_decode(&shorter, input.code, instruction.length - 1u, mode) == MMIO_NEEDS_BYTES);
    execute(&instruction, mode == MMIO_64BIT);
    return 0;
}
