/* net/port/checksum.c against the definition in RFC 1071, and against its own worked example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "net/port/checksum.h"

/* RFC 1071, 4.1: 16 bits at a time, in memory order. */
static uint16_t by_definition(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i += 2)
        sum += (uint32_t)(data[i] | (i + 1 < size ? data[i + 1] << 8 : 0));
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void rfc_example(void **state)
{
    /* RFC 1071, 3: the sum is ddf2 in the order of the wire. */
    static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

    (void)state;
    assert_int_equal(checksum_sum(data, sizeof(data)), 0xf2dd);
}

static void every_size_and_alignment(void **state)
{
    static uint8_t memory[1600];

    (void)state;
    srandom(1);
    for (size_t i = 0; i < sizeof(memory); i++)
        memory[i] = (uint8_t)random();
    for (size_t size = 0; size < 600; size++)
        for (size_t offset = 0; offset < 9; offset++)
            assert_int_equal(checksum_sum(memory + offset, size), by_definition(memory + offset, size));
    assert_int_equal(checksum_sum(memory, 1514), by_definition(memory, 1514));
}

static void carries_are_kept(void **state)
{
    static uint8_t memory[1500];

    (void)state;
    memset(memory, 0xff, sizeof(memory));
    for (size_t size = 0; size <= sizeof(memory); size++)
        assert_int_equal(checksum_sum(memory, size), by_definition(memory, size));
}

static void lwip_signature(void **state)
{
    static const uint8_t data[] = { 1, 2, 3 };

    (void)state;
    assert_int_equal(checksum_lwip(data, 3), 0x0204);
    assert_int_equal(checksum_lwip(data, 0), 0);
    assert_int_equal(checksum_lwip(data, -1), 0);
}

static void pseudo_header(void **state)
{
    /* RFC 9293, 3.1: source, destination, zero and protocol, TCP length. */
    static const uint8_t header[] = { 10, 0, 2, 15, 192, 168, 255, 254, 0, 6, 0x05, 0xc8 };
    uint32_t source, destination;

    (void)state;
    memcpy(&source, header, 4);
    memcpy(&destination, header + 4, 4);
    assert_int_equal(checksum_pseudo_header(source, destination, 6, 0x05c8),
                     by_definition(header, sizeof(header)));
    assert_int_equal(checksum_pseudo_header(UINT32_MAX, UINT32_MAX, 6, 0xffff),
                     by_definition((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\0\6\xff\xff", 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_example),
        cmocka_unit_test(every_size_and_alignment),
        cmocka_unit_test(carries_are_kept),
        cmocka_unit_test(lwip_signature),
        cmocka_unit_test(pseudo_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
