/*
 * The one structure that the loader hands to the kernel, and the state of the machine at that moment:
 *   - boot services are gone, interrupts are off, one CPU runs, long mode, CR4.PAE, EFER.NXE set, WP set;
 *   - page tables of the loader map: all RAM (and the first 4 GiB) 1:1 at 0 and again at DIRECT_MAP_BASE, writable, and
 *     the kernel's segments at their linked addresses (KERNEL_BASE and up). They live in LOADER memory;
 *   - the kernel's ELF entry is called as void entry(struct boot_info *info) in the System V ABI, with info in the direct
 *     map and a stack of at least 16 KiB in LOADER memory.
 * Every address in here is host-physical unless it says otherwise.
 */
#ifndef TELEPOD_BOOT_INFO_H
#define TELEPOD_BOOT_INFO_H

#include <stdint.h>
#include "kernel/lib/pod_config.h"

#define BOOT_INFO_MAGIC 0x746f6f42646f5054ULL /* "TPodBoot" */
#define BOOT_INFO_VERSION 2
#define DIRECT_MAP_BASE 0xffff800000000000ULL
#define KERNEL_BASE 0xffffffff80000000ULL
#define BOOT_MEMORY_MAX 256
#define BOOT_FILES_MAX (3 * POD_GUESTS_MAX) /* of each guest: image, initrd, disk */

enum boot_memory_type {
    BOOT_MEMORY_RESERVED = 0, /* firmware, MMIO, holes: never touched as RAM */
    BOOT_MEMORY_USABLE,       /* free RAM (conventional, and what boot services used) */
    BOOT_MEMORY_LOADER,       /* kernel image, boot_info, files, loader's page tables and stack: RAM that is in use */
    BOOT_MEMORY_ACPI,         /* ACPI tables and NVS: mapped read-only, never allocated */
};

/* Sorted by base, not overlapping, adjacent entries of one type merged. */
struct boot_memory {
    uint64_t base;  /* bytes, 4 KiB aligned */
    uint64_t size;  /* bytes, 4 KiB aligned, not 0 */
    uint32_t type;  /* enum boot_memory_type */
    uint32_t reserved;
};

enum boot_pixel_format { BOOT_PIXEL_NONE = 0, BOOT_PIXEL_RGBX, BOOT_PIXEL_BGRX }; /* byte order in memory */

struct boot_framebuffer {
    uint64_t base;
    uint32_t width, height;   /* pixels */
    uint32_t pitch;           /* bytes from row to row */
    uint32_t format;          /* enum boot_pixel_format; NONE: there is no framebuffer */
};

/* A file of \telepod\ on the boot volume, whole in LOADER memory, page aligned. */
struct boot_file {
    char name[FILE_NAME_MAX];
    uint64_t base;
    uint64_t size;  /* bytes */
};

struct boot_info {
    uint64_t magic;
    uint32_t version;
    uint32_t size;              /* sizeof(struct boot_info) */
    uint64_t entry_tsc;         /* RDTSC at the loader's entry */
    uint64_t rsdp;              /* 0: none */
    uint64_t kernel_base;       /* where the kernel's image lies; its virtual KERNEL_BASE page maps here */
    uint64_t kernel_size;       /* bytes from KERNEL_BASE, page aligned, .bss included; physically contiguous */
    struct boot_framebuffer framebuffer;
    uint32_t memory_count;
    uint32_t file_count;
    struct boot_memory memory[BOOT_MEMORY_MAX];
    struct boot_file files[BOOT_FILES_MAX];
    struct pod_config config;
};

#endif
