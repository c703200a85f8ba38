/*
 * The stream form of a machine's state: sections (vmx/state.h) one after the other, each an object described by its
 * table of fields. Which sections there are is a list of parts that the caller gives; the list serves size, encoding
 * and decoding. Pure: host tests and fuzzers run it. Decoding believes nothing.
 */
#ifndef TELEPOD_STATE_CODEC_H
#define TELEPOD_STATE_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "vmx/fields.h"

/* One part of a machine's state: a table, an object that it describes, and which of its kind this is. */
struct state_part {
    const struct section *section;
    void *object;
    uint32_t instance;
};

size_t state_parts_size(const struct state_part *parts, uint32_t count);    /* bytes of the stream form */
/* ERR_RANGE: the buffer is too small. */
enum err state_parts_encode(const struct state_part *parts, uint32_t count, void *buffer, size_t size, size_t *used);
/*
 * Each part must be there once, in any order, and nothing else: what is unknown is refused, not skipped. The objects
 * are the caller's scratch; they count only if it returns OK. ERR_RANGE, ERR_INVALID, ERR_VERSION with the section and
 * field in `why`; ERR_NO_MEMORY.
 */
enum err state_parts_decode(const struct state_part *parts, uint32_t count, const void *buffer, size_t size, char *why,
                            size_t why_size);

#endif
