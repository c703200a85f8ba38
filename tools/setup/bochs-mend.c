/*
 * bochs-mend.c: loaded into every Bochs that we start; guarantees that IDIV r/m64 divides right in it, or
 * that it does not start.
 *
 * Debian's Bochs 3.1+dfsg-1 has a miscompiled long_idiv() (it never copies the low half of the dividend),
 * the function behind a signed 64-bit division: 1000000000 / 1000 gives 0 in the emulated machine. The
 * function is exported, so it can be asked for known answers before the emulation starts, and where it errs
 * its first bytes are overwritten by a jump to the one below. A right one is left alone.
 *
 * With TELEPOD_IDIV_CHECK in the environment Bochs only says "idiv: right" or "idiv: mended", then "smp: " and
 * "virtual interrupts: " with the verdicts of the other mends, and ends with status 0. A Bochs that does not export the
 * function cannot be asked, and says nothing of the kind.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bochs-mend.h"

/* Bochs's Bit128s: two 64-bit halves in memory, low first, only 8-byte aligned. */
struct int128_halves {
    uint64_t low;
    int64_t high;
};

/* The signature of long_idiv() in Bochs's cpu/wide_int.h. */
typedef void long_idiv_fn(struct int128_halves *quotient, int64_t *remainder,
                          const struct int128_halves *dividend, int64_t divisor);

#define LONG_IDIV_SYMBOL "_Z9long_idivP7Bit128sPlPKS_l"

/* jmp *0(%rip), followed by the 8 bytes of the target. */
static const unsigned char jump_indirect[6] = {0xff, 0x25, 0, 0, 0, 0};

static void right_long_idiv(struct int128_halves *quotient, int64_t *remainder,
                            const struct int128_halves *dividend, int64_t divisor)
{
    __int128 n = (__int128)(((unsigned __int128)dividend->high << 64) | dividend->low);
    unsigned __int128 q = (unsigned __int128)(n / divisor);

    quotient->low = (uint64_t)q;
    quotient->high = (int64_t)(q >> 64);
    *remainder = (int64_t)(n % divisor);
}

static int divides_right(long_idiv_fn *idiv)
{
    static const struct {
        struct int128_halves dividend;
        int64_t divisor;
        struct int128_halves quotient;
        int64_t remainder;
    } known[] = {
        {{1000000000, 0}, 1000, {1000000, 0}, 0},
        {{1000000007, 0}, 1000, {1000000, 0}, 7},
        {{(uint64_t)-1000000007, -1}, 1000, {(uint64_t)-1000000, -1}, -7},
        {{(uint64_t)-1000000007, -1}, -1000, {1000000, 0}, -7},
        {{5, 1}, 16, {UINT64_C(1) << 60, 0}, 5},
    };

    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct int128_halves quotient = {0, 0};
        int64_t remainder = 0;

        idiv(&quotient, &remainder, &known[i].dividend, known[i].divisor);
        if (memcmp(&quotient, &known[i].quotient, sizeof(quotient)) || remainder != known[i].remainder)
            return 0;
    }
    return 1;
}

/* Returns 0 if the memory would not become writable. */
static int redirect(void *from, long_idiv_fn *to)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)from & ~(page_size - 1);
    size_t length = 2 * page_size; /* the jump may straddle two pages */

    if (mprotect((void *)first, length, PROT_READ | PROT_WRITE | PROT_EXEC))
        return 0;
    memcpy(from, jump_indirect, sizeof(jump_indirect));
    memcpy((char *)from + sizeof(jump_indirect), &to, sizeof(to));
    return mprotect((void *)first, length, PROT_READ | PROT_EXEC) == 0;
}

__attribute__((constructor)) static void mend(void)
{
    int only_check = getenv("TELEPOD_IDIV_CHECK") != NULL;
    void *found = dlsym(RTLD_DEFAULT, LONG_IDIV_SYMBOL);
    long_idiv_fn *idiv;
    const char *verdict = "right", *smp = bochs_mend_smp(), *interrupt = bochs_mend_interrupt();

    if (!found)
        return; /* bxhub, or the shell of a wrapper script */
    memcpy(&idiv, &found, sizeof(idiv));
    if (!divides_right(idiv)) {
        verdict = "mended";
        if (!redirect(found, right_long_idiv) || !divides_right(idiv)) {
            fputs("bochs-mend: IDIV r/m64 divides wrong in this Bochs and could not be mended\n", stderr);
            _exit(1);
        }
    }
    if (only_check) {
        printf("idiv: %s\nsmp: %s\nvirtual interrupts: %s\n", verdict, smp, interrupt);
        fflush(stdout);
        _exit(0);
    }
}
