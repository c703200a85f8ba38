/* CRC32C: the vectors of RFC 3720, B.4, pieces against the whole, and the fused copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/crc32c.h"

static void known_vectors(void **state)
{
    uint8_t data[32];

    (void)state;
    assert_int_equal(crc32c_update(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_update(0, "", 0), 0);
    memset(data, 0, sizeof(data));
    assert_int_equal(crc32c_update(0, data, sizeof(data)), 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    assert_int_equal(crc32c_update(0, data, sizeof(data)), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    assert_int_equal(crc32c_update(0, data, sizeof(data)), 0x46dd794e);
}

/* Bit by bit, as the definition has it. */
static uint32_t slow_crc(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;

    for (; n; n--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void every_length_and_alignment(void **state)
{
    uint8_t *data = malloc(700);

    (void)state;
    for (unsigned i = 0; i < 700; i++)
        data[i] = (uint8_t)(i * 37 + i / 7);
    for (size_t n = 0; n <= 600; n += n < 300 ? 1 : 13)
        for (size_t at = 0; at < 9; at++)
            assert_int_equal(crc32c_update(0, data + at, n), slow_crc(data + at, n));
    free(data);
}

static void pieces_equal_the_whole(void **state)
{
    uint8_t data[333];

    (void)state;
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i ^ i >> 3);
    for (size_t cut = 0; cut <= sizeof(data); cut++)
        assert_int_equal(crc32c_update(crc32c_update(0, data, cut), data + cut, sizeof(data) - cut),
                         crc32c_update(0, data, sizeof(data)));
}

static void copy_copies_and_sums(void **state)
{
    uint8_t from[4096 + 5], to[4096 + 5];

    (void)state;
    for (unsigned i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * i + 1);
    memset(to, 0, sizeof(to));
    assert_int_equal(crc32c_copy(7, to, from, sizeof(from)), crc32c_update(7, from, sizeof(from)));
    assert_memory_equal(to, from, sizeof(from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(every_length_and_alignment),
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(copy_copies_and_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
