/*
 * The guests' pure parts, on the host: formatting, the command line, the dirtier's patterns against a plain
 * simulation, and its truth against pages that are written step by step. Linked with $(GUEST_PURE) of
 * guests/build.mk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "guests/dirtier/pattern.h"
#include "guests/dirtier/truth.h"
#include "guests/lib/cmdline.h"
#include "guests/lib/format.h"

/* Formatting ----------------------------------------------------------------------------------- */

static char output[256];
static size_t output_length;

static void put(char c)
{
    if (output_length < sizeof(output) - 1)
        output[output_length++] = c;
}

static const char *formatted(const char *text, ...)
{
    va_list arguments;

    output_length = 0;
    va_start(arguments, text);
    format(put, text, arguments);
    va_end(arguments);
    output[output_length] = 0;
    return output;
}

static void test_format(void **state)
{
    (void)state;
    assert_string_equal(formatted("plain"), "plain");
    assert_string_equal(formatted("%s %c%%", "a string", 'x'), "a string x%");
    assert_string_equal(formatted("%u %lu", 0u, UINT64_MAX), "0 18446744073709551615");
    assert_string_equal(formatted("%x %lx", 0xbeefu, UINT64_MAX), "beef ffffffffffffffff");
    assert_string_equal(formatted("%d %d %ld", -1, 12, INT64_MIN), "-1 12 -9223372036854775808");
    assert_string_equal(formatted("%4u|%04x|%2u", 7u, 0xabu, 12345u), "   7|00ab|12345");
    assert_string_equal(formatted("%q%"), "q");
}

/* The command line ----------------------------------------------------------------------------- */

static void test_cmdline_number(void **state)
{
    uint64_t value = 42;

    (void)state;
    assert_true(cmdline_number("", "hz", &value) && value == 42);
    assert_true(cmdline_number("hz", "hz", &value) && value == 42);
    assert_true(cmdline_number("xhz=1 hzx=2", "hz", &value) && value == 42);
    assert_true(cmdline_number("a=1  hz=100 b=2", "hz", &value) && value == 100);
    assert_true(cmdline_number("hz=0x1F", "hz", &value) && value == 31);
    assert_true(cmdline_number("hz=1 hz=2", "hz", &value) && value == 2);
    assert_true(cmdline_number("hz=18446744073709551615", "hz", &value) && value == UINT64_MAX);
    value = 42;
    assert_false(cmdline_number("hz=", "hz", &value));
    assert_false(cmdline_number("hz= 1", "hz", &value));
    assert_false(cmdline_number("hz=12x", "hz", &value));
    assert_false(cmdline_number("hz=0x", "hz", &value));
    assert_false(cmdline_number("hz=-1", "hz", &value));
    assert_false(cmdline_number("hz=18446744073709551616", "hz", &value));
    assert_int_equal(value, 42);
}

static void test_cmdline_choice(void **state)
{
    static const char *const words[] = { "line", "lines", "burn" };
    unsigned index = 2;

    (void)state;
    assert_true(cmdline_choice("", "mode", words, 3, &index) && index == 2);
    assert_true(cmdline_choice("mode=line x=1", "mode", words, 3, &index) && index == 0);
    assert_true(cmdline_choice("mode=lines", "mode", words, 3, &index) && index == 1);
    assert_false(cmdline_choice("mode=", "mode", words, 3, &index));
    assert_false(cmdline_choice("mode=lin", "mode", words, 3, &index));
    assert_false(cmdline_choice("mode=linesx", "mode", words, 3, &index));
    assert_int_equal(index, 1);
}

/* Patterns ------------------------------------------------------------------------------------- */

#define PAGES_MAX 256

/* Counts hits the plain way, and compares all of them after every write. */
static void check_pattern(enum pattern_kind kind, uint64_t pages, uint64_t writes)
{
    struct pattern pattern = { kind, pages };
    uint64_t counts[PAGES_MAX] = { 0 };

    assert_true(pattern_valid(&pattern));
    for (uint64_t n = 0; n < writes; n++) {
        uint64_t page = pattern_page(&pattern, n);
        assert_true(page < pages);
        for (uint64_t p = 0; p < pages; p++)
            if (pattern_count(&pattern, n, p) != counts[p])
                fail_msg("pattern %d of %lu pages, write %lu, page %lu", kind, pages, n, p);
        counts[page]++;
    }
}

static void test_patterns(void **state)
{
    (void)state;
    for (uint64_t pages = 1; pages <= PAGES_MAX; pages = pages * 2 + (pages == 8)) {
        check_pattern(PATTERN_FLAT, pages, 5 * pages + 3);
        check_pattern(PATTERN_SWEEP, pages, 5 * pages + 3);
        if (pages >= 8)
            check_pattern(PATTERN_HOT, pages, 9 * pages + 3);
    }
    for (uint64_t pages = 1; pages <= PAGES_MAX; pages *= 2)
        check_pattern(PATTERN_RANDOM, pages, 5 * pages + 3);
}

static void test_pattern_random_differs_by_round(void **state)
{
    struct pattern pattern = { PATTERN_RANDOM, 64 };
    unsigned same = 0, in_order = 0;

    (void)state;
    for (uint64_t n = 0; n < 64; n++) {
        same += pattern_page(&pattern, n) == pattern_page(&pattern, 64 + n);
        in_order += pattern_page(&pattern, n) + 1 == pattern_page(&pattern, n + 1);
    }
    assert_true(same < 16);
    assert_true(in_order < 16);
}

static void test_pattern_valid(void **state)
{
    static const struct pattern bad[] = {
        { PATTERN_FLAT, 0 }, { PATTERN_SWEEP, 0 }, { PATTERN_RANDOM, 0 }, { PATTERN_RANDOM, 24 }, { PATTERN_HOT, 7 },
        { PATTERN_KINDS, 8 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pattern_valid(&bad[i]));
}

/* The truth ------------------------------------------------------------------------------------ */

#define ROUNDS 300
static const struct truth truth = { .content_first = 256, .content_pages = 4 };

/* A page is laid and written round after round: both checks and truth_word agree with it, and with no other round. */
static void check_rounds(uint64_t page)
{
    uint64_t words[TRUTH_WORDS] = { 0 }, before[TRUTH_WORDS];

    truth_lay_ground(&truth, words, page);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(truth_check(&truth, words, page, round), TRUTH_WORDS);
        assert_int_equal(truth_check_edge(&truth, words, page, round), TRUTH_WORDS);
        assert_int_not_equal(truth_check(&truth, words, page, round + 1), TRUTH_WORDS);
        assert_int_not_equal(truth_check_edge(&truth, words, page, round + 1), TRUTH_WORDS);
        assert_int_not_equal(truth_check(&truth, words, page + 1, round + 1), TRUTH_WORDS);
        for (unsigned i = 0; i < TRUTH_WORDS; i++)
            assert_true(words[i] == truth_word(&truth, page, round, i));
        memcpy(before, words, sizeof(words));
        truth_write(&truth, words, page, round);
        assert_memory_not_equal(before, words, sizeof(words));
    }
}

static void test_truth_rounds(void **state)
{
    (void)state;
    check_rounds(256);      /* random ground */
    check_rounds(259);
    check_rounds(260);      /* zeros */
    check_rounds(100000);
}

static void test_truth_finds_every_wrong_bit(void **state)
{
    uint64_t words[TRUTH_WORDS] = { 0 };

    (void)state;
    truth_lay_ground(&truth, words, 257);
    truth_write(&truth, words, 257, 0);
    for (unsigned i = 0; i < TRUTH_WORDS; i++) {
        words[i] ^= 1UL << i % 64;
        assert_int_equal(truth_check(&truth, words, 257, 1), i);
        words[i] ^= 1UL << i % 64;
    }
}

static void test_truth_finds_torn_pages(void **state)
{
    uint64_t old[TRUTH_WORDS] = { 0 }, new[TRUTH_WORDS], torn[TRUTH_WORDS];

    (void)state;
    truth_lay_ground(&truth, old, 258);
    truth_write(&truth, old, 258, 0);
    memcpy(new, old, sizeof(old));
    truth_write(&truth, new, 258, 1);
    for (unsigned cut = 1; cut < TRUTH_WORDS; cut++) {
        memcpy(torn, new, sizeof(torn));
        memcpy(torn + cut, old + cut, sizeof(torn) - cut * sizeof(torn[0]));
        bool whole = memcmp(torn, new, sizeof(new)) == 0;
        assert_int_equal(truth_check(&truth, torn, 258, 2) == TRUTH_WORDS, whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_cmdline_number),
        cmocka_unit_test(test_cmdline_choice),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_pattern_random_differs_by_round),
        cmocka_unit_test(test_pattern_valid),
        cmocka_unit_test(test_truth_rounds),
        cmocka_unit_test(test_truth_finds_every_wrong_bit),
        cmocka_unit_test(test_truth_finds_torn_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
