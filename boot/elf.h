/*
 * The kernel's ELF file, checked in full before a byte of it is copied: after elf_parse() has said OK, every
 * segment lies inside the file, inside the kernel's window of virtual addresses, and on pages of its own.
 * Pure. Layout and names: System V ABI, "Object Files" (ELF header) and "Program Loading" (program header),
 * and its AMD64 supplement.
 */
#ifndef TELEPOD_BOOT_ELF_H
#define TELEPOD_BOOT_ELF_H

#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define ELF_SEGMENTS_MAX 16
#define ELF_MEMORY_MAX (64UL * 1024 * 1024) /* bytes, of the file and of the image in memory */

enum elf_flags { ELF_EXECUTE = 1, ELF_WRITE = 2, ELF_READ = 4 }; /* PF_X, PF_W, PF_R */

struct elf_segment {
    uint64_t offset;       /* bytes from KERNEL_BASE, page aligned */
    uint64_t memory_size;  /* bytes, not 0 */
    uint64_t file_offset;  /* bytes from the file's start */
    uint64_t file_size;    /* bytes, at most memory_size; the rest is zero */
    uint32_t flags;        /* enum elf_flags */
};

struct elf_image {
    uint64_t entry;        /* virtual address, in an executable segment */
    uint64_t size;         /* bytes from KERNEL_BASE to the last segment's end, page aligned */
    uint32_t segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* in ascending order, no page in two of them */
};

/*
 * Decodes `size` bytes of `file` into *out. ERR_INVALID, ERR_RANGE or ERR_UNSUPPORTED: *why is a phrase of
 * static storage that says what is wrong, and *out is not to be used.
 */
enum err elf_parse(const void *file, size_t size, struct elf_image *out, const char **why);

#endif
