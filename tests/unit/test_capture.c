/* tools/lab/cable/capture.c: the file's blocks, read back: their lengths, padding, time stamps, names and comments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "tools/lab/cable/capture.h"

enum { SNAP = 64, SECTION = 0x0A0D0D0A, INTERFACE = 1, PACKET = 6, COMMENT = 1, NAME = 2, RESOLUTION = 9 };

static uint8_t file[1 << 16];
static size_t size, at;
static char path[] = "build/test_capture.XXXXXX";

static uint32_t word(size_t where)
{
    uint32_t value;

    assert_true(where + sizeof(value) <= size);
    memcpy(&value, file + where, sizeof(value));
    return value;
}

/* The next block of this type: returns where its body begins, and its end in `end`. */
static size_t block(uint32_t type, size_t *end)
{
    uint32_t length = word(at + 4);
    size_t body = at + 8;

    assert_int_equal(word(at), type);
    assert_int_equal(length % 4, 0);
    assert_true(length >= 12 && at + length <= size);
    assert_int_equal(word(at + length - 4), length);
    *end = at + length - 4;
    at += length;
    return body;
}

/* The option of a list, and its padding; the next one's place is returned. */
static size_t option(size_t where, uint16_t code, const void *value, uint16_t length)
{
    assert_int_equal(word(where), code | (uint32_t)length << 16);
    assert_memory_equal(file + where + 4, value, length);
    for (where += 4 + length; where % 4; where++)
        assert_int_equal(file[where], 0);
    return where;
}

static void ends(size_t where, size_t end)
{
    assert_int_equal(word(where), 0);
    assert_int_equal(where + 4, end);
}

static void packet(uint32_t interface, uint64_t when, const uint8_t *bytes, uint32_t length, const char *comment)
{
    uint32_t kept = length < SNAP ? length : SNAP;
    size_t end, body = block(PACKET, &end);

    assert_int_equal(word(body), interface);
    assert_int_equal((uint64_t)word(body + 4) << 32 | word(body + 8), when);
    assert_int_equal(word(body + 12), kept);
    assert_int_equal(word(body + 16), length);
    assert_memory_equal(file + body + 20, bytes, kept);
    for (body += 20 + kept; body % 4; body++)
        assert_int_equal(file[body], 0);
    if (comment[0])
        ends(option(body, COMMENT, comment, (uint16_t)strlen(comment)), end);
    else
        assert_int_equal(body, end);
}

static void what_is_written_is_read_back(void **state)
{
    static const char *const names[] = {"a", "pod", "wire 10", "lan0"}, *const comments[] = {"", "lost", "fault: cut", "a", "abc"};
    const uint8_t resolution = 9;
    struct capture *capture;
    uint8_t bytes[200];
    char longest[1000];
    size_t end, body;
    FILE *f;

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i + 1);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    capture = capture_open(path, SNAP);
    assert_non_null(capture);
    for (unsigned i = 0; i < 4; i++)
        capture_interface(capture, names[i]);
    for (uint32_t i = 0; i < 100; i++)
        capture_frame(capture, i % 4, i * 0x123456789ULL, bytes, i, comments[i % 5]);
    capture_frame(capture, 0, UINT64_MAX, bytes, 10, longest);
    assert_true(capture_flush(capture));
    capture_close(capture);

    f = fopen(path, "rb");
    assert_non_null(f);
    size = fread(file, 1, sizeof(file), f);
    fclose(f);
    assert_true(size < sizeof(file));
    body = block(SECTION, &end);
    assert_int_equal(word(body), 0x1A2B3C4D);
    assert_int_equal(word(body + 4), 1);        /* version 1.0 */
    assert_int_equal(word(body + 8), UINT32_MAX);
    assert_int_equal(word(body + 12), UINT32_MAX);
    assert_int_equal(body + 16, end);
    for (unsigned i = 0; i < 4; i++) {
        body = block(INTERFACE, &end);
        assert_int_equal(word(body), 1);        /* Ethernet */
        assert_int_equal(word(body + 4), SNAP);
        body = option(body + 8, NAME, names[i], (uint16_t)strlen(names[i]));
        ends(option(body, RESOLUTION, &resolution, 1), end);
    }
    for (uint32_t i = 0; i < 100; i++)
        packet(i % 4, i * 0x123456789ULL, bytes, i, comments[i % 5]);
    packet(0, UINT64_MAX, bytes, 10, "");       /* a comment that does not fit is left out */
    assert_int_equal(at, size);
}

static void no_file_is_told(void **state)
{
    (void)state;
    assert_null(capture_open("build/is/not/there/x.pcapng", SNAP));
}

static void a_full_disk_is_told(void **state)
{
    struct capture *capture = capture_open("/dev/full", SNAP);

    (void)state;
    assert_non_null(capture);
    capture_interface(capture, "a");
    assert_false(capture_flush(capture));
    capture_close(capture);
}

static int setup(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back), cmocka_unit_test(no_file_is_told), cmocka_unit_test(a_full_disk_is_told),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
