/*
 * Guest images: ELF64 or flat. The parser is pure and believes nothing: decode (may fail, changes nothing)
 * gives a plan of copies, which the caller then applies to guest memory.
 *
 * A file that starts with ELF's magic is an ELF64 executable for x86-64, or refused: it is never taken for a
 * flat image. All else is flat, but for a few kinds of file (PE, gzip) that nobody can mean to start at their
 * first byte.
 *
 * **A plan that was made** has no segment beyond the guest's memory or the file, no two segments that share a
 * byte, none that touches the command-line page, and an entry below 1 MiB inside a segment.
 */
#ifndef TELEPOD_IMAGE_H
#define TELEPOD_IMAGE_H

#include <stdint.h>
#include <stddef.h>
#include "kernel/lib/err.h"

#define IMAGE_SEGMENTS_MAX 16
#define IMAGE_FLAT_BASE 0x8000      /* where a flat image lies and starts */
#define IMAGE_FLAT_END 0xa0000      /* a flat image ends below: the end of a PC's conventional memory */
#define GUEST_CMDLINE_PAGE 0x7000   /* this page belongs to the pod: command line, memory size */
#define GUEST_CMDLINE_GPA 0x7000    /* NUL-terminated, see guests/ABI.md */
#define GUEST_MEMORY_SIZE_GPA 0x7100 /* 64-bit RAM size in bytes */

struct image_segment {
    uint64_t gpa;            /* destination */
    uint64_t file_offset;
    uint64_t file_size;      /* bytes copied; the rest up to memory_size stays zero */
    uint64_t memory_size;
};

struct image_plan {
    uint64_t entry;          /* real-mode entry, below 1 MiB */
    uint32_t segment_count;
    struct image_segment segments[IMAGE_SEGMENTS_MAX];
};

/*
 * `why` gets a sentence that says what and where, e.g. "segment 2 reaches 0x2400000, beyond the guest's 32
 * MiB" (segments are numbered as the file's program headers are). ERR_INVALID, ERR_RANGE (a segment lies
 * where it must not), ERR_UNSUPPORTED.
 */
enum err image_plan_make(struct image_plan *plan, const void *image, uint64_t size,
                         uint64_t guest_memory_bytes, char *why, size_t why_size);

#endif
