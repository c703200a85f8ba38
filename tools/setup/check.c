/*
 * check.c: a freestanding program, built with the kernel's flags against the kernel's libraries and nothing
 * else, that runs on the host. Guarantees that they link without the host's libc, and that what the kernel
 * relies on works: 64-bit integers and lengths in snprintf, strtoull's limits, malloc's accounting and its
 * refusal when memory runs out, qsort, inih. Status 0, or the number of wrong answers, each with a line.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <reent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ini.h"

#define LINUX_SYS_WRITE 1
#define LINUX_SYS_EXIT 60
#define HEAP_BYTES (1u << 20)
#define FIRST_PRINTABLE 0x20

static unsigned failures;

static long linux_syscall(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static void expect(int right, const char *what)
{
    if (right)
        return;
    failures++;
    linux_syscall(LINUX_SYS_WRITE, 2, (long)what, (long)strlen(what));
    linux_syscall(LINUX_SYS_WRITE, 2, (long)" is wrong\n", (long)sizeof(" is wrong\n") - 1);
}

/* The hooks that newlib's allocator wants. */
static char heap[HEAP_BYTES] __attribute__((aligned(4096)));
static size_t heap_used;
static int heap_locked;

void *_sbrk_r(struct _reent *reent, ptrdiff_t increment)
{
    void *old = heap + heap_used;

    if (increment < 0 || (size_t)increment > sizeof(heap) - heap_used) {
        reent->_errno = ENOMEM;
        return (void *)-1;
    }
    heap_used += (size_t)increment;
    return old;
}

void __malloc_lock(struct _reent *reent)
{
    (void)reent;
    heap_locked++;
}

void __malloc_unlock(struct _reent *reent)
{
    (void)reent;
    heap_locked--;
}

__attribute__((format(printf, 2, 3)))
static void expect_text(const char *wanted, const char *format, ...)
{
    char text[128];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    expect(length == (int)strlen(wanted) && strcmp(text, wanted) == 0, wanted);
}

static void check_snprintf(void)
{
    char small[4];

    expect_text("18446744073709551615", "%llu", ULLONG_MAX);
    expect_text("-9223372036854775808", "%lld", LLONG_MIN);
    expect_text("18446744073709551615", "%lu", ULONG_MAX);
    expect_text("18446744073709551615", "%zu", (size_t)-1);
    expect_text("1000000000000", "%" PRIu64, UINT64_C(1000000000000));
    expect_text("ffffffff80000000", "%" PRIx64, UINT64_C(0xffffffff80000000));
    expect_text("0xdeadbeefcafe", "%p", (void *)0xdeadbeefcafe);
    expect_text("0000beef|BEEF|0xbeef", "%08x|%X|%#x", 0xbeefu, 0xbeefu, 0xbeefu);
    expect_text("ab        |        ab|abc", "%-10s|%10s|%.*s", "ab", "ab", 3, "abcdef");
    expect_text("x -7 +7 007 %  42", "%c %d %+d %03d %% %*d", 'x', -7, 7, 7, 3, 42);
    expect_text("255 -1", "%hhu %hd", (unsigned char)255, (short)-1);
    expect(snprintf(small, sizeof(small), "%s", "longer") == 6 && strcmp(small, "lon") == 0,
           "snprintf's cut");
}

static void check_strto(void)
{
    char *end;

    expect(strtoull("0xffffffffffffffff", &end, 0) == ULLONG_MAX && *end == '\0', "strtoull of 2^64-1");
    errno = 0;
    expect(strtoull("18446744073709551616", NULL, 10) == ULLONG_MAX && errno == ERANGE, "strtoull's range");
    expect(strtol("-12z", &end, 10) == -12 && *end == 'z', "strtol");
    expect(strtoul("777", NULL, 8) == 511 && atoi("42") == 42, "strtoul");
    expect(isspace('\t') && !isdigit('a') && toupper('q') == 'Q', "ctype");
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void check_memory(void)
{
    enum { COUNT = 200 };
    char *blocks[COUNT];
    size_t before;
    int numbers[] = {5, 3, 9, 1};

    free(malloc(1));
    before = _mallinfo_r(_REENT).uordblks;
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = malloc(i * 7 + 1);
        expect(blocks[i] != NULL, "malloc");
        memset(blocks[i], (int)i, i * 7 + 1);
    }
    for (unsigned i = 0; i < COUNT; i++)
        expect(blocks[i][0] == (char)i && blocks[i][i * 7] == (char)i, "a block's content");
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[(i * 37) % COUNT]);
    expect(_mallinfo_r(_REENT).uordblks == before, "malloc's account after free");
    errno = 0;
    expect(malloc(2 * (size_t)HEAP_BYTES) == NULL && errno == ENOMEM, "malloc's refusal");
    char *zeroed = calloc(100, 10);
    expect(zeroed && zeroed[999] == 0, "calloc");
    free(realloc(zeroed, 5000));
    expect(_mallinfo_r(_REENT).uordblks == before && heap_locked == 0, "malloc's account or lock");
    qsort(numbers, 4, sizeof(numbers[0]), compare_ints);
    expect(numbers[0] == 1 && numbers[1] == 3 && numbers[2] == 5 && numbers[3] == 9, "qsort");
    memmove(numbers + 1, numbers, 3 * sizeof(numbers[0]));
    expect(numbers[1] == 1 && numbers[3] == 5, "memmove");
}

static int note_pair(void *user, const char *section, const char *name, const char *value)
{
    if (strcmp(section, "pod") == 0 && strcmp(name, "name") == 0 && strcmp(value, "a b") == 0)
        ++*(int *)user;
    return name[0] != '?';
}

static void check_inih(void)
{
    int pairs = 0;
    char long_line[2 * INI_MAX_LINE];

    expect(ini_parse_string("; x\n[pod]\nname = a b ; c\n", note_pair, &pairs) == 0 && pairs == 1, "inih");
    expect(ini_parse_string("[pod]\nnonsense\nname=a b\n", note_pair, &pairs) == 2 && pairs == 2,
           "inih's error");
    for (size_t i = 0; i + 1 < sizeof(long_line); i++)
        long_line[i] = (char)(FIRST_PRINTABLE + 1 + i % 10);
    long_line[sizeof(long_line) - 1] = '\0';
    expect(ini_parse_string(long_line, note_pair, &pairs) == 1, "inih's line limit");
}

__attribute__((force_align_arg_pointer)) void _start(void);
void _start(void)
{
    check_snprintf();
    check_strto();
    check_memory();
    check_inih();
    linux_syscall(LINUX_SYS_EXIT, (long)failures, 0, 0);
    __builtin_unreachable();
}
