/*
 * One list of sections serves size, encoding and decoding. Each must be there once; what is unknown is refused, not
 * skipped.
 */
#include "vmx/state_codec.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/state.h"

#define SECTION_ALIGN 8
#define MAX_SECTIONS 32

static const struct part { const struct section *section; size_t offset; } parts[] = {
    { &gpr_section, offsetof(struct vm_image, vcpu.gpr) },
    { &segments_section, offsetof(struct vm_image, vcpu.segments) },
    { &control_section, offsetof(struct vm_image, vcpu.control) },
    { &debug_section, offsetof(struct vm_image, vcpu.debug) },
    { &msr_section, offsetof(struct vm_image, vcpu.msr) },
    { &xsave_section, offsetof(struct vm_image, vcpu.xsave) },
    { &events_section, offsetof(struct vm_image, vcpu.events) },
    { &lapic_section, offsetof(struct vm_image, lapic) },
    { &uart_section, offsetof(struct vm_image, uart) },
    { &clock_section, offsetof(struct vm_image, clock) },
};
_Static_assert(ARRAY_SIZE(parts) <= MAX_SECTIONS, "bits of `seen`");
_Static_assert(sizeof(struct vm_section_header) == 32, "stream format");

static size_t padded_size(const struct section *section)
{
    return ALIGN_UP(section_wire_size(section), (size_t)SECTION_ALIGN);
}

size_t vm_image_size(void)
{
    size_t total = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        total += sizeof(struct vm_section_header) + padded_size(parts[i].section);
    return total;
}

enum err vm_image_encode(const struct vm_image *image, void *buffer, size_t size, size_t *used)
{
    uint8_t *to = buffer;
    *used = 0;
    if (size < vm_image_size())
        return ERR_RANGE;
    memset(buffer, 0, vm_image_size());
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct section *section = parts[i].section;
        struct vm_section_header header = { .version = section->version,
                                            .size = (uint32_t)section_wire_size(section) };
        snprintf(header.name, sizeof header.name, "%s", section->name);
        memcpy(to, &header, sizeof header);
        section_save(section, (const char *)image + parts[i].offset, to + sizeof header);
        to += sizeof header + padded_size(section);
    }
    *used = (size_t)(to - (uint8_t *)buffer);
    return OK;
}

static int find_part(const struct vm_section_header *header)
{
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        if (strncmp(header->name, parts[i].section->name, sizeof header->name) == 0)
            return (int)i;
    return -1;
}

static enum err check_header(const struct vm_section_header *header, int part, uint32_t seen, char *why,
                             size_t why_size)
{
    const int name_max = VM_SECTION_NAME_MAX - 1;
    if (part < 0) {
        snprintf(why, why_size, "unknown state section \"%.*s\"", name_max, header->name);
        return ERR_INVALID;
    }
    if (header->version != parts[part].section->version) {
        snprintf(why, why_size, "state section %s has version %u, this pod speaks %u", parts[part].section->name,
                 (unsigned)header->version, (unsigned)parts[part].section->version);
        return ERR_VERSION;
    }
    if (header->instance != 0 || header->reserved != 0) {
        snprintf(why, why_size, "state section %s: instance %u, reserved %u, both must be 0",
                 parts[part].section->name, (unsigned)header->instance, (unsigned)header->reserved);
        return ERR_INVALID;
    }
    if (seen >> part & 1) {
        snprintf(why, why_size, "state section %s comes twice", parts[part].section->name);
        return ERR_INVALID;
    }
    return OK;
}

/* Decodes the section at bytes[0]; *length is what it took. */
static enum err decode_section(struct vm_image *image, const uint8_t *bytes, size_t size, size_t *length,
                               uint32_t *seen, char *why, size_t why_size)
{
    struct vm_section_header header;
    if (size < sizeof header) {
        snprintf(why, why_size, "the state ends inside a section header");
        return ERR_RANGE;
    }
    memcpy(&header, bytes, sizeof header);
    int part = find_part(&header);
    enum err e = check_header(&header, part, *seen, why, why_size);
    if (e != OK)
        return e;
    const struct section *section = parts[part].section;
    *length = sizeof header + padded_size(section);
    if (header.size != section_wire_size(section) || size < *length) {
        snprintf(why, why_size, "state section %s: %u bytes announced, %zu there, %zu needed", section->name,
                 (unsigned)header.size, size - sizeof header, section_wire_size(section));
        return ERR_RANGE;
    }
    *seen |= 1u << part;
    return section_load(section, (char *)image + parts[part].offset, bytes + sizeof header, header.size, why,
                        why_size);
}

enum err vm_image_decode(struct vm_image *out, const void *buffer, size_t size, char *why, size_t why_size)
{
    const uint8_t *bytes = buffer;
    uint32_t seen = 0;
    memset(out, 0, sizeof *out);
    for (size_t at = 0, length; at < size; at += length) {
        enum err e = decode_section(out, bytes + at, size - at, &length, &seen, why, why_size);
        if (e != OK)
            return e;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        if (seen >> i & 1)
            continue;
        snprintf(why, why_size, "state section %s is missing", parts[i].section->name);
        return ERR_INVALID;
    }
    return OK;
}
