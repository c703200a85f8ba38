/*
 * bochs-mend-smp.c: loaded into every Bochs that we start, beside bochs-mend.c; guarantees that in a machine of
 * several processors an exception is delivered once.
 *
 * Bochs ends the delivery of an exception by a longjmp() to its main loop. The loop for one processor then commits
 * where the processor is: prev_rip = RIP, speculative_rsp = false (cpu_loop() in its cpu/cpu.cc). The loop for several
 * processors (main.cc, cpu_run_trace()) forgets that. If the very next thing is a VM exit for an interrupt or the
 * VMX-preemption timer, the exit goes back to prev_rip, the instruction that had faulted, with the exception's frame on
 * the stack already: the guest takes it twice, or goes on at a user's address with the kernel's rights.
 *
 * Here longjmp() is Bochs's way through us: where it goes to that loop, we commit first, as cpu_loop() does. Where the
 * members are in class BX_CPU_C is read from the code of cpu_loop() itself; if that is not found, or not unambiguous,
 * nothing is touched and the verdict says so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "bochs-mend.h"

#define CPU_LOOP_SYMBOL "_ZN8BX_CPU_C8cpu_loopEv"
#define JUMP_TARGET_SYMBOL "_ZN8BX_CPU_C11jmp_buf_envE"
#define CPU_ARRAY_SYMBOL "bx_cpu_array"
#define CPU_COUNT_SYMBOL "bx_cpu_count"
#define CODE_BYTES 512 /* of cpu_loop(), from its beginning */

static struct {
    uint32_t rip, prev_rip, speculative_rsp; /* offsets in BX_CPU_C */
    void *jump_target;
    char ***cpus;
    uint8_t *cpu_count;
    int known;
} bochs;

/* REX.W mov between a register and disp32(base), no SIB: 48 8b (load) or 48 89 (store). */
static int is_mov(const unsigned char *code, unsigned char opcode)
{
    return code[0] == 0x48 && code[1] == opcode && (code[2] & 0xc0) == 0x80 && (code[2] & 7) != 4;
}

/* movb $0, disp32(base) */
static int is_clear_byte(const unsigned char *code)
{
    return code[0] == 0xc6 && (code[1] & 0xf8) == 0x80 && (code[1] & 7) != 4 && code[6] == 0;
}

static uint32_t displacement(const unsigned char *code)
{
    uint32_t value;

    memcpy(&value, code, sizeof(value));
    return value;
}

/* mov RIP(base), r; movb $0, speculative_rsp(base); mov r, prev_rip(base): with one base and one r. */
static int is_commit(const unsigned char *code)
{
    const unsigned char *load = code, *clear = code + 7, *store = code + 14;

    return is_mov(load, 0x8b) && is_clear_byte(clear) && is_mov(store, 0x89) && load[2] == store[2] &&
           (load[2] & 7) == (clear[1] & 7);
}

/* Found exactly once: no other reading of the code is possible. */
static int read_offsets(const unsigned char *code)
{
    int found = 0;

    for (unsigned i = 0; i + 21 <= CODE_BYTES; i++)
        if (is_commit(code + i)) {
            bochs.rip = displacement(code + i + 3);
            bochs.speculative_rsp = displacement(code + i + 9);
            bochs.prev_rip = displacement(code + i + 17);
            found++;
        }
    return found == 1 && bochs.rip < bochs.prev_rip && bochs.prev_rip < bochs.speculative_rsp;
}

const char *bochs_mend_smp(void)
{
    const unsigned char *loop = dlsym(RTLD_DEFAULT, CPU_LOOP_SYMBOL);

    bochs.jump_target = dlsym(RTLD_DEFAULT, JUMP_TARGET_SYMBOL);
    bochs.cpus = dlsym(RTLD_DEFAULT, CPU_ARRAY_SYMBOL);
    bochs.cpu_count = dlsym(RTLD_DEFAULT, CPU_COUNT_SYMBOL);
    bochs.known = loop && bochs.jump_target && bochs.cpus && bochs.cpu_count && read_offsets(loop);
    return bochs.known ? "mended" : "unknown";
}

/*
 * All processors: which one jumps is known to the loop only, and of the others what is committed here was so before:
 * they stand between two instructions.
 */
static void commit(void)
{
    char **cpus = *bochs.cpus;

    for (unsigned i = 0; i < *bochs.cpu_count; i++) {
        memcpy(cpus[i] + bochs.prev_rip, cpus[i] + bochs.rip, sizeof(uint64_t));
        cpus[i][bochs.speculative_rsp] = 0;
    }
}

typedef void (*jump)(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));

/* `real` keeps what `name` is in the C library: every exception and every VM exit comes here. */
static void __attribute__((noreturn)) commit_and_jump(jump *real, const char *name, struct __jmp_buf_tag *env, int value)
{
    if (!*real) {
        void *found = dlsym(RTLD_NEXT, name);

        memcpy(real, &found, sizeof(*real));
    }
    if (bochs.known && env == bochs.jump_target && *bochs.cpu_count > 1)
        commit();
    (*real)(env, value);
}

/* The two names under which Bochs was linked to the C library's longjmp(). */
void __longjmp_chk(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));
void __longjmp_chk(struct __jmp_buf_tag *env, int value)
{
    static jump real;

    commit_and_jump(&real, "__longjmp_chk", env, value);
}

void longjmp(struct __jmp_buf_tag env[1], int value)
{
    static jump real;

    commit_and_jump(&real, "longjmp", env, value);
}
