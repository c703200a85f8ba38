/* The kernel's ELF file: every field is checked before it is believed. */
#include <string.h>
#include "boot/boot_info.h"
#include "boot/elf.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/elf64.h"
#include "kernel/lib/util.h"

#define ELF_MAGIC "\x7f" "ELF"

static enum err fail(enum err e, const char **why, const char *phrase)
{
    *why = phrase;
    return e;
}

static enum err header_check(const struct elf64_header *h, size_t size, const char **why)
{
    if (memcmp(h->e_ident, ELF_MAGIC, strlen(ELF_MAGIC)) != 0)
        return fail(ERR_INVALID, why, "it does not start as an ELF file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
        return fail(ERR_UNSUPPORTED, why, "it is not an ELF file for x86-64");
    if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
        return fail(ERR_UNSUPPORTED, why, "its ELF version is unknown");
    if (h->e_type != ET_EXEC)
        return fail(ERR_UNSUPPORTED, why, "it is not an executable with fixed addresses (ET_EXEC)");
    if (h->e_phentsize != sizeof(struct elf64_program_header) || h->e_phnum == 0)
        return fail(ERR_INVALID, why, "it has no program headers");
    if (h->e_phoff > size || h->e_phnum > (size - h->e_phoff) / sizeof(struct elf64_program_header))
        return fail(ERR_RANGE, why, "its program headers lie behind the end of the file (truncated?)");
    return OK;
}

static enum err segment_check(const struct elf64_program_header *p, size_t size, const char **why)
{
    uint64_t offset = p->p_vaddr - KERNEL_BASE; /* wraps for a lower address, and is too large then */

    if (p->p_offset > size || p->p_filesz > size - p->p_offset)
        return fail(ERR_RANGE, why, "a segment lies behind the end of the file (truncated?)");
    if (p->p_memsz < p->p_filesz)
        return fail(ERR_INVALID, why, "a segment is smaller in memory than in the file");
    if (offset >= ELF_MEMORY_MAX || p->p_memsz > ELF_MEMORY_MAX - offset)
        return fail(ERR_RANGE, why, "a segment lies outside the 64 MiB from KERNEL_BASE");
    if (p->p_vaddr & PAGE_MASK)
        return fail(ERR_INVALID, why, "a segment does not start on a page of its own");
    if ((p->p_flags & ELF_WRITE) && (p->p_flags & ELF_EXECUTE))
        return fail(ERR_INVALID, why, "a segment is both writable and executable");
    return OK;
}

static uint64_t segment_end(const struct elf_segment *s)
{
    return ALIGN_UP(s->offset + s->memory_size, PAGE_SIZE);
}

/* Keeps the segments sorted by address, and refuses one that shares a page with another. */
static enum err segment_insert(struct elf_image *out, const struct elf_segment *new, const char **why)
{
    uint32_t at = out->segment_count;

    if (at == ELF_SEGMENTS_MAX)
        return fail(ERR_RANGE, why, "it has more than 16 segments");
    while (at > 0 && out->segments[at - 1].offset > new->offset)
        at--;
    if ((at > 0 && segment_end(&out->segments[at - 1]) > new->offset) ||
        (at < out->segment_count && segment_end(new) > out->segments[at].offset))
        return fail(ERR_INVALID, why, "two segments share a page");
    memmove(&out->segments[at + 1], &out->segments[at], (out->segment_count - at) * sizeof(*new));
    out->segments[at] = *new;
    out->segment_count++;
    out->size = MAX(out->size, segment_end(new));
    return OK;
}

static enum err segment_add(struct elf_image *out, const struct elf64_program_header *p, size_t size,
                            const char **why)
{
    struct elf_segment segment = {
        .offset = p->p_vaddr - KERNEL_BASE, .memory_size = p->p_memsz,
        .file_offset = p->p_offset, .file_size = p->p_filesz,
        .flags = p->p_flags & (ELF_EXECUTE | ELF_WRITE | ELF_READ),
    };
    enum err e;

    if (p->p_type == PT_DYNAMIC || p->p_type == PT_INTERP)
        return fail(ERR_UNSUPPORTED, why, "it wants to be linked dynamically");
    if (p->p_type != PT_LOAD || (p->p_memsz == 0 && p->p_filesz == 0))
        return OK;
    e = segment_check(p, size, why);
    return e == OK ? segment_insert(out, &segment, why) : e;
}

static enum err entry_check(const struct elf_image *image, const char **why)
{
    uint64_t offset = image->entry - KERNEL_BASE;

    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];

        /* Within the bytes of the file: an entry into .bss would run zeroes. */
        if ((s->flags & ELF_EXECUTE) && offset >= s->offset && offset - s->offset < s->file_size)
            return OK;
    }
    return fail(ERR_INVALID, why, "its entry point is not in an executable segment");
}

enum err elf_parse(const void *file, size_t size, struct elf_image *out, const char **why)
{
    struct elf64_header header;
    struct elf64_program_header program;
    enum err e;

    memset(out, 0, sizeof(*out));
    if (size > ELF_MEMORY_MAX)
        return fail(ERR_RANGE, why, "it is larger than 64 MiB");
    if (size < sizeof(header))
        return fail(ERR_RANGE, why, "it is shorter than an ELF header (truncated?)");
    memcpy(&header, file, sizeof(header)); /* the file may lie at any alignment */
    e = header_check(&header, size, why);
    for (uint32_t i = 0; e == OK && i < header.e_phnum; i++) {
        memcpy(&program, (const uint8_t *)file + header.e_phoff + i * sizeof(program), sizeof(program));
        e = segment_add(out, &program, size, why);
    }
    if (e != OK)
        return e;
    out->entry = header.e_entry;
    return entry_check(out, why);
}
