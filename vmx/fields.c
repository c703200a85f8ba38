/*
 * One walk over a section's table serves size, save and load, so the three cannot disagree. Elements are
 * packed in the order of the table, little-endian, without padding. Nothing of an object changes unless all
 * of the wire is right.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmx/fields.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are copied as they lie in memory");

size_t section_wire_size(const struct section *section)
{
    size_t total = 0;

    for (uint32_t i = 0; i < section->field_count; i++)
        total += section->fields[i].bytes;
    return total;
}

/*
 * Fields that lie in the object as they do on the wire, one after the other, are copied at once: a guest stands still while
 * its state is saved and loaded, and ten small copies cost ten times one.
 */
struct run {
    size_t offset, bytes;       /* in the object */
};

/* Does the field follow the run? Then the run has grown. */
static inline bool run_extend(struct run *run, const struct field *field)
{
    if (field->offset != run->offset + run->bytes)
        return false;
    run->bytes += field->bytes;
    return true;
}

#define COPY_SMALL 64u          /* bytes up to which a call of memcpy costs more than it does */

static inline void copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (bytes > COPY_SMALL) {
        memcpy(to, from, bytes);
        return;
    }
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8)
        __builtin_memcpy(to, from, 8);
    if (bytes & 4)
        __builtin_memcpy(to, from, 4), to += 4, from += 4;
    if (bytes & 2)
        __builtin_memcpy(to, from, 2), to += 2, from += 2;
    if (bytes & 1)
        *to = *from;
}

size_t section_save(const struct section *section, const void *object, void *wire)
{
    const struct field *field = section->fields, *end = field + section->field_count;
    const uint8_t *from = object;
    uint8_t *to = wire;
    struct run run = { field->offset, 0 };

    for (; field < end; field++) {
        if (run_extend(&run, field))
            continue;
        copy(to, from + run.offset, run.bytes);
        to += run.bytes;
        run = (struct run){ field->offset, field->bytes };
    }
    copy(to, from + run.offset, run.bytes);
    return (size_t)(to + run.bytes - (uint8_t *)wire);
}

/* Only elements of an integer's size have a largest value; anything else is a run of bytes. */
static bool has_maximum(const struct field *field)
{
    return field->maximum != 0 && field->size <= sizeof(uint64_t) && (field->size & (field->size - 1)) == 0;
}

static void say_too_large(const struct section *section, const struct field *field, uint32_t index,
                          uint64_t value, char *why, size_t why_size)
{
    char element[16] = "";

    if (field->count > 1)
        snprintf(element, sizeof(element), "[%" PRIu32 "]", index);
    snprintf(why, why_size, "section %s, field %s%s: 0x%" PRIx64 " is more than 0x%" PRIx64, section->name,
             field->name, element, value, field->maximum);
}

static inline uint64_t element(const uint8_t *wire, size_t size)
{
    union { uint8_t u8; uint16_t u16; uint32_t u32; uint64_t u64; } value = { 0 };

    switch (size) {
    case 1: value.u8 = *wire; break;
    case 2: __builtin_memcpy(&value.u16, wire, 2); break;
    case 4: __builtin_memcpy(&value.u32, wire, 4); break;
    default: __builtin_memcpy(&value.u64, wire, 8); break;
    }
    return value.u64;
}

static bool is_within_maximum(const struct section *section, const struct field *field, uint32_t index, uint64_t value,
                              char *why, size_t why_size)
{
    if (value <= field->maximum || !has_maximum(field))
        return true;
    say_too_large(section, field, index, value, why, why_size);
    return false;
}

/* The first element here, where the loop is short: most fields have one. */
static inline bool check_maximum(const struct section *section, const struct field *field, const uint8_t *wire,
                                 char *why, size_t why_size)
{
    uint64_t value = element(wire, field->size);

    if (value > field->maximum && !is_within_maximum(section, field, 0, value, why, why_size))
        return false;
    for (uint32_t i = 1; i < field->count; i++)
        if (!is_within_maximum(section, field, i, element(wire + i * field->size, field->size), why, why_size))
            return false;
    return true;
}

static enum err wrong_size(const struct section *section, size_t size, char *why, size_t why_size)
{
    snprintf(why, why_size, "section %s has %zu bytes of fields, not %zu", section->name, size,
             section_wire_size(section));
    return ERR_RANGE;
}

static enum err decode(const struct section *section, uint8_t *object, const uint8_t *wire, size_t size, char *why,
                       size_t why_size)
{
    const struct field *field = section->fields, *end = field + section->field_count;
    struct run run = { field->offset, 0 };
    const uint8_t *at = wire;   /* wire: where the run begins */
    size_t left = size;

    for (; field < end; at += field->bytes, field++) {
        if (field->bytes > left)
            return wrong_size(section, size, why, why_size);
        left -= field->bytes;
        if (field->maximum != 0 && !check_maximum(section, field, at, why, why_size))
            return ERR_INVALID;
        if (run_extend(&run, field))
            continue;
        copy(object + run.offset, wire, run.bytes);
        wire = at;
        run = (struct run){ field->offset, field->bytes };
    }
    copy(object + run.offset, wire, run.bytes);
    return left == 0 ? OK : wrong_size(section, size, why, why_size);
}

enum err section_decode(const struct section *section, void *scratch, const void *wire, size_t size, char *why,
                        size_t why_size)
{
    enum err e = decode(section, scratch, wire, size, why, why_size);
    if (e == OK && section->check != NULL)
        e = section->check(scratch, why, why_size);
    return e;
}

enum err section_load(const struct section *section, void *object, const void *wire, size_t size, char *why,
                      size_t why_size)
{
    /*
     * A copy takes the values first: members that are in no table keep theirs, and a failed check leaves no
     * trace.
     */
    uint8_t *scratch = malloc(section->struct_size);
    if (scratch == NULL) {
        snprintf(why, why_size, "section %s: no memory to decode it", section->name);
        return ERR_NO_MEMORY;
    }
    memcpy(scratch, object, section->struct_size);
    enum err e = section_decode(section, scratch, wire, size, why, why_size);
    if (e == OK)
        memcpy(object, scratch, section->struct_size);
    free(scratch);
    return e;
}
