/* Save and load from one table: what goes out comes back; what breaks a rule changes nothing and is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/fields.h"

struct thing {
    uint64_t wide;
    const char *hidden;      /* in no table: keeps its value */
    uint8_t byte;
    uint16_t words[3];
    uint8_t area[13];
    uint32_t odd;
};

static enum err odd_only(const void *decoded, char *why, size_t why_size)
{
    const struct thing *thing = decoded;

    if (thing->odd % 2 == 1)
        return OK;
    snprintf(why, why_size, "odd is even");
    return ERR_STATE;
}

static const struct field thing_fields[] = {
    FIELD(struct thing, wide, 0),
    FIELD(struct thing, byte, 7),
    FIELD_ARRAY(struct thing, words, 0x1000),
    FIELD(struct thing, area, 1), /* 13 bytes are no integer: the maximum has no meaning */
    FIELD(struct thing, odd, 0xffff),
};
static const struct section thing_section = {
    "thing", 1, thing_fields, ARRAY_SIZE(thing_fields), sizeof(struct thing), odd_only,
};

#define WIRE_BYTES (8 + 1 + 3 * 2 + 13 + 4)
#define WIRE_BYTE 8
#define WIRE_WORDS 9
#define WIRE_ODD (WIRE_BYTES - 4)

static const struct thing good = {
    .wide = 0x1122334455667788,
    .hidden = "source",
    .byte = 7,
    .words = { 1, 0x1000, 3 },
    .area = "abcdefghijkl",
    .odd = 9,
};
static char why[160];

static void test_size(void **state)
{
    (void)state;
    assert_int_equal(section_wire_size(&thing_section), WIRE_BYTES);
}

/* Packed, little-endian, in the order of the table. */
static void test_wire_layout(void **state)
{
    uint8_t wire[WIRE_BYTES + 1];

    (void)state;
    memset(wire, 0xee, sizeof(wire));
    section_save(&thing_section, &good, wire);
    assert_memory_equal(wire,
                        "\x88\x77\x66\x55\x44\x33\x22\x11\x07\x01\x00\x00\x10\x03\x00"
                        "abcdefghijkl\0"
                        "\x09\0\0\0",
                        WIRE_BYTES);
    assert_int_equal(wire[WIRE_BYTES], 0xee);
}

static void test_round_trip(void **state)
{
    uint8_t wire[WIRE_BYTES], again[WIRE_BYTES];
    struct thing loaded = { .hidden = "target" };

    (void)state;
    section_save(&thing_section, &good, wire);
    assert_int_equal(section_load(&thing_section, &loaded, wire, sizeof(wire), why, sizeof(why)), OK);
    assert_string_equal(loaded.hidden, "target");
    assert_int_equal(loaded.wide, good.wide);
    assert_int_equal(loaded.odd, 9);
    section_save(&thing_section, &loaded, again);
    assert_memory_equal(wire, again, sizeof(wire));
}

static void expect_refusal(const uint8_t *wire, size_t size, enum err expected, const char *word)
{
    struct thing before, object;

    memset(&object, 0x5a, sizeof(object));
    before = object;
    why[0] = '\0';
    assert_int_equal(section_load(&thing_section, &object, wire, size, why, sizeof(why)), expected);
    assert_memory_equal(&object, &before, sizeof(object)); /* all of it or nothing */
    assert_non_null(strstr(why, word));
}

static void test_wrong_size(void **state)
{
    uint8_t wire[WIRE_BYTES + 1] = { 0 };

    (void)state;
    section_save(&thing_section, &good, wire);
    for (size_t size = 0; size < WIRE_BYTES; size++)
        expect_refusal(wire, size, ERR_RANGE, "thing");
    expect_refusal(wire, WIRE_BYTES + 1, ERR_RANGE, "thing");
}

static void test_maximum(void **state)
{
    uint8_t wire[WIRE_BYTES];

    (void)state;
    section_save(&thing_section, &good, wire);
    wire[WIRE_BYTE] = 8;
    expect_refusal(wire, sizeof(wire), ERR_INVALID, "byte");
    section_save(&thing_section, &good, wire);
    for (unsigned i = 0; i < 3; i++) {
        section_save(&thing_section, &good, wire);
        wire[WIRE_WORDS + 2 * i] = 0x01;
        wire[WIRE_WORDS + 2 * i + 1] = 0x10;
        expect_refusal(wire, sizeof(wire), ERR_INVALID, "words");
    }
    section_save(&thing_section, &good, wire);
    wire[WIRE_ODD + 2] = 1;
    expect_refusal(wire, sizeof(wire), ERR_INVALID, "odd");
}

/* Even a failure of the last check, after all fields were decoded, leaves the object alone. */
static void test_check(void **state)
{
    uint8_t wire[WIRE_BYTES];

    (void)state;
    section_save(&thing_section, &good, wire);
    wire[WIRE_ODD] = 8;
    expect_refusal(wire, sizeof(wire), ERR_STATE, "odd is even");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_wire_layout),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_wrong_size),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
