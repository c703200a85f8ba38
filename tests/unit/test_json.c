/* The JSON writer: what it writes is JSON on one line, or it says that something is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/json.h"

static void test_shapes(void **state)
{
    char buffer[512];
    struct json j;

    (void)state;
    json_init(&j, buffer, sizeof(buffer));
    json_object_begin(&j, NULL);
    json_bool(&j, "ok", true);
    json_u64(&j, "most", UINT64_MAX);
    json_i64(&j, "least", INT64_MIN);
    json_hex(&j, "epoch", 0xfeedfacecafebeefUL);
    json_array_begin(&j, "empty");
    json_array_end(&j);
    json_array_begin(&j, "list");
    json_u64(&j, NULL, 1);
    json_object_begin(&j, NULL);
    json_object_end(&j);
    json_string(&j, NULL, "two");
    json_array_end(&j);
    json_bool(&j, "last", false);
    json_object_end(&j);
    assert_false(j.overflow);
    assert_int_equal(j.used, strlen(buffer));
    assert_string_equal(buffer, "{\"ok\":true,\"most\":18446744073709551615,\"least\":-9223372036854775808,"
                                "\"epoch\":\"0xfeedfacecafebeef\",\"empty\":[],\"list\":[1,{},\"two\"],\"last\":false}");
}

/* Whatever bytes a guest prints, the line stays one line of printable ASCII. */
static void test_any_byte(void **state)
{
    char bytes[256], buffer[4096];
    struct json j;

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    json_init(&j, buffer, sizeof(buffer));
    json_bytes(&j, NULL, bytes, sizeof(bytes));
    assert_false(j.overflow);
    for (size_t i = 0; i < j.used; i++)
        assert_in_range(buffer[i], ' ', '~');
    assert_non_null(strstr(buffer, "\\u0000\\u0001"));
    assert_non_null(strstr(buffer, "\\u0009\\n\\u000b"));
    assert_non_null(strstr(buffer, " !\\\"#"));
    assert_non_null(strstr(buffer, "[\\\\]"));
    assert_non_null(strstr(buffer, "~\\u007f\\u0080"));
    assert_non_null(strstr(buffer, "\\u00ff\""));
}

/* With any size of buffer: it never writes outside, always terminates, and tells that something is missing. */
static void test_every_size(void **state)
{
    (void)state;
    for (size_t size = 1; size < 64; size++) {
        char *buffer = malloc(size);
        struct json j;

        assert_non_null(buffer);
        json_init(&j, buffer, size);
        json_object_begin(&j, NULL);
        json_string(&j, "text", "quote \" and \x01");
        json_u64(&j, "number", 12345);
        json_object_end(&j);
        assert_true(j.used < size);
        assert_int_equal(strlen(buffer), j.used);
        assert_int_equal(j.overflow, size <= strlen("{\"text\":\"quote \\\" and \\u0001\",\"number\":12345}"));
        free(buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_any_byte),
        cmocka_unit_test(test_every_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
