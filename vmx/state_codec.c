/*
 * One list of parts serves size, encoding and decoding, so the three cannot disagree. Each part must be there once;
 * what is unknown is refused, not skipped.
 */
#include "vmx/state_codec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/state.h"

#define SECTION_ALIGN 8

_Static_assert(sizeof(struct vm_section_header) == 32, "stream format");

static size_t padded_size(const struct section *section)
{
    return ALIGN_UP(section_wire_size(section), (size_t)SECTION_ALIGN);
}

size_t state_parts_size(const struct state_part *parts, uint32_t count)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += sizeof(struct vm_section_header) + padded_size(parts[i].section);
    return total;
}

static void put_name(char name[VM_SECTION_NAME_MAX], const char *from)
{
    for (unsigned i = 0; from[i] && i < VM_SECTION_NAME_MAX - 1; i++)
        name[i] = from[i];
}

static bool same_name(const char name[VM_SECTION_NAME_MAX], const char *other)
{
    unsigned i = 0;
    while (i < VM_SECTION_NAME_MAX && name[i] == other[i] && other[i])
        i++;
    return i < VM_SECTION_NAME_MAX && name[i] == other[i];
}

enum err state_parts_encode(const struct state_part *parts, uint32_t count, void *buffer, size_t size, size_t *used)
{
    uint8_t *to = buffer;
    size_t left = size;
    *used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct section *section = parts[i].section;
        struct vm_section_header header = { .version = section->version, .instance = parts[i].instance };
        /* No section is larger on the wire than its structure: the exact look is for the end of the buffer only. */
        if (left < sizeof header + section->struct_size + SECTION_ALIGN && left < sizeof header + padded_size(section))
            return ERR_RANGE;
        size_t wire = section_save(section, parts[i].object, to + sizeof header);
        size_t padded = ALIGN_UP(wire, (size_t)SECTION_ALIGN);
        memset(to + sizeof header + wire, 0, padded - wire);
        put_name(header.name, section->name);
        header.size = (uint32_t)wire;
        memcpy(to, &header, sizeof header);
        to += sizeof header + padded;
        left -= sizeof header + padded;
    }
    *used = size - left;
    return OK;
}

/* What one decoding knows so far. */
struct decoding {
    const struct state_part *parts;
    uint32_t count;
    uint32_t next;      /* the part that comes next if the stream has them in the order of the list */
    bool *seen;         /* a flag a part */
    char *why;
    size_t why_size;
};

static bool is_part(const struct state_part *part, const struct vm_section_header *header)
{
    return part->instance == header->instance && same_name(header->name, part->section->name);
}

/* A sender has the same list as a rule, in the same order: the first guess is right. */
static const struct state_part *find_part(const struct decoding *d, const struct vm_section_header *header)
{
    if (d->next < d->count && is_part(&d->parts[d->next], header))
        return &d->parts[d->next];
    for (uint32_t i = 0; i < d->count; i++)
        if (is_part(&d->parts[i], header))
            return &d->parts[i];
    return NULL;
}

static enum err check_header(const struct decoding *d, const struct vm_section_header *header,
                             const struct state_part *part)
{
    const int name_max = VM_SECTION_NAME_MAX - 1;
    if (!part) {
        snprintf(d->why, d->why_size, "this machine has no state section \"%.*s\" %u", name_max, header->name,
                 (unsigned)header->instance);
        return ERR_INVALID;
    }
    if (header->version != part->section->version) {
        snprintf(d->why, d->why_size, "state section %s has version %u, this pod speaks %u", part->section->name,
                 (unsigned)header->version, (unsigned)part->section->version);
        return ERR_VERSION;
    }
    if (header->reserved != 0) {
        snprintf(d->why, d->why_size, "state section %s %u: reserved is %u, and must be 0", part->section->name,
                 (unsigned)header->instance, (unsigned)header->reserved);
        return ERR_INVALID;
    }
    if (d->seen[part - d->parts]) {
        snprintf(d->why, d->why_size, "state section %s %u comes twice", part->section->name, (unsigned)header->instance);
        return ERR_INVALID;
    }
    return OK;
}

/* Decodes the section at bytes[0]; *length is what it took. */
static enum err decode_section(struct decoding *d, const uint8_t *bytes, size_t size, size_t *length)
{
    struct vm_section_header header;
    if (size < sizeof header) {
        snprintf(d->why, d->why_size, "the state ends inside a section header");
        return ERR_RANGE;
    }
    memcpy(&header, bytes, sizeof header);
    const struct state_part *part = find_part(d, &header);
    enum err e = check_header(d, &header, part);
    if (e != OK)
        return e;
    if (header.size > VM_SECTION_BYTES_MAX || ALIGN_UP((size_t)header.size, (size_t)SECTION_ALIGN) > size - sizeof header) {
        snprintf(d->why, d->why_size, "state section %s: %u bytes are more than there are", part->section->name,
                 (unsigned)header.size);
        return ERR_RANGE;
    }
    e = section_decode(part->section, part->object, bytes + sizeof header, header.size, d->why, d->why_size);
    if (e != OK)
        return e;
    d->seen[part - d->parts] = true;
    d->next = (uint32_t)(part - d->parts) + 1;
    *length = sizeof header + ALIGN_UP((size_t)header.size, (size_t)SECTION_ALIGN);
    return OK;
}

static enum err decode_all(struct decoding *d, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0, length = 0; at < size; at += length) {
        enum err e = decode_section(d, bytes + at, size - at, &length);
        if (e != OK)
            return e;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->seen[i])
            continue;
        snprintf(d->why, d->why_size, "state section %s %u is missing", d->parts[i].section->name,
                 (unsigned)d->parts[i].instance);
        return ERR_INVALID;
    }
    return OK;
}

enum err state_parts_decode(const struct state_part *parts, uint32_t count, const void *buffer, size_t size, char *why,
                            size_t why_size)
{
    struct decoding d = { .parts = parts, .count = count, .seen = calloc(count + 1, sizeof(bool)), .why = why,
                          .why_size = why_size };
    if (!d.seen) {
        snprintf(why, why_size, "no memory to decode the state");
        return ERR_NO_MEMORY;
    }
    enum err e = decode_all(&d, buffer, size);
    free(d.seen);
    return e;
}
