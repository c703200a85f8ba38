/*
 * INS and OUTS: one element an exit; with a REP prefix the instruction is executed again until its count is 0, so
 * that it can be interrupted as on a processor. The operand goes through the guest's paging and takes its faults.
 */
#include <string.h>
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "vmx/bus.h"
#include "vmx/exits/io.h"
#include "vmx/guest_access.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

#define RFLAGS_DF BIT(10)
#define ACCESS_RIGHTS_UNUSABLE BIT(16)
#define ACCESS_RIGHTS_EXPAND_DOWN(rights) (((rights) & 0xc) == 4) /* data segment, E set */

/* SDM Table 28-9 "Format of the VM-Exit Instruction-Information Field as Used for INS and OUTS" */
#define ADDRESS_BITS(info) (16u << ((info) >> 7 & 3))
#define OUTS_SEGMENT(info) ((unsigned)((info) >> 15 & 7))
#define VMCS_SEGMENT_STRIDE 2 /* ES, CS, SS, DS, FS, GS follow one another in each group of fields */

struct string_io {
    bool in, rep;
    unsigned size;              /* bytes of an element */
    uint64_t address_mask;      /* of RSI, RDI and RCX */
    unsigned index_gpr;         /* RDI for INS, RSI for OUTS */
    unsigned segment;
    uint64_t linear;
};

static struct string_io decode(struct vcpu *vcpu, uint64_t q)
{
    uint64_t info = vmcs_read(VM_EXIT_INSTRUCTION_INFORMATION);
    unsigned bits = ADDRESS_BITS(info);
    (void)vcpu;
    return (struct string_io){
        .in = q & IO_IN, .rep = q & IO_REP, .size = IO_SIZE(q),
        .address_mask = bits >= 64 ? UINT64_MAX : BIT(bits) - 1,
        .index_gpr = q & IO_IN ? GPR_RDI : GPR_RSI,
        .segment = q & IO_IN ? SEGMENT_ES : OUTS_SEGMENT(info),
        .linear = vmcs_read(GUEST_LINEAR_ADDRESS),
    };
}

/* Outside 64-bit mode: the element lies in its segment, which allows the access. */
static bool segment_allows(struct vcpu *vcpu, const struct string_io *io)
{
    unsigned step = io->segment * VMCS_SEGMENT_STRIDE;
    uint64_t rights = vmcs_read((enum vmcs_field)(GUEST_ES_ACCESS_RIGHTS + step));
    uint64_t limit = vmcs_read((enum vmcs_field)(GUEST_ES_LIMIT + step));
    uint64_t offset = vcpu->gpr[io->index_gpr] & io->address_mask;
    if (vcpu_in_64bit_mode(vcpu))
        return true;
    if (rights & ACCESS_RIGHTS_UNUSABLE)
        return false;
    if (ACCESS_RIGHTS_EXPAND_DOWN(rights))
        return offset > limit;
    return offset + io->size - 1 <= limit;
}

/* Every byte's address before anything happens: a fault must leave the port untouched. */
static bool translate(struct vcpu *vcpu, const struct string_io *io, uint64_t gpa[4])
{
    struct walk_state paging;
    guest_paging(&paging);
    for (unsigned i = 0; i < io->size; i++) {
        uint8_t byte;
        if (!guest_translate(vcpu, &paging, io->linear + i, io->in ? WALK_WRITE : WALK_READ, &gpa[i]))
            return false;
        if (guest_memory_read(&vcpu->vm->memory, (struct gpa){ gpa[i] }, &byte, 1) != OK) {
            vcpu_stop_guest(vcpu, "string I/O at linear address 0x%llx reaches outside its memory, RIP 0x%llx",
                            (unsigned long long)io->linear, (unsigned long long)vmcs_read(GUEST_RIP));
            return false;
        }
    }
    return true;
}

static void transfer(struct vcpu *vcpu, const struct string_io *io, uint16_t port, const uint64_t gpa[4])
{
    uint8_t bytes[4] = { 0 };
    uint32_t value = 0;
    if (io->in) {
        value = bus_port_read(vcpu, port, io->size);
        memcpy(bytes, &value, sizeof bytes);
        for (unsigned i = 0; i < io->size; i++)
            guest_memory_write(&vcpu->vm->memory, (struct gpa){ gpa[i] }, &bytes[i], 1);
        return;
    }
    for (unsigned i = 0; i < io->size; i++)
        guest_memory_read(&vcpu->vm->memory, (struct gpa){ gpa[i] }, &bytes[i], 1);
    memcpy(&value, bytes, sizeof value);
    bus_port_write(vcpu, port, io->size, value);
}

static void add_to(struct vcpu *vcpu, unsigned gpr, uint64_t mask, uint64_t amount)
{
    uint64_t old = vcpu->gpr[gpr], keep = mask == UINT16_MAX ? ~mask : 0; /* 32-bit results clear the upper half */
    vcpu->gpr[gpr] = (old & keep) | ((old + amount) & mask);
}

enum exit_action exit_io_string(struct vcpu *vcpu, uint64_t q)
{
    struct string_io io = decode(vcpu, q);
    uint64_t gpa[4];
    if (io.rep && (vcpu->gpr[GPR_RCX] & io.address_mask) == 0) {
        vcpu_skip_instruction(vcpu);
        return EXIT_REENTER;
    }
    if (!segment_allows(vcpu, &io)) {
        vcpu_inject_exception_error(vcpu, io.segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP, 0);
        return EXIT_REENTER;
    }
    if (!translate(vcpu, &io, gpa))
        return EXIT_REENTER;
    transfer(vcpu, &io, IO_PORT(q), gpa);
    add_to(vcpu, io.index_gpr, io.address_mask, vmcs_read(GUEST_RFLAGS) & RFLAGS_DF ? -(uint64_t)io.size : io.size);
    if (io.rep)
        add_to(vcpu, GPR_RCX, io.address_mask, -(uint64_t)1);
    if (!io.rep || (vcpu->gpr[GPR_RCX] & io.address_mask) == 0)
        vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
