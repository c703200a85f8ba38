/* Fetch, decode, execute: the parts that know the vCPU. */
#include "vmx/mmio.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/bus.h"
#include "vmx/guest_access.h"
#include "vmx/mmio_execute.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

/* Of a repeated string instruction at once; between two portions the guest can be interrupted. */
#define ELEMENTS_AT_ONCE 64

#define ACCESS_RIGHTS_DB BIT(14) /* SDM 25.4.1: default operation size (CS) */

/* One emulation: where the exit was, and the guest's paging once somebody needs it. */
struct emulation {
    struct vcpu *vcpu;
    uint64_t linear, gpa;
    bool mode64;
    bool string;
    bool paging_read;
    struct walk_state paging;
};

static enum mmio_mode code_mode(const struct emulation *e)
{
    if (e->mode64)
        return MMIO_64BIT;
    return vmcs_read(GUEST_CS_ACCESS_RIGHTS) & ACCESS_RIGHTS_DB ? MMIO_32BIT : MMIO_16BIT;
}

static bool translate(struct emulation *e, uint64_t linear, enum walk_access access, uint64_t *gpa)
{
    if (!e->paging_read)
        guest_paging(&e->paging);
    e->paging_read = true;
    return guest_translate(e->vcpu, &e->paging, linear, access, gpa);
}

/* ---- fetch ---- */

/* Adds the bytes of the page at `linear`, at most up to its end. False: a fault, or the guest was stopped. */
static bool fetch_page(struct emulation *e, uint64_t linear, uint8_t *bytes, unsigned *have)
{
    unsigned wanted = (unsigned)MIN(INSTRUCTION_BYTES_MAX - *have, PAGE_SIZE - linear % PAGE_SIZE);
    uint64_t gpa;
    if (!translate(e, linear, WALK_EXECUTE, &gpa))
        return false;
    if (guest_memory_read(&e->vcpu->vm->memory, (struct gpa){ gpa }, bytes + *have, wanted) != OK) {
        vcpu_stop_guest(e->vcpu, "fetch from 0x%llx outside its memory, RIP 0x%llx", (unsigned long long)gpa,
                        (unsigned long long)vmcs_read(GUEST_RIP));
        return false;
    }
    *have += wanted;
    return true;
}

static void refuse(struct emulation *e, const uint8_t *bytes, unsigned have)
{
    char hex[3 * INSTRUCTION_BYTES_MAX + 1] = "";
    for (unsigned i = 0; i < have; i++)
        snprintf(hex + 3 * i, sizeof hex - 3 * i, " %02x", bytes[i]);
    vcpu_stop_guest(e->vcpu, "access to the device at 0x%llx by an instruction that is not emulated, RIP 0x%llx:%s",
                    (unsigned long long)e->gpa, (unsigned long long)vmcs_read(GUEST_RIP), hex);
}

/* The cached instruction if these bytes begin with it; else they are decoded, and for that the next page may be needed. */
static const struct mmio_instruction *decode(struct emulation *e, struct mmio_cache_entry *entry, uint64_t linear,
                                             uint8_t *bytes, unsigned have)
{
    uint8_t mode = (uint8_t)code_mode(e);
    struct mmio_instruction *instruction = &entry->instruction;
    if (instruction->length != 0 && instruction->length <= have && entry->mode == mode &&
        memcmp(entry->bytes, bytes, instruction->length) == 0)
        return instruction;
    enum mmio_decoded decoded = mmio_decode(instruction, bytes, have, (enum mmio_mode)mode);
    if (decoded == MMIO_NEEDS_BYTES) {
        instruction->length = 0;
        if (!fetch_page(e, linear + have, bytes, &have))
            return NULL;
        decoded = mmio_decode(instruction, bytes, have, (enum mmio_mode)mode);
    }
    if (decoded != MMIO_DECODED) {
        instruction->length = 0;
        refuse(e, bytes, have);
        return NULL;
    }
    memcpy(entry->bytes, bytes, sizeof entry->bytes);
    entry->mode = mode;
    return instruction;
}

/* ---- operands ---- */

/*
 * The page that caused the exit has been translated by the processor itself, with the rights that this access needs; not
 * so the other operand of a string instruction, which has two.
 */
static bool locate_page(struct emulation *e, uint64_t linear, bool write, uint64_t *gpa)
{
    if (!e->string && (linear ^ e->linear) / PAGE_SIZE == 0) {
        *gpa = (e->gpa & ~(uint64_t)(PAGE_SIZE - 1)) | linear % PAGE_SIZE;
        return true;
    }
    return translate(e, linear, write ? WALK_WRITE : WALK_READ, gpa);
}

static bool locate(void *context, uint64_t linear, unsigned size, bool write, struct mmio_place *out)
{
    struct emulation *e = context;
    unsigned first = (unsigned)MIN(size, PAGE_SIZE - linear % PAGE_SIZE);
    out->size[0] = (uint8_t)first;
    out->size[1] = (uint8_t)(size - first);
    return locate_page(e, linear, write, &out->gpa[0]) &&
           (out->size[1] == 0 || locate_page(e, linear + first, write, &out->gpa[1]));
}

/* RAM ends at a page's end: what lies in the page of the exit is no RAM. */
static bool is_exit_page(const struct emulation *e, uint64_t gpa)
{
    return (gpa ^ e->gpa) / PAGE_SIZE == 0;
}

static uint64_t read_piece(const struct emulation *e, uint64_t gpa, unsigned size)
{
    struct vcpu *vcpu = e->vcpu;
    uint64_t value = 0;
    if (!is_exit_page(e, gpa) && guest_memory_read(&vcpu->vm->memory, (struct gpa){ gpa }, &value, size) == OK)
        return value;
    if ((size & (size - 1)) == 0)
        return bus_mmio_read(vcpu, gpa, size);
    for (unsigned i = 0; i < size; i++) /* a piece of an operand that crosses pages */
        value |= bus_mmio_read(vcpu, gpa + i, 1) << 8 * i;
    return value;
}

static void write_piece(const struct emulation *e, uint64_t gpa, unsigned size, uint64_t value)
{
    struct vcpu *vcpu = e->vcpu;
    if (!is_exit_page(e, gpa) && guest_memory_write(&vcpu->vm->memory, (struct gpa){ gpa }, &value, size) == OK)
        return;
    if ((size & (size - 1)) == 0) {
        bus_mmio_write(vcpu, gpa, size, size == 8 ? value : value & (BIT(8 * size) - 1));
        return;
    }
    for (unsigned i = 0; i < size; i++)
        bus_mmio_write(vcpu, gpa + i, 1, value >> 8 * i & 0xff);
}

static uint64_t read_place(void *context, const struct mmio_place *place)
{
    uint64_t value = read_piece(context, place->gpa[0], place->size[0]);
    if (place->size[1])
        value |= read_piece(context, place->gpa[1], place->size[1]) << 8 * place->size[0];
    return value;
}

static void write_place(void *context, const struct mmio_place *place, uint64_t value)
{
    write_piece(context, place->gpa[0], place->size[0], value);
    if (place->size[1])
        write_piece(context, place->gpa[1], place->size[1], value >> 8 * place->size[0]);
}

static uint64_t segment_base(void *context, unsigned segment)
{
    return guest_segment_base(((struct emulation *)context)->vcpu, segment);
}

/* ---- execution ---- */

static void execute(struct emulation *e, const struct mmio_instruction *instruction)
{
    struct vcpu *vcpu = e->vcpu;
    struct mmio_machine machine = {
        .gpr = vcpu->gpr, .rflags = vmcs_read(GUEST_RFLAGS), .next_rip = vmcs_read(GUEST_RIP) + instruction->length,
        .mode64 = e->mode64, .locate = locate, .read = read_place, .write = write_place,
        .segment_base = segment_base, .context = e,
    };
    enum mmio_executed executed = MMIO_AGAIN;
    e->string = instruction->string;
    vcpu->gpr[GPR_RSP] = vmcs_read(GUEST_RSP);
    for (unsigned i = 0; i < ELEMENTS_AT_ONCE && executed == MMIO_AGAIN; i++)
        executed = mmio_execute(instruction, &machine);
    vmcs_write(GUEST_RSP, vcpu->gpr[GPR_RSP]);
    if (executed == MMIO_DONE) {
        vmcs_write(GUEST_RFLAGS, machine.rflags);
        vcpu_skip_bytes(vcpu, instruction->length);
    }
}

/* The instruction at `linear`, from the guest's memory. NULL: the guest has been given a fault, or was stopped. */
static const struct mmio_instruction *fetch(struct emulation *e, struct mmio_cache_entry *entry, uint64_t linear)
{
    uint8_t bytes[16] = { 0 };
    unsigned have = 0;
    if (!fetch_page(e, linear, bytes, &have))
        return NULL;
    const struct mmio_instruction *instruction = decode(e, entry, linear, bytes, have);
    if (instruction)
        mmio_code_note(e->vcpu, entry, linear);
    return instruction;
}

void mmio_emulate(struct vcpu *vcpu, uint64_t linear, uint64_t gpa)
{
    struct emulation e; /* but for the paging, which is read when it is needed */
    e.vcpu = vcpu;
    e.linear = linear;
    e.gpa = gpa;
    e.mode64 = vcpu_in_64bit_mode(vcpu);
    e.paging_read = false;
    uint64_t code = vmcs_read(GUEST_RIP);
    if (!e.mode64)
        code = (uint32_t)(guest_segment_base(vcpu, SEGMENT_CS) + code);
    struct mmio_cache_entry *entry = &vcpu->mmio_cache.entry[(code ^ code >> 4) % MMIO_CACHE_ENTRIES];
    const struct mmio_instruction *instruction = e.mode64 && mmio_code_is_known(entry, code) ? &entry->instruction
                                                                                             : fetch(&e, entry, code);
    if (instruction)
        execute(&e, instruction);
}
