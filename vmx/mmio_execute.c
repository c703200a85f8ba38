/*
 * Operands are read, an operation makes a result and flags of them, and the result is written back: the same three
 * steps for all instructions, whichever operand is in memory.
 */
#include "vmx/mmio_execute.h"

#include "kernel/lib/util.h"
#include "vmx/vcpu_state.h"

#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_DF BIT(10)
#define RFLAGS_OF BIT(11)
#define RFLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static uint64_t mask_of(unsigned size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : BIT(8 * size) - 1;
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* ---- operands ---- */

/* SDM Vol. 1, 3.4.1.1: 32-bit results clear the upper half, narrower ones leave the rest alone. */
static uint64_t merge(uint64_t old, uint64_t value, unsigned size)
{
    uint64_t mask = mask_of(size);
    return size == 4 ? value & mask : (old & ~mask) | (value & mask);
}

static uint64_t read_register(const struct mmio_machine *m, const struct mmio_operand *o)
{
    return (m->gpr[o->gpr % GPR_COUNT] >> (o->high ? 8 : 0)) & mask_of(o->size);
}

static void write_register(struct mmio_machine *m, const struct mmio_operand *o, uint64_t value)
{
    uint64_t *gpr = &m->gpr[o->gpr % GPR_COUNT];
    *gpr = o->high ? (*gpr & ~0xff00ULL) | (value & 0xff) << 8 : merge(*gpr, value, o->size);
}

static uint64_t address_register(const struct mmio_machine *m, unsigned gpr)
{
    if (gpr == MMIO_NO_GPR)
        return 0;
    return gpr == MMIO_RIP ? m->next_rip : m->gpr[gpr % GPR_COUNT];
}

static bool is_bit_operation(unsigned operation)
{
    return operation >= MMIO_BIT_TEST && operation <= MMIO_BIT_COMPLEMENT;
}

/* SDM Vol. 2A, 3.1.1.9, "Bit(BitBase, BitOffset)": a register as bit offset reaches beyond the operand, either way. */
static uint64_t bit_displacement(const struct mmio_instruction *i, const struct mmio_machine *m)
{
    const struct mmio_operand *offset = &i->operand[1];
    if (!is_bit_operation(i->operation) || offset->kind != MMIO_REGISTER)
        return 0;
    int64_t bit = (int64_t)sign_extend(read_register(m, offset), offset->size);
    int64_t bits = 8 * i->operand[0].size;
    return (uint64_t)((bit - (int64_t)((uint64_t)bit & (uint64_t)(bits - 1))) / 8);
}

static uint64_t linear_address(const struct mmio_instruction *i, const struct mmio_machine *m, const struct mmio_operand *o)
{
    uint64_t effective = address_register(m, o->base) + address_register(m, o->index) * o->scale + (uint64_t)o->value +
                         bit_displacement(i, m);
    uint64_t base = m->mode64 && o->segment != SEGMENT_FS && o->segment != SEGMENT_GS ? 0
                        : m->segment_base(m->context, o->segment);
    uint64_t linear = base + (effective & mask_of(i->address_size));
    return m->mode64 ? linear : (uint32_t)linear;
}

static bool writes_destination(unsigned operation)
{
    return operation != MMIO_CMP && operation != MMIO_TEST && operation != MMIO_BIT_TEST;
}

static bool reads_destination(unsigned operation)
{
    return operation != MMIO_MOVE && operation != MMIO_MOVE_SIGNED;
}

static bool writes_source(unsigned operation)
{
    return operation == MMIO_EXCHANGE || operation == MMIO_EXCHANGE_ADD;
}

static bool locate_operands(const struct mmio_instruction *i, struct mmio_machine *m, struct mmio_place places[2])
{
    const bool write[2] = { writes_destination(i->operation), writes_source(i->operation) };
    for (unsigned n = 0; n < 2; n++) {
        const struct mmio_operand *o = &i->operand[n];
        if (o->kind == MMIO_MEMORY &&
            !m->locate(m->context, linear_address(i, m, o), o->size, write[n], &places[n]))
            return false;
    }
    return true;
}

static uint64_t read_operand(struct mmio_machine *m, const struct mmio_operand *o, const struct mmio_place *place)
{
    switch ((enum mmio_operand_kind)o->kind) {
    case MMIO_REGISTER: return read_register(m, o);
    case MMIO_MEMORY: return m->read(m->context, place) & mask_of(o->size);
    case MMIO_IMMEDIATE: return (uint64_t)o->value;
    case MMIO_NOTHING: break;
    }
    return 0;
}

static void write_operand(struct mmio_machine *m, const struct mmio_operand *o, const struct mmio_place *place,
                          uint64_t value)
{
    if (o->kind == MMIO_REGISTER)
        write_register(m, o, value);
    else if (o->kind == MMIO_MEMORY)
        m->write(m->context, place, value & mask_of(o->size));
}

/* ---- operations ---- */

static uint64_t result_flags(uint64_t result, unsigned size)
{
    uint64_t flags = 0;
    result &= mask_of(size);
    if (result == 0)
        flags |= RFLAGS_ZF;
    if (result >> (8 * size - 1))
        flags |= RFLAGS_SF;
    if (__builtin_parity((unsigned)(result & 0xff)) == 0)
        flags |= RFLAGS_PF;
    return flags;
}

static void set_flags(struct mmio_machine *m, uint64_t which, uint64_t flags)
{
    m->rflags = (m->rflags & ~which) | (flags & which);
}

static uint64_t add(struct mmio_machine *m, uint64_t a, uint64_t b, uint64_t carry, unsigned size, uint64_t which)
{
    uint64_t sum = (a + b + carry) & mask_of(size), sign = BIT(8 * size - 1), flags = result_flags(sum, size);
    uint64_t carries = (a & b) | ((a | b) & ~sum);
    if (carries & sign)
        flags |= RFLAGS_CF;
    if ((~(a ^ b) & (a ^ sum)) & sign)
        flags |= RFLAGS_OF;
    flags |= (a ^ b ^ sum) & RFLAGS_AF;
    set_flags(m, which, flags);
    return sum;
}

static uint64_t subtract(struct mmio_machine *m, uint64_t a, uint64_t b, uint64_t borrow, unsigned size, uint64_t which)
{
    uint64_t difference = (a - b - borrow) & mask_of(size), sign = BIT(8 * size - 1);
    uint64_t flags = result_flags(difference, size), borrows = (~a & b) | (~(a ^ b) & difference);
    if (borrows & sign)
        flags |= RFLAGS_CF;
    if (((a ^ b) & (a ^ difference)) & sign)
        flags |= RFLAGS_OF;
    flags |= (a ^ b ^ difference) & RFLAGS_AF;
    set_flags(m, which, flags);
    return difference;
}

/* AF is undefined after these; it is cleared, as processors do. */
static uint64_t logic(struct mmio_machine *m, uint64_t result, unsigned size)
{
    set_flags(m, RFLAGS_ARITHMETIC, result_flags(result, size));
    return result;
}

/* Of the flags only CF is defined. */
static uint64_t bit_operation(struct mmio_machine *m, unsigned operation, uint64_t a, uint64_t offset, unsigned size)
{
    uint64_t bit = BIT(offset & (8 * size - 1));
    set_flags(m, RFLAGS_CF, a & bit ? RFLAGS_CF : 0);
    switch (operation) {
    case MMIO_BIT_SET: return a | bit;
    case MMIO_BIT_RESET: return a & ~bit;
    case MMIO_BIT_COMPLEMENT: return a ^ bit;
    default: return a;
    }
}

/* The destination's new value (or what a comparison computes), and the flags. */
static uint64_t compute(const struct mmio_instruction *i, struct mmio_machine *m, uint64_t a, uint64_t b)
{
    unsigned size = i->operand[0].size;
    uint64_t carry = m->rflags & RFLAGS_CF;
    b = i->operation == MMIO_MOVE_SIGNED ? sign_extend(b, i->operand[1].size) : b & mask_of(size);
    switch ((enum mmio_operation)i->operation) {
    case MMIO_MOVE:
    case MMIO_MOVE_SIGNED:
    case MMIO_EXCHANGE: return b;
    case MMIO_ADD:
    case MMIO_EXCHANGE_ADD: return add(m, a, b, 0, size, RFLAGS_ARITHMETIC);
    case MMIO_ADC: return add(m, a, b, carry, size, RFLAGS_ARITHMETIC);
    case MMIO_SUB:
    case MMIO_CMP: return subtract(m, a, b, 0, size, RFLAGS_ARITHMETIC);
    case MMIO_SBB: return subtract(m, a, b, carry, size, RFLAGS_ARITHMETIC);
    case MMIO_AND:
    case MMIO_TEST: return logic(m, a & b, size);
    case MMIO_OR: return logic(m, a | b, size);
    case MMIO_XOR: return logic(m, a ^ b, size);
    case MMIO_INC: return add(m, a, 1, 0, size, RFLAGS_ARITHMETIC & ~RFLAGS_CF);
    case MMIO_DEC: return subtract(m, a, 1, 0, size, RFLAGS_ARITHMETIC & ~RFLAGS_CF);
    case MMIO_NEG: return subtract(m, 0, a, 0, size, RFLAGS_ARITHMETIC);
    case MMIO_NOT: return ~a;
    case MMIO_BIT_TEST:
    case MMIO_BIT_SET:
    case MMIO_BIT_RESET:
    case MMIO_BIT_COMPLEMENT: return bit_operation(m, i->operation, a, b, size);
    case MMIO_COMPARE_EXCHANGE:
    case MMIO_OPERATIONS: break;
    }
    return a;
}

/* SDM Vol. 2A, "CMPXCHG": the destination is written in any case. */
static void compare_exchange(const struct mmio_instruction *i, struct mmio_machine *m, const struct mmio_place places[2])
{
    const struct mmio_operand accumulator = { .kind = MMIO_REGISTER, .size = i->operand[0].size, .gpr = GPR_RAX };
    uint64_t old = read_operand(m, &i->operand[0], &places[0]), source = read_operand(m, &i->operand[1], &places[1]);
    uint64_t difference = subtract(m, read_register(m, &accumulator), old, 0, accumulator.size, RFLAGS_ARITHMETIC);
    write_operand(m, &i->operand[0], &places[0], difference == 0 ? source : old);
    if (difference != 0)
        write_register(m, &accumulator, old);
}

static void operate(const struct mmio_instruction *i, struct mmio_machine *m, const struct mmio_place places[2])
{
    uint64_t a = 0, b, result;
    if (i->operation == MMIO_COMPARE_EXCHANGE) {
        compare_exchange(i, m, places);
        return;
    }
    b = read_operand(m, &i->operand[1], &places[1]);
    if (reads_destination(i->operation))
        a = read_operand(m, &i->operand[0], &places[0]);
    result = compute(i, m, a, b);
    if (writes_source(i->operation))
        write_operand(m, &i->operand[1], &places[1], a);
    if (writes_destination(i->operation))
        write_operand(m, &i->operand[0], &places[0], result);
}

/* ---- string instructions ---- */

/* RSI, RDI and RCX, as wide as addresses are. */
static void add_to_register(struct mmio_machine *m, const struct mmio_instruction *i, unsigned gpr, uint64_t amount)
{
    m->gpr[gpr] = merge(m->gpr[gpr], m->gpr[gpr] + amount, i->address_size);
}

static void move_on(const struct mmio_instruction *i, struct mmio_machine *m)
{
    for (unsigned n = 0; n < 2; n++) {
        const struct mmio_operand *o = &i->operand[n];
        if (o->kind == MMIO_MEMORY)
            add_to_register(m, i, o->base % GPR_COUNT, m->rflags & RFLAGS_DF ? -(uint64_t)o->size : o->size);
    }
}

static uint64_t repetitions(const struct mmio_instruction *i, const struct mmio_machine *m)
{
    return m->gpr[GPR_RCX] & mask_of(i->address_size);
}

/* The common case by the short way: a load or a store. */
static enum mmio_executed move(const struct mmio_instruction *i, struct mmio_machine *m)
{
    const struct mmio_operand *to = &i->operand[0], *from = &i->operand[1];
    bool store = to->kind == MMIO_MEMORY;
    const struct mmio_operand *memory = store ? to : from;
    struct mmio_place place;
    if (!m->locate(m->context, linear_address(i, m, memory), memory->size, store, &place))
        return MMIO_FAULTED;
    if (store)
        m->write(m->context, &place, (from->kind == MMIO_REGISTER ? read_register(m, from) : (uint64_t)from->value) &
                                         mask_of(to->size));
    else
        write_register(m, to, m->read(m->context, &place) & mask_of(from->size));
    return MMIO_DONE;
}

enum mmio_executed mmio_execute(const struct mmio_instruction *i, struct mmio_machine *m)
{
    struct mmio_place places[2] = { 0 };
    if (i->operation == MMIO_MOVE && !i->string)
        return move(i, m);
    if (i->repeated && repetitions(i, m) == 0)
        return MMIO_DONE;
    if (!locate_operands(i, m, places))
        return MMIO_FAULTED;
    operate(i, m, places);
    if (i->string)
        move_on(i, m);
    if (!i->repeated)
        return MMIO_DONE;
    add_to_register(m, i, GPR_RCX, UINT64_MAX);
    return repetitions(i, m) == 0 ? MMIO_DONE : MMIO_AGAIN;
}
