/* memory_is_zero: each single byte counts, nothing outside the range does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/zero.h"

static void zeros_are_zero(void **state)
{
    uint8_t data[4096] = { 0 };

    (void)state;
    for (size_t n = 0; n <= sizeof(data); n += n < 300 ? 1 : 97)
        assert_true(memory_is_zero(data, n));
    assert_true(memory_is_zero(data, sizeof(data)));
}

static void each_byte_counts(void **state)
{
    uint8_t data[4096 + 3] = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = 0x80;
        assert_false(memory_is_zero(data, sizeof(data)));
        assert_true(memory_is_zero(data, i));
        assert_true(memory_is_zero(data + i + 1, sizeof(data) - i - 1));
        data[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(zeros_are_zero), cmocka_unit_test(each_byte_counts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
