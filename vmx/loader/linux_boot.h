/*
 * Linux's boot protocol, as far as a 64-bit boot needs it (Linux, Documentation/arch/x86/boot.rst and zero-page.rst).
 * Offsets in a bzImage are the same in boot_params: the setup header is copied from the one to the other.
 */
#ifndef TELEPOD_LINUX_BOOT_H
#define TELEPOD_LINUX_BOOT_H

#include <stdint.h>

/* "The Real-Mode Kernel Header": offset in the file, its size in the comment. */
enum {
    SETUP_SECTS = 0x1f1,        /* 1; 0 means 4 */
    SETUP_BOOT_FLAG = 0x1fe,    /* 2 */
    SETUP_JUMP = 0x200,         /* 2: its second byte says where the header ends */
    SETUP_MAGIC = 0x202,        /* 4: "HdrS" */
    SETUP_VERSION = 0x206,      /* 2 */
    SETUP_TYPE_OF_LOADER = 0x210, /* 1 */
    SETUP_LOADFLAGS = 0x211,    /* 1 */
    SETUP_RAMDISK_IMAGE = 0x218, /* 4 */
    SETUP_RAMDISK_SIZE = 0x21c, /* 4 */
    SETUP_CMD_LINE_PTR = 0x228, /* 4 */
    SETUP_INITRD_ADDR_MAX = 0x22c, /* 4 */
    SETUP_RELOCATABLE = 0x234,  /* 1 */
    SETUP_XLOADFLAGS = 0x236,   /* 2 */
    SETUP_CMDLINE_SIZE = 0x238, /* 4: without the NUL */
    SETUP_PREF_ADDRESS = 0x258, /* 8 */
    SETUP_INIT_SIZE = 0x260,    /* 4 */
    SETUP_END_LEAST = 0x264,    /* what we read lies before */
};
#define SETUP_BOOT_FLAG_VALUE 0xaa55
#define SETUP_MAGIC_VALUE 0x53726448u   /* "HdrS" */
#define SETUP_SECTOR 512
#define SETUP_SECTS_OLD 4
#define SETUP_VERSION_LEAST 0x20c       /* 2.12: xloadflags */
#define SETUP_LOADED_HIGH 1             /* loadflags: the protected-mode part is loaded at 1 MiB or above */
#define XLF_KERNEL_64 1                 /* xloadflags: there is a 64-bit entry, at ... */
#define LINUX_ENTRY_64 0x200            /* ... the start of the protected-mode part plus this */
#define LOADER_UNDEFINED 0xff           /* type_of_loader: one without a number of its own */

/* boot_params, "The zero page". */
enum {
    PARAMS_ACPI_RSDP = 0x070,   /* 8 */
    PARAMS_E820_ENTRIES = 0x1e8, /* 1 */
    PARAMS_E820_TABLE = 0x2d0,
};
struct linux_e820_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct linux_e820_entry) == 20, "as the zero page has it");

/* Our boot pages, from LINUX_BOOT_GPA on: below the kernel, in memory that Linux knows to be loader data. */
#define LINUX_BOOT_GPA 0x1000u
enum linux_boot_page_number {
    LINUX_PAGE_PARAMS,
    LINUX_PAGE_CMDLINE,
    LINUX_PAGE_GDT,
    LINUX_PAGE_PML4,
    LINUX_PAGE_PDPT,
    LINUX_PAGE_DIRECTORIES,     /* one a GiB: 2 MiB pages */
    LINUX_IDENTITY_GIB = 4,
    LINUX_BOOT_PAGES = LINUX_PAGE_DIRECTORIES + LINUX_IDENTITY_GIB,
};
#define LINUX_BOOT_PAGE_GPA(number) (LINUX_BOOT_GPA + (number) * 4096u)

/* "64-bit BOOT PROTOCOL": __BOOT_CS and __BOOT_DS, flat segments in a GDT of ours. */
#define LINUX_BOOT_CS 0x10
#define LINUX_BOOT_DS 0x18
#define LINUX_GDT_ENTRIES 4

#endif
