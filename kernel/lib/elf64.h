/* The parts of ELF64 that the boot loader and the guests' loader read (System V ABI, chapters 4 "ELF Header" and
   5 "Program Header"). */
#ifndef TELEPOD_ELF64_H
#define TELEPOD_ELF64_H

#include <stdint.h>

#define EI_NIDENT 16
enum { EI_CLASS = 4, EI_DATA = 5, EI_VERSION = 6 };
enum { ELFCLASS32 = 1, ELFCLASS64 = 2 };
enum { ELFDATA2LSB = 1 };
enum { EV_CURRENT = 1 };
enum { ET_EXEC = 2 };
enum { EM_X86_64 = 62 };
enum { PT_LOAD = 1, PT_DYNAMIC = 2, PT_INTERP = 3 };

struct elf64_header {
    uint8_t e_ident[EI_NIDENT];
    uint16_t e_type, e_machine;
    uint32_t e_version;
    uint64_t e_entry, e_phoff, e_shoff;
    uint32_t e_flags;
    uint16_t e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};
_Static_assert(sizeof(struct elf64_header) == 64, "as the ABI has it");

struct elf64_program_header {
    uint32_t p_type, p_flags;
    uint64_t p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
};
_Static_assert(sizeof(struct elf64_program_header) == 56, "as the ABI has it");

#endif
