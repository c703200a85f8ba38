/*
 * ELF executables: the PT_LOAD segments, at their physical addresses, of an ELF64 teaching image or of a Multiboot
 * kernel (ELF32 or ELF64). Both classes are read into the one structure of ELF64, whose fields are the wider ones.
 */
#include <inttypes.h>
#include <string.h>
#include "kernel/lib/elf64.h"
#include "kernel/lib/util.h"
#include "vmx/loader/elf32.h"
#include "vmx/loader/loader.h"

static const uint8_t elf_magic[] = { 0x7f, 'E', 'L', 'F' };

bool elf_recognise(const struct loader *l)
{
    return l->size >= sizeof(elf_magic) && memcmp(l->image, elf_magic, sizeof(elf_magic)) == 0;
}

/* ---- either class into the one structure ---- */

static void read_header(const struct loader *l, struct elf64_header *h)
{
    struct elf32_header narrow;

    if (l->image[EI_CLASS] == ELFCLASS64) {
        memcpy(h, l->image, sizeof(*h));
        return;
    }
    memcpy(&narrow, l->image, sizeof(narrow));
    *h = (struct elf64_header){
        .e_type = narrow.e_type, .e_machine = narrow.e_machine, .e_version = narrow.e_version,
        .e_entry = narrow.e_entry, .e_phoff = narrow.e_phoff,
        .e_phentsize = narrow.e_phentsize, .e_phnum = narrow.e_phnum,
    };
    memcpy(h->e_ident, narrow.e_ident, sizeof(narrow.e_ident));
}

static void read_program_header(const struct loader *l, const struct elf64_header *h, uint32_t number,
                                struct elf64_program_header *p)
{
    const uint8_t *from = l->image + h->e_phoff + (uint64_t)number * h->e_phentsize;
    struct elf32_program_header narrow;

    if (h->e_ident[EI_CLASS] == ELFCLASS64) {
        memcpy(p, from, sizeof(*p));
        return;
    }
    memcpy(&narrow, from, sizeof(narrow));
    *p = (struct elf64_program_header){
        .p_type = narrow.p_type, .p_flags = narrow.p_flags, .p_offset = narrow.p_offset, .p_vaddr = narrow.p_vaddr,
        .p_paddr = narrow.p_paddr, .p_filesz = narrow.p_filesz, .p_memsz = narrow.p_memsz, .p_align = narrow.p_align,
    };
}

/* ---- checks ---- */

static enum err check_ident(const struct loader *l, uint8_t class_wanted)
{
    size_t least = l->size > EI_CLASS && l->image[EI_CLASS] == ELFCLASS32 ? sizeof(struct elf32_header)
                                                                         : sizeof(struct elf64_header);

    if (l->size < least)
        return REFUSE(l, ERR_INVALID,
                      "%" PRIu64 " bytes of an ELF file, less than its header: the file is truncated", l->size);
    if (l->image[EI_CLASS] == ELFCLASS32 && class_wanted == ELFCLASS64)
        return REFUSE(l, ERR_UNSUPPORTED, "this is a 32-bit ELF file without a Multiboot header: guests are Linux or"
                      " Multiboot kernels, 64-bit ELF executables, or flat");
    if ((l->image[EI_CLASS] != ELFCLASS64 && l->image[EI_CLASS] != ELFCLASS32) || l->image[EI_DATA] != ELFDATA2LSB ||
        l->image[EI_VERSION] != EV_CURRENT)
        return REFUSE(l, ERR_INVALID,
                      "ELF class %u, byte order %u, version %u: not a little-endian ELF64 file",
                      l->image[EI_CLASS], l->image[EI_DATA], l->image[EI_VERSION]);
    return OK;
}

static enum err check_header(const struct loader *l, const struct elf64_header *h)
{
    bool wide = h->e_ident[EI_CLASS] == ELFCLASS64;
    uint16_t machine = wide ? EM_X86_64 : EM_386;
    size_t entry_size = wide ? sizeof(struct elf64_program_header) : sizeof(struct elf32_program_header);

    if (h->e_machine != machine)
        return REFUSE(l, ERR_UNSUPPORTED, "this ELF file is for machine %u, not for x86%s (%u)", h->e_machine,
                      wide ? "-64" : "", machine);
    if (h->e_type != ET_EXEC)
        return REFUSE(l, ERR_UNSUPPORTED, "ELF type %u: not an executable linked to fixed addresses (%d)",
                      h->e_type, ET_EXEC);
    if (h->e_phnum == 0)
        return REFUSE(l, ERR_INVALID, "this ELF file has no program headers, so nothing to load");
    if (h->e_phentsize != entry_size)
        return REFUSE(l, ERR_INVALID, "program headers of %u bytes, not %zu", h->e_phentsize, entry_size);
    if (!loader_inside(h->e_phoff, (uint64_t)h->e_phnum * entry_size, l->size))
        return REFUSE(l, ERR_INVALID, "%u program headers at 0x%" PRIx64 " of a file that has only 0x%" PRIx64
                      " bytes: the file is truncated", h->e_phnum, h->e_phoff, l->size);
    return OK;
}

static enum err add_program_header(const struct loader *l, struct image_plan *plan, uint32_t *numbers,
                                   uint32_t number, const struct elf64_program_header *p)
{
    struct image_segment segment = { p->p_paddr, p->p_offset, p->p_filesz, p->p_memsz, FROM_IMAGE };
    enum err e;

    if (p->p_type == PT_INTERP)
        return REFUSE(l, ERR_UNSUPPORTED,
                      "this ELF file asks for a dynamic linker, which a bare machine has not got");
    if (p->p_type != PT_LOAD || (p->p_memsz == 0 && p->p_filesz == 0))
        return OK;
    if (plan->segment_count == IMAGE_SEGMENTS_MAX)
        return REFUSE(l, ERR_UNSUPPORTED, "more than %d segments to load", IMAGE_SEGMENTS_MAX);
    e = loader_check_segment(l, plan, number, &segment);
    if (e != OK)
        return e;
    numbers[plan->segment_count] = number;
    plan->segments[plan->segment_count++] = segment;
    return OK;
}

enum err elf_add_segments(const struct loader *l, struct image_plan *plan, uint8_t class_wanted)
{
    struct elf64_header header;
    uint32_t numbers[IMAGE_SEGMENTS_MAX];
    enum err e = check_ident(l, class_wanted);

    if (e != OK)
        return e;
    read_header(l, &header);
    e = check_header(l, &header);
    plan->entry = header.e_entry;
    for (uint32_t i = 0; e == OK && i < header.e_phnum; i++) {
        struct elf64_program_header program_header;

        read_program_header(l, &header, i, &program_header);
        e = add_program_header(l, plan, numbers, i, &program_header);
        /* A Multiboot kernel may name its entry by virtual address: the segment says what is where. */
        if (e == OK && plan->start == START_MULTIBOOT && program_header.p_type == PT_LOAD &&
            program_header.p_vaddr <= header.e_entry &&
            header.e_entry - program_header.p_vaddr < program_header.p_memsz)
            plan->entry = program_header.p_paddr + (header.e_entry - program_header.p_vaddr);
    }
    if (e != OK)
        return e;
    if (plan->segment_count == 0)
        return REFUSE(l, ERR_INVALID, "this ELF file has no segment to load");
    return loader_check_overlaps(l, plan, numbers);
}

enum err elf_plan(const struct loader *l, struct image_plan *plan)
{
    enum err e = elf_add_segments(l, plan, ELFCLASS64);

    if (e == OK && plan->entry >= FIRMWARE_END)
        return REFUSE(l, ERR_INVALID, "the entry 0x%" PRIx64 " is not below 1 MiB, where real mode starts", plan->entry);
    return e == OK ? loader_check_entry(l, plan) : e;
}
