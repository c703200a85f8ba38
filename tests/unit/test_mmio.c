/*
 * Instructions on devices: decoded by Zydis, executed by vmx/mmio_execute.c, and compared with what this host's processor
 * makes of the very same bytes, registers, flags and memory. Then by hand what a 64-bit program cannot show:
 * 16-bit and 32-bit code, segments, page boundaries, faults, and what must be refused.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/mmio_execute.h"
#include "vmx/vcpu_state.h"

#define BUFFER 256
#define FLAGS_ARITHMETIC 0x8d5u
#define FLAG_AF 0x10u
#define FLAG_CF 0x01u
#define FLAG_ZF 0x40u
#define FLAG_DF 0x400u
#define FLAGS_FIXED 0x202u

/* ---- the processor ---- */

struct native {
    uint64_t gpr[GPR_COUNT];
    uint64_t rflags;
};
static void *native_code __attribute__((used));
void native_run(struct native *state);

__asm__(".text\n"
        "native_run:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "  mov %rdi, %rax; pushq 128(%rax); popfq\n"
        "  mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx; mov 40(%rax), %rbp; mov 48(%rax), %rsi\n"
        "  mov 56(%rax), %rdi; mov 64(%rax), %r8; mov 72(%rax), %r9; mov 80(%rax), %r10; mov 88(%rax), %r11\n"
        "  mov 96(%rax), %r12; mov 104(%rax), %r13; mov 112(%rax), %r14; mov 120(%rax), %r15; mov (%rax), %rax\n"
        "  call *native_code(%rip)\n"
        "  push %rax; mov 8(%rsp), %rax\n"
        "  mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rbp, 40(%rax); mov %rsi, 48(%rax)\n"
        "  mov %rdi, 56(%rax); mov %r8, 64(%rax); mov %r9, 72(%rax); mov %r10, 80(%rax); mov %r11, 88(%rax)\n"
        "  mov %r12, 96(%rax); mov %r13, 104(%rax); mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
        "  pushfq; popq 128(%rax); cld; popq (%rax)\n"
        "  pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

/* ---- the emulation, on a copy of the same memory ---- */

static uint8_t *real_memory;            /* below 2 GiB, so that 32-bit addresses reach it */
static uint8_t copy[BUFFER];
static unsigned reads, writes, locates;
static bool refuse;

static bool locate(void *context, uint64_t linear, unsigned size, bool write, struct mmio_place *out)
{
    uint64_t offset = linear - (uint64_t)context;
    (void)write;
    locates++;
    if (refuse || offset > BUFFER || size > BUFFER - offset)
        return false;
    *out = (struct mmio_place){ { offset, 0 }, { (uint8_t)size, 0 } };
    return true;
}

static uint64_t read_place(void *context, const struct mmio_place *place)
{
    uint64_t value = 0;
    (void)context;
    reads++;
    memcpy(&value, copy + place->gpa[0], place->size[0]);
    return value;
}

static void write_place(void *context, const struct mmio_place *place, uint64_t value)
{
    (void)context;
    writes++;
    memcpy(copy + place->gpa[0], &value, place->size[0]);
}

static uint64_t bases[SEGMENT_COUNT];
static uint64_t segment_base(void *context, unsigned segment)
{
    (void)context;
    return bases[segment];
}

static struct mmio_machine machine_of(struct native *state, uint64_t memory_base, bool mode64)
{
    reads = writes = locates = 0;
    return (struct mmio_machine){ .gpr = state->gpr, .rflags = state->rflags, .mode64 = mode64, .locate = locate,
                                  .read = read_place, .write = write_place, .segment_base = segment_base,
                                  .context = (void *)memory_base };
}

/* ---- random instructions ---- */

static uint64_t random_state = 88172645463325252ULL;
static uint64_t rnd(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Values near the edges are where flags differ. */
static uint64_t interesting(void)
{
    static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                      0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX };
    return rnd() & 1 ? edges[rnd() % ARRAY_SIZE(edges)] : rnd();
}

struct form {
    uint8_t opcode[2];
    int8_t extension;       /* /digit, or -1: a register */
    int8_t immediate;       /* bytes; -1: 2 or 4 with the operand's size */
    bool byte;              /* 8-bit operand */
    bool lockable;
    bool bits;              /* a bit offset in a register */
    uint32_t undefined;     /* flags */
};

#define R (-1)
static const struct form forms[] = {
    { { 0x84 }, R, 0, true, false, false, FLAG_AF }, { { 0x85 }, R, 0, false, false, false, FLAG_AF },
    { { 0x86 }, R, 0, true, true, false, 0 }, { { 0x87 }, R, 0, false, true, false, 0 },
    { { 0x88 }, R, 0, true, false, false, 0 }, { { 0x89 }, R, 0, false, false, false, 0 },
    { { 0x8a }, R, 0, true, false, false, 0 }, { { 0x8b }, R, 0, false, false, false, 0 },
    { { 0xc6 }, 0, 1, true, false, false, 0 }, { { 0xc7 }, 0, -1, false, false, false, 0 },
    { { 0xf6 }, 0, 1, true, false, false, FLAG_AF }, { { 0xf7 }, 0, -1, false, false, false, FLAG_AF },
    { { 0xf6 }, 2, 0, true, true, false, 0 }, { { 0xf7 }, 2, 0, false, true, false, 0 },
    { { 0xf6 }, 3, 0, true, true, false, 0 }, { { 0xf7 }, 3, 0, false, true, false, 0 },
    { { 0xfe }, 0, 0, true, true, false, 0 }, { { 0xff }, 0, 0, false, true, false, 0 },
    { { 0xfe }, 1, 0, true, true, false, 0 }, { { 0xff }, 1, 0, false, true, false, 0 },
    { { 0x63 }, R, 0, false, false, false, 0 },
    { { 0x0f, 0xb6 }, R, 0, false, false, false, 0 }, { { 0x0f, 0xb7 }, R, 0, false, false, false, 0 },
    { { 0x0f, 0xbe }, R, 0, false, false, false, 0 }, { { 0x0f, 0xbf }, R, 0, false, false, false, 0 },
    { { 0x0f, 0xc0 }, R, 0, true, true, false, 0 }, { { 0x0f, 0xc1 }, R, 0, false, true, false, 0 },
    { { 0x0f, 0xb0 }, R, 0, true, true, false, 0 }, { { 0x0f, 0xb1 }, R, 0, false, true, false, 0 },
#define BIT_UNDEFINED (FLAGS_ARITHMETIC & ~(FLAG_CF | FLAG_ZF))
    { { 0x0f, 0xa3 }, R, 0, false, false, true, BIT_UNDEFINED }, { { 0x0f, 0xab }, R, 0, false, true, true, BIT_UNDEFINED },
    { { 0x0f, 0xb3 }, R, 0, false, true, true, BIT_UNDEFINED }, { { 0x0f, 0xbb }, R, 0, false, true, true, BIT_UNDEFINED },
    { { 0x0f, 0xba }, 4, 1, false, false, false, BIT_UNDEFINED }, { { 0x0f, 0xba }, 5, 1, false, true, false, BIT_UNDEFINED },
    { { 0x0f, 0xba }, 6, 1, false, true, false, BIT_UNDEFINED }, { { 0x0f, 0xba }, 7, 1, false, true, false, BIT_UNDEFINED },
};
#define ALU_OPERATIONS 8            /* ADD OR ADC SBB AND SUB XOR CMP, in the order of their encodings */
#define ALU_FORMS 7
#define ALU_CMP 7

/* The forms of the eight operations differ in one number. */
static struct form alu_form(unsigned operation, unsigned which)
{
    static const struct form shapes[ALU_FORMS] = {
        { { 0x00 }, R, 0, true, true, false, 0 }, { { 0x01 }, R, 0, false, true, false, 0 },
        { { 0x02 }, R, 0, true, false, false, 0 }, { { 0x03 }, R, 0, false, false, false, 0 },
        { { 0x80 }, 0, 1, true, true, false, 0 }, { { 0x81 }, 0, -1, false, true, false, 0 },
        { { 0x83 }, 0, 1, false, true, false, 0 },
    };
    struct form form = shapes[which];
    if (form.extension == R)
        form.opcode[0] = (uint8_t)(form.opcode[0] + operation * 8);
    else
        form.extension = (int8_t)operation;
    if (operation == 1 || operation == 4 || operation == 6)
        form.undefined = FLAG_AF;
    if (operation == ALU_CMP)
        form.lockable = false;
    return form;
}

struct program {
    uint8_t bytes[32];
    unsigned length;
};

static void emit(struct program *p, uint64_t value, unsigned bytes)
{
    memcpy(p->bytes + p->length, &value, bytes);
    p->length += bytes;
}

/* ModRM, SIB and displacement for an address in the middle of the buffer; sets the registers that it needs. */
static void emit_address(struct program *p, struct native *state, unsigned reg, uint8_t rex, bool address32)
{
    uint64_t target = (uint64_t)real_memory + BUFFER / 2;
    int8_t displacement = (int8_t)(rnd() % 32 - 16);
    unsigned base = (unsigned)(rnd() % 8), index = (unsigned)(rnd() % 8), scale = (unsigned)(rnd() % 4);
    bool sib = base == 4 || (rnd() & 1);
    if (base == 4) /* RSP, or R12, which needs a SIB: take RBX or R11 */
        base = 3;
    uint8_t full_base = (uint8_t)(base | (rex & 1) << 3), full_index = (uint8_t)(index | (rex & 2) << 2);
    emit(p, 0x40 | (reg & 7) << 3 | (sib ? 4 : base), 1);
    if (sib)
        emit(p, scale << 6 | index << 3 | base, 1);
    emit(p, (uint8_t)displacement, 1);
    if (sib && full_index != 4 && full_index != full_base) {
        state->gpr[full_index] = rnd() % 8;
        target -= state->gpr[full_index] << scale;
    } else if (sib && full_index == full_base) {
        /* base + base * scale: some multiple of the base must be the target */
        unsigned times = 1 + (1u << scale);
        state->gpr[full_base] = target / times;
        return;
    }
    state->gpr[full_base] = target - (uint64_t)(int64_t)displacement;
    if (address32)
        state->gpr[full_base] |= rnd() << 32;
}

static void make_state(struct native *state)
{
    for (unsigned i = 0; i < GPR_COUNT; i++)
        state->gpr[i] = interesting();
    state->rflags = FLAGS_FIXED | (rnd() & FLAGS_ARITHMETIC) | (rnd() & 1 ? FLAG_DF : 0);
    for (unsigned i = 0; i < BUFFER; i++)
        real_memory[i] = rnd() & 1 ? (uint8_t)rnd() : (uint8_t)interesting();
}

/* One instruction of this form. The registers come out so that it hits the buffer. */
static struct program make_program(const struct form *form, struct native *state)
{
    struct program p = { .length = 0 };
    uint8_t rex = (uint8_t)(rnd() & 15), reg = form->extension == R ? (uint8_t)(rnd() % 8) : (uint8_t)form->extension;
    bool has_rex = rnd() & 1, operand16 = rnd() % 3 == 0, address32 = rnd() % 4 == 0;
    if (!has_rex)
        rex = 0;
    /* RSP is not for experiments: as a register operand it is register 4 with REX, or 4 without but wider than a byte. */
    if (form->extension == R && reg == 4 && !(rex & 4) && (has_rex || !form->byte))
        reg = 5;
    if (form->lockable && rnd() % 4 == 0)
        emit(&p, 0xf0, 1);
    if (operand16)
        emit(&p, 0x66, 1);
    if (address32)
        emit(&p, 0x67, 1);
    if (has_rex)
        emit(&p, 0x40 | rex, 1);
    emit(&p, form->opcode[0], 1);
    if (form->opcode[1])
        emit(&p, form->opcode[1], 1);
    emit_address(&p, state, reg, rex, address32);
    unsigned full_reg = reg | (rex & 4u) << 1;
    /* A bit offset within 32 bytes, either way. A register that is part of the address as well spoils it: not compared then. */
    if (form->bits && state->gpr[full_reg] - (uint64_t)real_memory >= BUFFER && full_reg != GPR_RSP)
        state->gpr[full_reg] = (uint64_t)((int64_t)(rnd() % 512) - 256);
    if (form->immediate)
        emit(&p, interesting(), form->immediate > 0 ? (unsigned)form->immediate : operand16 && !(rex & 8) ? 2 : 4);
    return p;
}

/* Runs both and compares all that is defined. False: the address left the buffer, nothing was run. */
static bool compare(const struct program *p, const struct native *before, uint32_t undefined, struct mmio_instruction *instruction)
{
    struct native native = *before, ours = *before;
    struct mmio_machine machine = machine_of(&ours, (uint64_t)real_memory, true);
    enum mmio_executed executed;
    assert_int_equal(mmio_decode(instruction, p->bytes, p->length, MMIO_64BIT), MMIO_DECODED);
    assert_int_equal(instruction->length, p->length);
    memcpy(copy, real_memory, BUFFER);
    do
        executed = mmio_execute(instruction, &machine);
    while (executed == MMIO_AGAIN);
    if (executed == MMIO_FAULTED)
        return false;
    memcpy(native_code, p->bytes, p->length);
    ((uint8_t *)native_code)[p->length] = 0xc3;
    native.gpr[GPR_RSP] = ours.gpr[GPR_RSP];
    native_run(&native);
    /* A repeated instruction with 32-bit addresses and ECX = 0: some processors write ECX all the same, and clear RCX's upper half. */
    if (memchr(p->bytes, 0x67, p->length) && (uint32_t)before->gpr[GPR_RCX] == 0 && native.gpr[GPR_RCX] == 0 &&
        ours.gpr[GPR_RCX] == before->gpr[GPR_RCX])
        native.gpr[GPR_RCX] = before->gpr[GPR_RCX];
    if (memcmp(native.gpr, ours.gpr, sizeof ours.gpr) || memcmp(copy, real_memory, BUFFER) ||
        ((native.rflags ^ machine.rflags) & ~undefined & (FLAGS_ARITHMETIC | FLAG_DF))) {
        for (unsigned i = 0; i < p->length; i++)
            print_message("%02x ", p->bytes[i]);
        for (unsigned i = 0; i < GPR_COUNT; i++)
            if (native.gpr[i] != ours.gpr[i])
                print_message("gpr %u: %llx, processor %llx; ", i, (unsigned long long)ours.gpr[i],
                              (unsigned long long)native.gpr[i]);
        fail_msg("flags %llx, processor %llx, before %llx", (unsigned long long)machine.rflags,
                 (unsigned long long)native.rflags, (unsigned long long)before->rflags);
    }
    return true;
}

#define ROUNDS 3000
static void same_as_the_processor(void **state)
{
    unsigned compared = 0, tried = 0;
    (void)state;
    for (unsigned f = 0; f < ARRAY_SIZE(forms) + ALU_OPERATIONS * ALU_FORMS; f++) {
        unsigned alu = f - (unsigned)ARRAY_SIZE(forms);
        struct form form = f < ARRAY_SIZE(forms) ? forms[f] : alu_form(alu / ALU_FORMS, alu % ALU_FORMS);
        for (unsigned i = 0; i < ROUNDS; i++, tried++) {
            struct native before;
            struct mmio_instruction instruction;
            make_state(&before);
            struct program p = make_program(&form, &before);
            if (form.opcode[0] == 0x0f && (form.opcode[1] & 0xfe) == 0xb0 && rnd() & 1) /* CMPXCHG that succeeds */
                memcpy(&before.gpr[GPR_RAX], real_memory + BUFFER / 2, 8);
            compared += compare(&p, &before, form.undefined, &instruction);
        }
    }
    print_message("%u of %u random instructions compared\n", compared, tried);
    assert_true(compared > tried / 2);
}

static void moves_at_absolute_addresses(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        struct native before;
        struct mmio_instruction instruction;
        struct program p = { .length = 0 };
        bool address32 = rnd() & 1;
        make_state(&before);
        if (rnd() & 1)
            emit(&p, 0x66, 1);
        if (address32)
            emit(&p, 0x67, 1);
        if (rnd() & 1)
            emit(&p, 0x48, 1);
        emit(&p, 0xa0 | (rnd() & 3), 1);
        emit(&p, (uint64_t)real_memory + 64, address32 ? 4 : 8);
        assert_true(compare(&p, &before, 0, &instruction));
    }
}

static void string_instructions(void **state)
{
    static const uint8_t opcodes[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad };
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct native before;
        struct mmio_instruction instruction;
        struct program p = { .length = 0 };
        make_state(&before);
        before.gpr[GPR_RCX] = rnd() % 8;
        before.gpr[GPR_RSI] = (uint64_t)real_memory + BUFFER / 2 + rnd() % 32;
        before.gpr[GPR_RDI] = (uint64_t)real_memory + BUFFER / 2 + rnd() % 32;
        if (rnd() & 1)
            emit(&p, rnd() % 4 ? 0xf3 : 0xf2, 1);
        if (rnd() & 1)
            emit(&p, 0x66, 1);
        if (rnd() & 1) {
            emit(&p, 0x67, 1);
            before.gpr[GPR_RCX] |= rnd() << 32;
        }
        if (rnd() & 1)
            emit(&p, 0x48, 1);
        emit(&p, opcodes[rnd() % ARRAY_SIZE(opcodes)], 1);
        assert_true(compare(&p, &before, 0, &instruction));
    }
}

/* ---- by hand ---- */

static struct mmio_instruction decode(const char *bytes, size_t size, enum mmio_mode mode)
{
    struct mmio_instruction out;
    assert_int_equal(mmio_decode(&out, (const uint8_t *)bytes, size, mode), MMIO_DECODED);
    assert_int_equal(out.length, size);
    return out;
}
#define DECODE(mode, literal) decode(literal, sizeof literal - 1, mode)

static void other_modes_and_segments(void **state)
{
    struct native s = { .rflags = FLAGS_FIXED };
    struct mmio_machine m;
    struct mmio_instruction i;
    (void)state;
    memset(copy, 0, sizeof copy);
    memset(bases, 0, sizeof bases);
    /* 16-bit code: mov [bx+si+2], al; the offset wraps at 64 KiB, the segment counts */
    i = DECODE(MMIO_16BIT, "\x88\x40\x02");
    s.gpr[GPR_RBX] = 0xfffffff0;
    s.gpr[GPR_RSI] = 0x11110020;
    s.gpr[GPR_RAX] = 0x5a;
    bases[SEGMENT_DS] = 0xd0000;
    m = machine_of(&s, 0xd0000, false);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(copy[0x12], 0x5a);
    /* mov ax, ss:[bp+1]: BP means SS */
    i = DECODE(MMIO_16BIT, "\x8b\x46\x01");
    assert_int_equal(i.operand[1].segment, SEGMENT_SS);
    assert_int_equal(i.operand[0].size, 2);
    /* 32-bit code: mov eax, gs:[0x10]; sums wrap at 4 GiB */
    i = DECODE(MMIO_32BIT, "\x65\xa1\x10\x00\x00\x00");
    bases[SEGMENT_GS] = 0xfffffff8;
    copy[8] = 0x77;
    m = machine_of(&s, 0, false);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(s.gpr[GPR_RAX], 0x77);
    /* 64-bit code: FS has a base, DS has none, and RIP is that of the next instruction */
    i = DECODE(MMIO_64BIT, "\x64\x8b\x03");
    bases[SEGMENT_FS] = 0x1000000000;
    s.gpr[GPR_RBX] = 8;
    m = machine_of(&s, 0x1000000000, true);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    i = DECODE(MMIO_64BIT, "\x8b\x05\x08\x00\x00\x00");
    bases[SEGMENT_DS] = 0x99999;
    m = machine_of(&s, 0xffff800000001000, true);
    m.next_rip = 0xffff800000001000;
    s.gpr[GPR_RAX] = UINT64_MAX;
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(s.gpr[GPR_RAX], 0x77);
}

/* A fault must come before any device is touched, and must leave registers and flags alone. */
static void faults_change_nothing(void **state)
{
    static const char *const programs[] = { "\xf3\xa4", "\x01\x03", "\x87\x03", "\x0f\xb1\x0b", "\x8b\x03" };
    (void)state;
    refuse = true;
    for (unsigned n = 0; n < ARRAY_SIZE(programs); n++) {
        struct native s = { .rflags = FLAGS_FIXED }, before;
        struct mmio_instruction i = decode(programs[n], strlen(programs[n]), MMIO_64BIT);
        s.gpr[GPR_RCX] = 3;
        before = s;
        struct mmio_machine m = machine_of(&s, 0, true);
        assert_int_equal(mmio_execute(&i, &m), MMIO_FAULTED);
        assert_memory_equal(&s, &before, sizeof s);
        assert_int_equal(m.rflags, before.rflags);
        assert_int_equal(reads + writes, 0);
    }
    refuse = false;
}

/* A device sees as many accesses as the processor would make. */
static void accesses_are_counted(void **state)
{
    struct native s = { .rflags = FLAGS_FIXED };
    struct mmio_instruction i = DECODE(MMIO_64BIT, "\xc7\x03\x01\x00\x00\x00"); /* mov dword [rbx], 1 */
    struct mmio_machine m = machine_of(&s, 0, true);
    (void)state;
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(reads, 0);
    assert_int_equal(writes, 1);
    i = DECODE(MMIO_64BIT, "\x83\x3b\x00"); /* cmp dword [rbx], 0 */
    m = machine_of(&s, 0, true);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(reads, 1);
    assert_int_equal(writes, 0);
    i = DECODE(MMIO_64BIT, "\xf3\xab"); /* rep stosd with nothing to do */
    m = machine_of(&s, 0, true);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(reads + writes + locates, 0);
    s.gpr[GPR_RCX] = 2;
    assert_int_equal(mmio_execute(&i, &m), MMIO_AGAIN);
    assert_int_equal(s.gpr[GPR_RCX], 1);
    assert_int_equal(mmio_execute(&i, &m), MMIO_DONE);
    assert_int_equal(writes, 2);
}

static void refused(void **state)
{
    static const struct { const char *bytes; uint8_t size; enum mmio_decoded expected; } cases[] = {
        { "\x0f\x10\x03", 3, MMIO_UNSUPPORTED },                    /* movups xmm0, [rbx] */
        { "\xc5\xf8\x10\x03", 4, MMIO_UNSUPPORTED },                /* vmovups */
        { "\xff\x33", 2, MMIO_UNSUPPORTED },                        /* push [rbx] */
        { "\xd9\x03", 2, MMIO_UNSUPPORTED },                        /* fld */
        { "\x0f\x01\x13", 3, MMIO_UNSUPPORTED },                    /* lgdt */
        { "\x89\xd8", 2, MMIO_UNSUPPORTED },                        /* mov eax, ebx: no memory */
        { "\x8e\x1b", 2, MMIO_UNSUPPORTED },                        /* mov ds, [rbx] */
        { "\x0f\x0b", 2, MMIO_UNSUPPORTED },                        /* ud2 */
        { "\xf2\x0f\x10\x03", 4, MMIO_UNSUPPORTED },                /* movsd xmm0, [rbx]: not MOVSD the string */
        { "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", 15, MMIO_UNSUPPORTED },
        { "\x48\xc7\x03\x01\x00", 5, MMIO_NEEDS_BYTES },
        { "\x66", 1, MMIO_NEEDS_BYTES },
        { "", 0, MMIO_NEEDS_BYTES },
    };
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(cases); n++) {
        struct mmio_instruction i;
        assert_int_equal(mmio_decode(&i, (const uint8_t *)cases[n].bytes, cases[n].size, MMIO_64BIT), cases[n].expected);
    }
}

static int setup(void **state)
{
    (void)state;
    real_memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    native_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return real_memory == MAP_FAILED || native_code == MAP_FAILED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_processor), cmocka_unit_test(moves_at_absolute_addresses),
        cmocka_unit_test(string_instructions),   cmocka_unit_test(other_modes_and_segments),
        cmocka_unit_test(faults_change_nothing), cmocka_unit_test(accesses_are_counted),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
