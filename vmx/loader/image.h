/*
 * Guest images. The parsers are pure and believe nothing: decode (may fail, changes nothing) gives a plan of copies
 * and of pages to make, which the caller then carries out in guest memory.
 *
 * The kind is found in the file's bytes: a Linux kernel (bzImage), a Multiboot-1 kernel, an ELF64 executable, or a
 * flat image. A file that starts with ELF's magic is never taken for a flat image, and neither are a few kinds of
 * file (PE, gzip) that nobody can mean to start at their first byte.
 *
 * **A plan that was made** has no segment beyond the guest's low RAM or its file, no two segments that share a byte,
 * none that touches the boot pages (or, but for teaching images, the firmware's area below 1 MiB), and an entry
 * inside a segment; for START_REAL below 1 MiB.
 */
#ifndef TELEPOD_IMAGE_H
#define TELEPOD_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define IMAGE_SEGMENTS_MAX 16
#define IMAGE_FLAT_BASE 0x8000      /* where a flat image lies and starts */
#define IMAGE_FLAT_END 0xa0000      /* a flat image ends below: the end of a PC's conventional memory */
#define GUEST_CMDLINE_PAGE 0x7000   /* teaching images: this page belongs to the pod: command line, memory size */
#define GUEST_CMDLINE_GPA 0x7000    /* NUL-terminated, see guests/ABI.md */
#define GUEST_MEMORY_SIZE_GPA 0x7100 /* 64-bit RAM size in bytes */

/* What the operator gave. The bytes are the caller's, and must stay until the plan has been carried out. */
struct image_request {
    const void *image;
    uint64_t image_size;
    const void *initrd;      /* Linux: initrd; Multiboot: the one module; NULL: none */
    uint64_t initrd_size;
    const char *name;        /* of the image; the first word of a Multiboot command line */
    const char *cmdline;
    uint64_t memory_bytes;   /* RAM of the guest */
    uint64_t rsdp;           /* guest-physical address of ACPI's RSDP for Linux; 0: none (image_boot_page only) */
};

/* How the first vCPU starts, and what it then finds in its registers. */
enum image_start {
    START_REAL,              /* guests/ABI.md: real mode, CS:IP = entry */
    START_LINUX64,           /* Linux's 64-bit boot protocol: 64-bit mode, RSI = boot_params */
    START_MULTIBOOT,         /* Multiboot 0.6.96, 3.2 "Machine state": protected mode, EBX = information */
};

enum image_source { FROM_IMAGE, FROM_INITRD };

struct image_segment {
    uint64_t gpa;            /* destination */
    uint64_t file_offset;
    uint64_t file_size;      /* bytes copied; the rest up to memory_size stays zero */
    uint64_t memory_size;
    enum image_source source;
};

/* Pages that no file holds, made by image_boot_page: command line, boot parameters, page tables ... */
struct image_boot_pages {
    uint64_t gpa;
    uint32_t count;
};

struct image_plan {
    enum image_start start;
    uint64_t entry;
    uint32_t segment_count;
    struct image_segment segments[IMAGE_SEGMENTS_MAX];
    struct image_boot_pages boot;
};

/*
 * `why` gets a sentence that says what and where, e.g. "segment 2 reaches 0x2400000, beyond the guest's 32
 * MiB" (segments are numbered as the file's program headers are). ERR_INVALID, ERR_RANGE (something lies where it
 * must not, or does not fit), ERR_UNSUPPORTED.
 */
enum err image_plan_make(struct image_plan *plan, const struct image_request *request, char *why, size_t why_size);

#define IMAGE_BOOT_PAGE_SIZE 4096
/* Boot page number 0 .. plan->boot.count - 1, of a plan that was made from this request. */
void image_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number,
                     uint8_t page[IMAGE_BOOT_PAGE_SIZE]);

struct vcpu_state;
/* The first vCPU's registers as the plan's boot protocol wants them. */
void image_start_state(const struct image_plan *plan, struct vcpu_state *state);

#endif
