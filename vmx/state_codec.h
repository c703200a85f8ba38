/*
 * The stream form of a machine's state: sections (vmx/state.h) one after the other, each an object described by its
 * table of fields. Which sections there are is a list of parts that the caller gives; the list serves numbers, size,
 * writing and reading. Pure: host tests and fuzzers run it. Reading believes nothing.
 *
 * A section may come more than once, and the last one counts: so most of a state can go ahead while the guest still runs,
 * and only what has changed since then goes while it stands still.
 */
#ifndef TELEPOD_STATE_CODEC_H
#define TELEPOD_STATE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "vmx/fields.h"

/* One part of a machine's state: a table, an object that it describes, and which of its kind this is. */
struct state_part {
    const struct section *section;
    void *object;
    uint32_t instance;
    /* state_parts_number() fills these in: */
    uint32_t kind;                  /* sections with the same table are of one kind; kinds count from 1, in the list's order */
    uint32_t wire_size;             /* bytes of the fields */
};
#define STATE_PARTS_MAX 256

/* Returns how many kinds there are. To be called once for a list, before all that follows. */
uint32_t state_parts_number(struct state_part *parts, uint32_t count);

/* ---- writing ---- */

struct state_writer {
    const struct state_part *parts;
    uint32_t count;
    uint32_t next;                  /* the part to look at next */
    uint64_t *written;              /* the fields of all parts as they were written last; owned */
    size_t written_at;              /* words of the parts before `next` */
    bool again;                     /* not the first time */
};

/* ERR_NO_MEMORY. */
enum err state_writer_open(struct state_writer *w, const struct state_part *parts, uint32_t count);
void state_writer_close(struct state_writer *w);        /* fine on one that never opened (all zero) */
/* From the first part on: all parts the first time, then those that have changed since they were written. */
void state_writer_begin(struct state_writer *w);
/* Whole sections, as many as fit into buffer[size] (at least VM_STATE_RECORD_MIN); returns the bytes, a multiple of 8. 0: the end. */
size_t state_write(struct state_writer *w, void *buffer, size_t size);

/* ---- reading ---- */

struct state_reader {
    const struct state_part *parts;
    uint32_t count;
    uint32_t next;                  /* the part that comes next if the stream has them in the order of the list */
    uint64_t seen[STATE_PARTS_MAX / 64];
};

void state_reader_begin(struct state_reader *r, const struct state_part *parts, uint32_t count);
/*
 * Whole sections, in any order, into the parts' objects: these are the caller's scratch, and after an error good for
 * nothing. What is unknown is refused, not skipped. ERR_RANGE, ERR_INVALID with the section and field in `why`.
 */
enum err state_read(struct state_reader *r, const void *buffer, size_t size, char *why, size_t why_size);
/* ERR_INVALID: a part has not come, and `why` names it. */
enum err state_read_end(const struct state_reader *r, char *why, size_t why_size);

#endif
