/*
 * One list of parts serves numbers, writing and reading, so they cannot disagree. A table of fields is one of ours: it fits
 * FLAT_WORDS, which the unit test of the state looks at for all of them.
 */
#include "vmx/state_codec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/squeeze.h"
#include "vmx/state.h"

#define WORD sizeof(uint64_t)
#define HEADER_SIZE sizeof(struct vm_section_header)
#define FLAT_WORDS (VM_SECTION_BYTES_MAX / WORD)

_Static_assert(HEADER_SIZE == 4, "stream format");
_Static_assert(HEADER_SIZE + SQUEEZE_BYTES_MAX(FLAT_WORDS) <= VM_STATE_RECORD_MIN, "a record holds any section");

uint32_t state_parts_number(struct state_part *parts, uint32_t count)
{
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t same = 0;
        while (parts[same].section != parts[i].section)
            same++;
        parts[i].kind = same < i ? parts[same].kind : ++kinds;
        parts[i].wire_size = (uint32_t)section_wire_size(parts[i].section);
    }
    return kinds;
}

/* The fields of a section, filled up with zeros to whole words. */
static size_t flat_words(const struct state_part *part)
{
    return DIV_ROUND_UP(part->wire_size, WORD);
}

static size_t part_size_max(const struct state_part *part)
{
    return HEADER_SIZE + SQUEEZE_BYTES_MAX(flat_words(part));
}

/* ---- writing ---- */

enum err state_writer_open(struct state_writer *w, const struct state_part *parts, uint32_t count)
{
    size_t words = 0;
    for (uint32_t i = 0; i < count; i++)
        words += flat_words(&parts[i]);
    *w = (struct state_writer){ .parts = parts, .count = count, .written = calloc(words, WORD) };
    return w->written ? OK : ERR_NO_MEMORY;
}

void state_writer_close(struct state_writer *w)
{
    free(w->written);
    w->written = NULL;
}

void state_writer_begin(struct state_writer *w)
{
    w->again = w->count && w->next == w->count;
    w->next = 0;
    w->written_at = 0;
}

static bool differ(const uint64_t *a, const uint64_t *b, size_t words)
{
    size_t i = 0;
    for (; i + 4 <= words; i += 4)
        if ((a[i] ^ b[i]) | (a[i + 1] ^ b[i + 1]) | (a[i + 2] ^ b[i + 2]) | (a[i + 3] ^ b[i + 3]))
            return true;
    for (; i < words; i++)
        if (a[i] != b[i])
            return true;
    return false;
}

/* Returns the bytes written: 0 if the part is as it was. */
static size_t write_part(struct state_writer *w, const struct state_part *part, uint8_t *to)
{
    uint64_t flat[FLAT_WORDS], *written = w->written + w->written_at;
    size_t words = flat_words(part);
    flat[words - 1] = 0;
    section_save(part->section, part->object, flat);
    if (w->again && !differ(flat, written, words))
        return 0;
    memcpy(written, flat, words * WORD);
    size_t squeezed = squeeze(flat, words, to + HEADER_SIZE);
    struct vm_section_header header = { (uint8_t)part->kind, (uint8_t)part->instance, (uint16_t)squeezed };
    __builtin_memcpy(to, &header, HEADER_SIZE);
    return HEADER_SIZE + squeezed;
}

size_t state_write(struct state_writer *w, void *buffer, size_t size)
{
    uint8_t *to = buffer, *end = to + size / WORD * WORD;
    for (; w->next < w->count; w->next++) {
        const struct state_part *part = &w->parts[w->next];
        if ((size_t)(end - to) < part_size_max(part))
            break;
        to += write_part(w, part, to);
        w->written_at += flat_words(part);
    }
    size_t used = (size_t)(to - (uint8_t *)buffer), filled = ALIGN_UP(used, WORD);
    memset(to, 0, filled - used);
    return filled;
}

/* ---- reading ---- */

static bool is_part(const struct state_part *part, const struct vm_section_header *header)
{
    return part->kind == header->kind && part->instance == header->instance;
}

/* A sender has the same list as a rule, in the same order: the first guess is right. */
static const struct state_part *find_part(const struct state_reader *r, const struct vm_section_header *header)
{
    for (uint32_t i = r->next; i < r->count; i++)
        if (is_part(&r->parts[i], header))
            return &r->parts[i];
    for (uint32_t i = 0; i < r->next; i++)
        if (is_part(&r->parts[i], header))
            return &r->parts[i];
    return NULL;
}

/* Behind the fields the last word is filled up with zeros, which have left nothing in the stream. */
static bool is_filled_up(const uint64_t *flat, const struct state_part *part)
{
    size_t used = part->wire_size % WORD;
    return !used || !(flat[part->wire_size / WORD] >> used * 8);
}

static enum err read_fields(const struct state_part *part, const uint8_t *bytes, size_t size, char *why, size_t why_size)
{
    uint64_t flat[FLAT_WORDS];
    if (unsqueeze(bytes, size, flat, flat_words(part)) && is_filled_up(flat, part))
        return section_decode(part->section, part->object, flat, part->wire_size, why, why_size);
    snprintf(why, why_size, "state section %s %u: its %zu bytes do not make %u bytes of fields", part->section->name,
             (unsigned)part->instance, size, (unsigned)part->wire_size);
    return ERR_RANGE;
}

/* The section at bytes[0]; *length is what it took. */
static enum err read_section(struct state_reader *r, const uint8_t *bytes, size_t size, size_t *length, char *why,
                             size_t why_size)
{
    struct vm_section_header header;
    if (size < sizeof header) {
        snprintf(why, why_size, "the state ends inside a section header");
        return ERR_RANGE;
    }
    __builtin_memcpy(&header, bytes, sizeof header);
    const struct state_part *part = find_part(r, &header);
    if (!part) {
        snprintf(why, why_size, "this machine has no state section of kind %u, instance %u", (unsigned)header.kind,
                 (unsigned)header.instance);
        return ERR_INVALID;
    }
    if (header.size > size - sizeof header) {
        snprintf(why, why_size, "state section %s: %u bytes are more than there are", part->section->name,
                 (unsigned)header.size);
        return ERR_RANGE;
    }
    enum err e = read_fields(part, bytes + sizeof header, header.size, why, why_size);
    if (e != OK)
        return e;
    uint32_t index = (uint32_t)(part - r->parts);
    r->next = index + 1;
    r->seen[index / 64] |= BIT(index % 64);
    *length = sizeof header + header.size;
    return OK;
}

/* No kind is 0: the record ends here, filled up with zeros to whole words. */
static bool is_end(const uint8_t *bytes, size_t size)
{
    uint64_t last = 0;
    if (bytes[0] || size >= WORD)
        return false;
    memcpy(&last, bytes, size);
    return last == 0;
}

void state_reader_begin(struct state_reader *r, const struct state_part *parts, uint32_t count)
{
    *r = (struct state_reader){ .parts = parts, .count = count };
}

enum err state_read(struct state_reader *r, const void *buffer, size_t size, char *why, size_t why_size)
{
    const uint8_t *bytes = buffer;
    r->next = 0;
    for (size_t at = 0, length = 0; at < size && !is_end(bytes + at, size - at); at += length) {
        enum err e = read_section(r, bytes + at, size - at, &length, why, why_size);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err state_read_end(const struct state_reader *r, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->seen[i / 64] >> i % 64 & 1)
            continue;
        snprintf(why, why_size, "state section %s %u is missing", r->parts[i].section->name, (unsigned)r->parts[i].instance);
        return ERR_INVALID;
    }
    return OK;
}
