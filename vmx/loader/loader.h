/* What the readers of the different kinds of images share: the request, the sentence, and the rules of every plan. */
#ifndef TELEPOD_LOADER_H
#define TELEPOD_LOADER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "vmx/loader/image.h"

#define LOW_MEMORY_END 0xa0000u         /* the end of a PC's conventional memory */
#define FIRMWARE_END 0x100000u          /* from there up to here: firmware tables (vmx/loader/memory_map.h) */

/* A request being decoded: the file, its kind's word in sentences, and the place for the sentence. */
struct loader {
    const struct image_request *request;
    const uint8_t *image;
    uint64_t size;
    uint64_t memory;                    /* the RAM below the PCI window, into which images are loaded */
    char *why;
    size_t why_size;
};

#define REFUSE(loader, error, ...) (snprintf((loader)->why, (loader)->why_size, __VA_ARGS__), (error))

/* Whether [start, start + size) lies in [0, limit). */
bool loader_inside(uint64_t start, uint64_t size, uint64_t limit);
/* The rules of image.h for one segment; plan->boot must be set. `number` is for the sentence. */
enum err loader_check_segment(const struct loader *l, const struct image_plan *plan, uint32_t number,
                              const struct image_segment *s);
enum err loader_check_overlaps(const struct loader *l, const struct image_plan *plan, const uint32_t *numbers);
/* Whether the plan's entry lies in one of its segments. */
enum err loader_check_entry(const struct loader *l, const struct image_plan *plan);
/* A word of the file, little-endian; the caller has checked that it lies inside. */
uint16_t loader_u16(const struct loader *l, uint64_t offset);
uint32_t loader_u32(const struct loader *l, uint64_t offset);
uint64_t loader_u64(const struct loader *l, uint64_t offset);

/* The kinds. Each `recognise` only looks; each `plan` decodes. */
bool linux_recognise(const struct loader *l);
enum err linux_plan(const struct loader *l, struct image_plan *plan);
void linux_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number, uint8_t *page);

bool multiboot_recognise(const struct loader *l);
enum err multiboot_plan(const struct loader *l, struct image_plan *plan);
void multiboot_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number,
                         uint8_t *page);

bool elf_recognise(const struct loader *l);
enum err elf_plan(const struct loader *l, struct image_plan *plan);             /* a teaching image: ELF64 */
/* The PT_LOAD segments of an ELF32 or ELF64 executable, and its entry as a physical address. */
enum err elf_add_segments(const struct loader *l, struct image_plan *plan, uint8_t class_wanted);

#endif
