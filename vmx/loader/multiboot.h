/* The Multiboot Specification, version 0.6.96: chapter 3. */
#ifndef TELEPOD_MULTIBOOT_H
#define TELEPOD_MULTIBOOT_H

#include <stdint.h>

/* 3.1 "OS image format" */
#define MULTIBOOT_SEARCH 8192           /* the header lies in the first 8192 bytes, 4-byte aligned */
#define MULTIBOOT_HEADER_MAGIC 0x1badb002u
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002u
#define MULTIBOOT_ALIGN_MODULES (1u << 0)
#define MULTIBOOT_MEMORY_INFO (1u << 1)
#define MULTIBOOT_REQUIRED 0xffffu      /* a loader that does not know one of these bits must refuse */
#define MULTIBOOT_ADDRESSES (1u << 16)  /* the address fields are valid, and used instead of ELF's */

struct multiboot_header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
_Static_assert(sizeof(struct multiboot_header) == 32, "as the specification has it");
#define MULTIBOOT_HEADER_SHORT 12       /* without the address fields */

/* 3.3 "Boot information format" */
enum {
    MULTIBOOT_HAS_MEMORY = 1 << 0, MULTIBOOT_HAS_CMDLINE = 1 << 2, MULTIBOOT_HAS_MODULES = 1 << 3,
    MULTIBOOT_HAS_MMAP = 1 << 6, MULTIBOOT_HAS_LOADER_NAME = 1 << 9,
};

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name, apm_table;
};
_Static_assert(sizeof(struct multiboot_info) == 72, "as the specification has it");

struct multiboot_module {
    uint32_t mod_start, mod_end, string, reserved;
};

struct multiboot_mmap_entry {
    uint32_t size;                      /* of what follows */
    uint64_t base_addr, length;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct multiboot_mmap_entry) == 24, "as the specification has it");

/* Our boot pages: high in conventional memory, out of the way of kernels with a part below 1 MiB. */
#define MULTIBOOT_BOOT_GPA 0x9d000u
enum { MULTIBOOT_PAGE_INFO, MULTIBOOT_PAGE_CMDLINE, MULTIBOOT_BOOT_PAGES };

#endif
