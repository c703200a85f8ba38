/*
 * State described once. A table of fields (name, offset, size, check) serves save, load, size and the dissector, so that
 * they cannot disagree. Virtual devices and the vCPU's groups publish such tables and know nothing of the wire. Pure.
 */
#ifndef TELEPOD_FIELDS_H
#define TELEPOD_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

struct field {
    const char *name;         /* as the manual spells it */
    uint16_t offset;          /* in the structure */
    uint16_t size;            /* bytes, of one element */
    uint16_t count;           /* elements; 1 for a scalar */
    uint16_t bytes;           /* of all elements */
    uint64_t maximum;         /* largest value that load accepts in an element of 1, 2, 4 or 8 bytes; 0: any */
};

#define FIELD(type, member, max) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, sizeof(((type *)0)->member), (max) }
#define FIELD_ARRAY(type, member, max) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member[0]), \
      sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), sizeof(((type *)0)->member), (max) }

/* One section of state: a structure and its table. `check` may be NULL; it sees the whole decoded structure. */
struct section {
    const char *name;                  /* at most VM_SECTION_NAME_MAX - 1 characters */
    uint32_t version;
    const struct field *fields;
    uint32_t field_count;
    size_t struct_size;
    enum err (*check)(const void *decoded, char *why, size_t why_size);
};

size_t section_wire_size(const struct section *section);    /* bytes of all fields, packed, little-endian */
/* Returns the bytes written: section_wire_size. */
size_t section_save(const struct section *section, const void *object, void *wire);
/* Decodes wire[size] into *object (all of it or nothing) and checks it. ERR_RANGE, ERR_INVALID with the field in words. */
enum err section_load(const struct section *section, void *object, const void *wire, size_t size, char *why, size_t why_size);
/* The same into an object that counts only if it returns OK: no copy is made. */
enum err section_decode(const struct section *section, void *scratch, const void *wire, size_t size, char *why,
                        size_t why_size);

#endif
