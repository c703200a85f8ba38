/* From Zydis's description of an instruction to ours: a table of mnemonics, and the two operands that matter. */
#include "vmx/mmio_instruction.h"

#include <Zydis/Zydis.h>
#include "kernel/lib/util.h"
#include "vmx/vcpu_state.h"

static const struct {
    ZydisMnemonic mnemonic;
    uint8_t operation;
} operations[] = {
    { ZYDIS_MNEMONIC_MOV, MMIO_MOVE }, { ZYDIS_MNEMONIC_MOVZX, MMIO_MOVE }, { ZYDIS_MNEMONIC_MOVNTI, MMIO_MOVE },
    { ZYDIS_MNEMONIC_STOSB, MMIO_MOVE }, { ZYDIS_MNEMONIC_STOSW, MMIO_MOVE }, { ZYDIS_MNEMONIC_STOSD, MMIO_MOVE },
    { ZYDIS_MNEMONIC_STOSQ, MMIO_MOVE }, { ZYDIS_MNEMONIC_LODSB, MMIO_MOVE }, { ZYDIS_MNEMONIC_LODSW, MMIO_MOVE },
    { ZYDIS_MNEMONIC_LODSD, MMIO_MOVE }, { ZYDIS_MNEMONIC_LODSQ, MMIO_MOVE }, { ZYDIS_MNEMONIC_MOVSB, MMIO_MOVE },
    { ZYDIS_MNEMONIC_MOVSW, MMIO_MOVE }, { ZYDIS_MNEMONIC_MOVSD, MMIO_MOVE }, { ZYDIS_MNEMONIC_MOVSQ, MMIO_MOVE },
    { ZYDIS_MNEMONIC_MOVSX, MMIO_MOVE_SIGNED }, { ZYDIS_MNEMONIC_MOVSXD, MMIO_MOVE_SIGNED },
    { ZYDIS_MNEMONIC_ADD, MMIO_ADD }, { ZYDIS_MNEMONIC_ADC, MMIO_ADC }, { ZYDIS_MNEMONIC_SUB, MMIO_SUB },
    { ZYDIS_MNEMONIC_SBB, MMIO_SBB }, { ZYDIS_MNEMONIC_CMP, MMIO_CMP }, { ZYDIS_MNEMONIC_AND, MMIO_AND },
    { ZYDIS_MNEMONIC_OR, MMIO_OR }, { ZYDIS_MNEMONIC_XOR, MMIO_XOR }, { ZYDIS_MNEMONIC_TEST, MMIO_TEST },
    { ZYDIS_MNEMONIC_INC, MMIO_INC }, { ZYDIS_MNEMONIC_DEC, MMIO_DEC }, { ZYDIS_MNEMONIC_NEG, MMIO_NEG },
    { ZYDIS_MNEMONIC_NOT, MMIO_NOT }, { ZYDIS_MNEMONIC_XCHG, MMIO_EXCHANGE }, { ZYDIS_MNEMONIC_XADD, MMIO_EXCHANGE_ADD },
    { ZYDIS_MNEMONIC_CMPXCHG, MMIO_COMPARE_EXCHANGE }, { ZYDIS_MNEMONIC_BT, MMIO_BIT_TEST },
    { ZYDIS_MNEMONIC_BTS, MMIO_BIT_SET }, { ZYDIS_MNEMONIC_BTR, MMIO_BIT_RESET },
    { ZYDIS_MNEMONIC_BTC, MMIO_BIT_COMPLEMENT },
};

static bool find_operation(const ZydisDecodedInstruction *zydis, uint8_t *operation)
{
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
        if (operations[i].mnemonic == zydis->mnemonic) {
            *operation = operations[i].operation;
            return true;
        }
    return false;
}

static bool in_class(ZydisRegister r, ZydisRegister first, ZydisRegister last)
{
    return r >= first && r <= last;
}

/* False: not a general-purpose register. */
static bool convert_register(ZydisRegister r, uint8_t *gpr, bool *high)
{
    *high = in_class(r, ZYDIS_REGISTER_AH, ZYDIS_REGISTER_BH);
    if (in_class(r, ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL))
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_AL);
    else if (*high)
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_AH);
    else if (in_class(r, ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B)) /* SPL is register 4 */
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_SPL + GPR_RSP);
    else if (in_class(r, ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W))
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_AX);
    else if (in_class(r, ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D))
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_EAX);
    else if (in_class(r, ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15))
        *gpr = (uint8_t)(r - ZYDIS_REGISTER_RAX);
    else
        return false;
    return true;
}

static bool convert_address_register(ZydisRegister r, uint8_t *gpr)
{
    bool high;
    if (r == ZYDIS_REGISTER_NONE)
        *gpr = MMIO_NO_GPR;
    else if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
        *gpr = MMIO_RIP;
    else
        return convert_register(r, gpr, &high);
    return true;
}

static bool convert_memory(const ZydisDecodedOperandMem *mem, struct mmio_operand *out)
{
    out->kind = MMIO_MEMORY;
    out->scale = mem->scale;
    out->value = mem->disp.value;
    if (mem->type != ZYDIS_MEMOP_TYPE_MEM || !in_class(mem->segment, ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS))
        return false;
    out->segment = (uint8_t)(mem->segment - ZYDIS_REGISTER_ES + SEGMENT_ES);
    return convert_address_register(mem->base, &out->base) && convert_address_register(mem->index, &out->index);
}

static bool convert_operand(const ZydisDecodedOperand *zydis, struct mmio_operand *out)
{
    out->size = (uint8_t)(zydis->size / 8);
    switch (zydis->type) {
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return convert_memory(&zydis->mem, out);
    case ZYDIS_OPERAND_TYPE_REGISTER:
        out->kind = MMIO_REGISTER;
        return convert_register(zydis->reg.value, &out->gpr, &out->high);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        out->kind = MMIO_IMMEDIATE;
        out->value = zydis->imm.value.s;
        return true;
    default:
        return false;
    }
}

static bool has_one_operand(uint8_t operation)
{
    return operation >= MMIO_INC && operation <= MMIO_NOT;
}

/* A register or memory of a size that the executor knows. */
static bool size_is_known(const struct mmio_operand *operand)
{
    return operand->size == 1 || operand->size == 2 || operand->size == 4 || operand->size == 8;
}

static bool is_string(ZydisInstructionCategory category)
{
    return category == ZYDIS_CATEGORY_STRINGOP;
}

static bool convert(const ZydisDecodedInstruction *zydis, const ZydisDecodedOperand *operands, struct mmio_instruction *out)
{
    unsigned wanted;
    *out = (struct mmio_instruction){ .length = zydis->length, .address_size = zydis->address_width / 8,
                                      .string = is_string(zydis->meta.category) };
    if (zydis->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !find_operation(zydis, &out->operation))
        return false;
    out->repeated = out->string && (zydis->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                                         ZYDIS_ATTRIB_HAS_REPNE)) != 0;
    wanted = has_one_operand(out->operation) ? 1 : 2;
    if (zydis->operand_count < wanted)
        return false;
    for (unsigned i = 0; i < wanted; i++)
        if (!convert_operand(&operands[i], &out->operand[i]) || !size_is_known(&out->operand[i]))
            return false;
    return out->operand[0].kind == MMIO_MEMORY || out->operand[1].kind == MMIO_MEMORY;
}

enum mmio_decoded mmio_decode(struct mmio_instruction *out, const uint8_t *bytes, size_t size, enum mmio_mode mode)
{
    static const struct { ZydisMachineMode machine; ZydisStackWidth stack; } modes[] = {
        [MMIO_16BIT] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
        [MMIO_32BIT] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
        [MMIO_64BIT] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
    };
    ZydisDecoder decoder;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, modes[mode].machine, modes[mode].stack)))
        return MMIO_UNSUPPORTED;
    ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bytes, MIN(size, INSTRUCTION_BYTES_MAX), &instruction, operands);
    if (status == ZYDIS_STATUS_NO_MORE_DATA && size < INSTRUCTION_BYTES_MAX)
        return MMIO_NEEDS_BYTES;
    if (!ZYAN_SUCCESS(status) || !convert(&instruction, operands, out))
        return MMIO_UNSUPPORTED;
    return MMIO_DECODED;
}
