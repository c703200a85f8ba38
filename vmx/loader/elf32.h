/* The parts of ELF32 that Multiboot kernels need (System V ABI, Intel386 supplement; chapters as in elf64.h). */
#ifndef TELEPOD_ELF32_H
#define TELEPOD_ELF32_H

#include <stdint.h>
#include "kernel/lib/elf64.h"

enum { EM_386 = 3 };

struct elf32_header {
    uint8_t e_ident[EI_NIDENT];
    uint16_t e_type, e_machine;
    uint32_t e_version, e_entry, e_phoff, e_shoff, e_flags;
    uint16_t e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};
_Static_assert(sizeof(struct elf32_header) == 52, "as the ABI has it");

struct elf32_program_header {
    uint32_t p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align;
};
_Static_assert(sizeof(struct elf32_program_header) == 32, "as the ABI has it");

#endif
