/*
 * Makes the plan by which a guest image gets into guest memory. Every number of the file is compared with
 * what bounds it before it is used, in a form that cannot overflow; whatever is wrong ends in one sentence,
 * and nothing is half done.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "kernel/lib/elf64.h"
#include "vmx/loader/image.h"

#define REAL_MODE_END 0x100000ull

/* The file, the machine that it is meant for, and the place for the sentence. */
struct loader {
    const uint8_t *image;
    uint64_t size;
    uint64_t memory;
    char *why;
    size_t why_size;
};

static const uint8_t elf_magic[] = { 0x7f, 'E', 'L', 'F' };

static bool starts_with(const struct loader *l, const void *magic, size_t size)
{
    return l->size >= size && memcmp(l->image, magic, size) == 0;
}

#define REFUSE(loader, error, ...) (snprintf((loader)->why, (loader)->why_size, __VA_ARGS__), (error))

/* Whether [start, start + size) lies in [0, limit). */
static bool inside(uint64_t start, uint64_t size, uint64_t limit)
{
    return start <= limit && size <= limit - start;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* ---- segments, of either kind of image ---- */

static enum err check_segment(const struct loader *l, uint32_t number, const struct image_segment *s)
{
    if (!inside(s->file_offset, s->file_size, l->size))
        return REFUSE(l, ERR_INVALID, "segment %" PRIu32 " takes 0x%" PRIx64 " bytes at 0x%" PRIx64
                      " of a file that has only 0x%" PRIx64 ": the file is truncated",
                      number, s->file_size, s->file_offset, l->size);
    if (s->file_size > s->memory_size)
        return REFUSE(l, ERR_INVALID,
                      "segment %" PRIu32 " has 0x%" PRIx64 " bytes in the file, but only 0x%" PRIx64
                      " in memory",
                      number, s->file_size, s->memory_size);
    if (s->memory_size > UINT64_MAX - s->gpa)
        return REFUSE(l, ERR_RANGE, "segment %" PRIu32 " at 0x%" PRIx64 " with 0x%" PRIx64
                      " bytes reaches beyond the last address", number, s->gpa, s->memory_size);
    if (!inside(s->gpa, s->memory_size, l->memory))
        return REFUSE(l, ERR_RANGE,
                      "segment %" PRIu32 " reaches 0x%" PRIx64 ", beyond the guest's %" PRIu64 " MiB", number,
                      s->gpa + s->memory_size, l->memory / MIB);
    if (overlap(s->gpa, s->memory_size, GUEST_CMDLINE_PAGE, PAGE_SIZE))
        return REFUSE(l, ERR_RANGE, "segment %" PRIu32 " (0x%" PRIx64 " to 0x%" PRIx64
                      ") touches the command line's page at 0x%x",
                      number, s->gpa, s->gpa + s->memory_size - 1, GUEST_CMDLINE_PAGE);
    return OK;
}

/* numbers[i] is the program header that plan->segments[i] comes from. */
static enum err check_overlaps(const struct loader *l, const struct image_plan *plan, const uint32_t *numbers)
{
    for (uint32_t i = 0; i < plan->segment_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct image_segment *a = &plan->segments[j], *b = &plan->segments[i];

            if (overlap(a->gpa, a->memory_size, b->gpa, b->memory_size))
                return REFUSE(l, ERR_INVALID, "segments %" PRIu32 " and %" PRIu32 " overlap at 0x%" PRIx64,
                              numbers[j], numbers[i], MAX(a->gpa, b->gpa));
        }
    return OK;
}

static enum err check_entry(const struct loader *l, const struct image_plan *plan)
{
    if (plan->entry >= REAL_MODE_END)
        return REFUSE(l, ERR_INVALID, "the entry 0x%" PRIx64 " is not below 1 MiB, where real mode starts",
                      plan->entry);
    for (uint32_t i = 0; i < plan->segment_count; i++)
        if (overlap(plan->entry, 1, plan->segments[i].gpa, plan->segments[i].memory_size))
            return OK;
    return REFUSE(l, ERR_INVALID, "the entry 0x%" PRIx64 " is in no segment", plan->entry);
}

/* ---- ELF ---- */

static enum err check_header(const struct loader *l, const struct elf64_header *h)
{
    if (h->e_ident[EI_CLASS] == ELFCLASS32)
        return REFUSE(l, ERR_UNSUPPORTED, "this is a 32-bit ELF file, guests are 64-bit ones (or flat)");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        h->e_ident[EI_VERSION] != EV_CURRENT)
        return REFUSE(l, ERR_INVALID,
                      "ELF class %u, byte order %u, version %u: not a little-endian ELF64 file",
                      h->e_ident[EI_CLASS], h->e_ident[EI_DATA], h->e_ident[EI_VERSION]);
    if (h->e_machine != EM_X86_64)
        return REFUSE(l, ERR_UNSUPPORTED, "this ELF file is for machine %u, not for x86-64 (%d)",
                      h->e_machine, EM_X86_64);
    if (h->e_type != ET_EXEC)
        return REFUSE(l, ERR_UNSUPPORTED, "ELF type %u: not an executable linked to fixed addresses (%d)",
                      h->e_type, ET_EXEC);
    if (h->e_phnum == 0)
        return REFUSE(l, ERR_INVALID, "this ELF file has no program headers, so nothing to load");
    if (h->e_phentsize != sizeof(struct elf64_program_header))
        return REFUSE(l, ERR_INVALID, "program headers of %u bytes, not %zu", h->e_phentsize,
                      sizeof(struct elf64_program_header));
    if (!inside(h->e_phoff, (uint64_t)h->e_phnum * sizeof(struct elf64_program_header), l->size))
        return REFUSE(l, ERR_INVALID, "%u program headers at 0x%" PRIx64 " of a file that has only 0x%" PRIx64
                      " bytes: the file is truncated", h->e_phnum, h->e_phoff, l->size);
    return OK;
}

static enum err add_program_header(const struct loader *l, struct image_plan *plan, uint32_t *numbers,
                                   uint32_t number, const struct elf64_program_header *p)
{
    struct image_segment segment = { p->p_paddr, p->p_offset, p->p_filesz, p->p_memsz };
    enum err e;

    if (p->p_type == PT_INTERP)
        return REFUSE(l, ERR_UNSUPPORTED,
                      "this ELF file asks for a dynamic linker, which a bare machine has not got");
    if (p->p_type != PT_LOAD || (p->p_memsz == 0 && p->p_filesz == 0))
        return OK;
    if (plan->segment_count == IMAGE_SEGMENTS_MAX)
        return REFUSE(l, ERR_UNSUPPORTED, "more than %d segments to load", IMAGE_SEGMENTS_MAX);
    e = check_segment(l, number, &segment);
    if (e != OK)
        return e;
    numbers[plan->segment_count] = number;
    plan->segments[plan->segment_count++] = segment;
    return OK;
}

static enum err plan_elf(const struct loader *l, struct image_plan *plan)
{
    struct elf64_header header;
    uint32_t numbers[IMAGE_SEGMENTS_MAX];
    enum err e;

    if (l->size < sizeof(header))
        return REFUSE(l, ERR_INVALID,
                      "%" PRIu64 " bytes of an ELF file, less than its header: the file is truncated",
                      l->size);
    memcpy(&header, l->image, sizeof(header)); /* the image may lie at any address */
    e = check_header(l, &header);
    if (e != OK)
        return e;
    for (uint32_t i = 0; i < header.e_phnum; i++) {
        struct elf64_program_header program_header;

        memcpy(&program_header, l->image + header.e_phoff + i * sizeof(program_header),
               sizeof(program_header));
        e = add_program_header(l, plan, numbers, i, &program_header);
        if (e != OK)
            return e;
    }
    if (plan->segment_count == 0)
        return REFUSE(l, ERR_INVALID, "this ELF file has no segment to load");
    plan->entry = header.e_entry;
    e = check_overlaps(l, plan, numbers);
    return e == OK ? check_entry(l, plan) : e;
}

/* ---- flat ---- */

static const struct { const char *magic, *what; } not_flat[] = {
    { "MZ", "a DOS, Windows or EFI program, or a Linux bzImage" },
    { "\x1f\x8b", "gzip-compressed" },
    { "\xfd" "7zXZ", "xz-compressed" },
};

static enum err plan_flat(const struct loader *l, struct image_plan *plan)
{
    for (size_t i = 0; i < ARRAY_SIZE(not_flat); i++)
        if (starts_with(l, not_flat[i].magic, strlen(not_flat[i].magic)))
            return REFUSE(l, ERR_UNSUPPORTED, "this file is %s, not an ELF64 executable or a flat image",
                          not_flat[i].what);
    if (l->size > IMAGE_FLAT_END - IMAGE_FLAT_BASE)
        return REFUSE(l, ERR_RANGE,
                      "a flat image of 0x%" PRIx64 " bytes at 0x%x reaches beyond 0x%x: make it an ELF file",
                      l->size, IMAGE_FLAT_BASE, IMAGE_FLAT_END);
    plan->entry = IMAGE_FLAT_BASE;
    plan->segments[0] = (struct image_segment){ IMAGE_FLAT_BASE, 0, l->size, l->size };
    plan->segment_count = 1;
    return check_segment(l, 0, &plan->segments[0]);
}

enum err image_plan_make(struct image_plan *plan, const void *image, uint64_t size,
                         uint64_t guest_memory_bytes, char *why, size_t why_size)
{
    struct loader loader = { image, size, guest_memory_bytes, why, why_size };
    struct image_plan made = { 0 };
    enum err e;

    if (size == 0)
        return REFUSE(&loader, ERR_INVALID, "the file is empty");
    e = starts_with(&loader, elf_magic, sizeof(elf_magic)) ? plan_elf(&loader, &made)
                                                           : plan_flat(&loader, &made);
    if (e == OK)
        *plan = made;
    return e;
}
