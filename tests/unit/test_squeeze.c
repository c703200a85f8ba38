/* Without their zeros and back: every pattern of zero words and lengths, and nothing that breaks the form gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "vmx/squeeze.h"

#define WORDS 600

static void round_trip(const uint64_t *words, size_t count)
{
    uint8_t *bytes = malloc(SQUEEZE_BYTES_MAX(count) + 1);
    uint64_t *back = malloc(count * sizeof *back + 1);
    bytes[SQUEEZE_BYTES_MAX(count)] = 0xee;
    memset(back, 0xee, count * sizeof *back);
    size_t size = squeeze(words, count, bytes);
    assert_true(size <= SQUEEZE_BYTES_MAX(count));
    assert_int_equal(bytes[SQUEEZE_BYTES_MAX(count)], 0xee);
    uint8_t *exact = malloc(size ? size : 1);           /* for ASan: not a byte more is read */
    memcpy(exact, bytes, size);
    assert_true(unsqueeze(exact, size, back, count));
    assert_memory_equal(back, words, count * sizeof *back);
    free(exact);
    free(back);
    free(bytes);
}

static void the_form(void **state)
{
    static const uint64_t words[] = { 0, 0, 0x1234, 0xffffffff81000000, 0, 7, 0 };
    static const uint8_t bytes[] = { 0x22, 0x34, 0x12, 0x08, 0, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff, 0x11, 7 };
    uint8_t out[SQUEEZE_BYTES_MAX(7)];
    (void)state;
    assert_int_equal(squeeze(words, 7, out), sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
    uint64_t far[WORDS] = { [40] = 1 };
    assert_int_equal(squeeze(far, WORDS, out), 3);       /* 32 zero words, then 8 more and a byte */
    assert_memory_equal(out, "\x10\x81\x01", 3);
}

static void runs_of_zeros(void **state)
{
    static uint64_t words[WORDS];
    (void)state;
    for (size_t at = 0; at < WORDS; at++) {
        memset(words, 0, sizeof words);
        words[at] = at + 1;
        round_trip(words, WORDS);
        round_trip(words, at + 1);
        if (at)
            round_trip(words, at);                       /* all zero */
    }
}

static void lengths(void **state)
{
    uint64_t words[9];
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned i = 0; i < 9; i++)
            words[i] = i % 3 ? 1ULL << bit | i : 0;
        round_trip(words, 9);
    }
    memset(words, 0xff, sizeof words);
    round_trip(words, 9);
}

static void anything(void **state)
{
    static uint64_t words[WORDS];
    (void)state;
    srand(1);
    for (unsigned round = 0; round < 2000; round++) {
        unsigned density = 1 + (unsigned)rand() % 8;
        for (size_t i = 0; i < WORDS; i++)
            words[i] = (unsigned)rand() % 8 < density ? ((uint64_t)rand() << 33 ^ (uint64_t)rand()) >> rand() % 64 : 0;
        round_trip(words, 1 + (size_t)rand() % WORDS);
    }
}

/* Longer than a word, cut off, beyond the last word: refused, and nothing outside words[] is touched. */
static void refused(void **state)
{
    static const struct { const char *bytes; size_t size; } bad[] = {
        { "\x09" "123456789", 10 }, { "\x0f" "123456789012345", 16 }, { "\x08" "1234567", 8 }, { "\x01", 1 },
        { "\x41\x01", 2 }, { "\x01\x01\x31\x01", 4 }, { "\x00", 1 }, { "\xf0", 1 }, { "\x31\x01\x00", 3 },
    };
    uint64_t *words = malloc(4 * sizeof *words);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *bytes = malloc(bad[i].size);
        memcpy(bytes, bad[i].bytes, bad[i].size);
        assert_false(unsqueeze(bytes, bad[i].size, words, 4));
        free(bytes);
    }
    assert_true(unsqueeze((const uint8_t *)"\x31\x01", 2, words, 4));
    assert_int_equal(words[3], 1);
    free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form),
        cmocka_unit_test(runs_of_zeros),
        cmocka_unit_test(lengths),
        cmocka_unit_test(anything),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
