/*
 * An instruction that accesses memory where there is a device instead: what Zydis says of its bytes, reduced to what is
 * executed (vmx/mmio_execute.h). Pure.
 */
#ifndef TELEPOD_MMIO_INSTRUCTION_H
#define TELEPOD_MMIO_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_BYTES_MAX 15    /* SDM Vol. 2A, 2.3.11 */

enum mmio_operation {
    MMIO_MOVE,          /* MOV, MOVZX, MOVNTI, STOS, LODS, MOVS */
    MMIO_MOVE_SIGNED,   /* MOVSX, MOVSXD */
    MMIO_ADD, MMIO_ADC, MMIO_SUB, MMIO_SBB, MMIO_CMP,
    MMIO_AND, MMIO_OR, MMIO_XOR, MMIO_TEST,
    MMIO_INC, MMIO_DEC, MMIO_NEG, MMIO_NOT,
    MMIO_EXCHANGE, MMIO_EXCHANGE_ADD, MMIO_COMPARE_EXCHANGE,
    MMIO_BIT_TEST, MMIO_BIT_SET, MMIO_BIT_RESET, MMIO_BIT_COMPLEMENT,
    MMIO_OPERATIONS
};

enum mmio_operand_kind { MMIO_NOTHING, MMIO_REGISTER, MMIO_MEMORY, MMIO_IMMEDIATE };

#define MMIO_NO_GPR 0xff    /* as a base or index: there is none */
#define MMIO_RIP 0xfe       /* as a base: the instruction pointer, past this instruction */

struct mmio_operand {
    uint8_t kind;           /* enum mmio_operand_kind */
    uint8_t size;           /* bytes */
    uint8_t gpr;            /* register: enum gpr */
    bool high;              /* register: bits 15:8 of it (AH, CH, DH, BH) */
    uint8_t segment;        /* memory: enum segment, and then [base + index * scale + value] */
    uint8_t base, index, scale;
    int64_t value;          /* displacement, or the immediate, sign-extended */
};

struct mmio_instruction {
    uint8_t operation;      /* enum mmio_operation */
    uint8_t length;         /* bytes of the instruction */
    uint8_t address_size;   /* bytes: 2, 4, 8 */
    bool string;            /* RSI and RDI move on */
    bool repeated;          /* with RCX as the count */
    struct mmio_operand operand[2]; /* destination, source */
};

enum mmio_mode { MMIO_16BIT, MMIO_32BIT, MMIO_64BIT };

enum mmio_decoded {
    MMIO_DECODED,
    MMIO_NEEDS_BYTES,       /* these bytes are only the beginning of an instruction */
    MMIO_UNSUPPORTED,       /* no instruction, or not one that is executed here */
};

/* `mode`: the code segment's; bytes[0 .. size - 1] begin with the instruction. */
enum mmio_decoded mmio_decode(struct mmio_instruction *out, const uint8_t *bytes, size_t size, enum mmio_mode mode);

#endif
