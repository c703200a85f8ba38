/*
 * Multiboot-1 kernels: ELF32 or ELF64 executables, or files whose header gives the addresses itself. The initrd of the
 * configuration is the one module. The header and the file are checked as all images are; nothing is believed.
 */
#include <inttypes.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/loader/elf32.h"
#include "vmx/loader/loader.h"
#include "vmx/loader/memory_map.h"
#include "vmx/loader/multiboot.h"

#define LOADER_NAME "Telepod"

/* ---- the header ---- */

/* Its offset in the file, or UINT64_MAX. */
static uint64_t find_header(const struct loader *l)
{
    uint64_t end = MIN(l->size, (uint64_t)MULTIBOOT_SEARCH);

    for (uint64_t at = 0; at + MULTIBOOT_HEADER_SHORT <= end; at += sizeof(uint32_t))
        if (loader_u32(l, at) == MULTIBOOT_HEADER_MAGIC &&
            MULTIBOOT_HEADER_MAGIC + loader_u32(l, at + 4) + loader_u32(l, at + 8) == 0)
            return at;
    return UINT64_MAX;
}

bool multiboot_recognise(const struct loader *l)
{
    return find_header(l) != UINT64_MAX;
}

/* 3.1.3 "The address fields of Multiboot header" */
static enum err plan_by_header(const struct loader *l, struct image_plan *plan, uint64_t at)
{
    struct multiboot_header h;
    uint64_t offset, end, bss_end;

    if (!loader_inside(at, sizeof(h), l->size))
        return REFUSE(l, ERR_INVALID, "the Multiboot header's address fields are missing: the file is truncated");
    memcpy(&h, l->image + at, sizeof(h));
    if (h.load_addr > h.header_addr || h.header_addr - h.load_addr > at)
        return REFUSE(l, ERR_INVALID, "the Multiboot header at 0x%" PRIx64 " of the file says that it is loaded at 0x%" PRIx32
                      ", and the file's start at 0x%" PRIx32, at, h.header_addr, h.load_addr);
    offset = at - (h.header_addr - h.load_addr);
    end = h.load_end_addr ? h.load_end_addr : h.load_addr + (l->size - offset);
    bss_end = MAX((uint64_t)h.bss_end_addr, end);
    if (end <= h.load_addr)
        return REFUSE(l, ERR_INVALID, "the Multiboot header loads from 0x%" PRIx32 " to 0x%" PRIx64 ": nothing",
                      h.load_addr, end);
    plan->entry = h.entry_addr;
    plan->segments[0] =
        (struct image_segment){ h.load_addr, offset, end - h.load_addr, bss_end - h.load_addr, FROM_IMAGE };
    plan->segment_count = 1;
    return loader_check_segment(l, plan, 0, &plan->segments[0]);
}

static enum err place_module(const struct loader *l, struct image_plan *plan)
{
    uint64_t size = l->request->initrd_size, start = FIRMWARE_END;

    if (size == 0)
        return OK;
    if (size > l->request->memory_bytes)
        return REFUSE(l, ERR_RANGE, "the initrd (%" PRIu64 " MiB) is larger than the guest's memory (%" PRIu64 " MiB)",
                      DIV_ROUND_UP(size, MIB), l->request->memory_bytes / MIB);
    for (uint32_t i = 0; i < plan->segment_count; i++)
        start = MAX(start, ALIGN_UP(plan->segments[i].gpa + plan->segments[i].memory_size, PAGE_SIZE));
    if (!loader_inside(start, size, l->memory) || plan->segment_count == IMAGE_SEGMENTS_MAX)
        return REFUSE(l, ERR_RANGE, "the memory is too small: the kernel takes it up to %" PRIu64
                      " MiB, and the module of %" PRIu64 " MiB does not fit above", DIV_ROUND_UP(start, MIB),
                      DIV_ROUND_UP(size, MIB));
    plan->segments[plan->segment_count++] = (struct image_segment){ start, 0, size, size, FROM_INITRD };
    return OK;
}

enum err multiboot_plan(const struct loader *l, struct image_plan *plan)
{
    uint64_t at = find_header(l);
    uint32_t flags = loader_u32(l, at + offsetof(struct multiboot_header, flags));
    uint32_t unknown = flags & MULTIBOOT_REQUIRED & ~(MULTIBOOT_ALIGN_MODULES | MULTIBOOT_MEMORY_INFO);
    size_t words = strlen(l->request->name) + 1 + strlen(l->request->cmdline);
    enum err e;

    plan->start = START_MULTIBOOT;
    plan->boot = (struct image_boot_pages){ MULTIBOOT_BOOT_GPA, MULTIBOOT_BOOT_PAGES };
    if (unknown)
        return REFUSE(l, ERR_UNSUPPORTED, "this Multiboot kernel requires what flags 0x%" PRIx32 " stand for (a video mode?)",
                      unknown);
    if (words >= IMAGE_BOOT_PAGE_SIZE)
        return REFUSE(l, ERR_RANGE, "the command line is too long: %zu characters, and there is room for %d", words,
                      IMAGE_BOOT_PAGE_SIZE - 1);
    e = flags & MULTIBOOT_ADDRESSES ? plan_by_header(l, plan, at)
        : elf_recognise(l) ? elf_add_segments(l, plan, ELFCLASS32)
        : REFUSE(l, ERR_INVALID, "this Multiboot kernel is no ELF file, and its header gives no addresses");
    if (e == OK)
        e = loader_check_entry(l, plan);
    return e == OK ? place_module(l, plan) : e;
}

/* ---- what the kernel finds ---- */

/* 3.3 "Boot information format"; what the information points to follows it in the same page. */
static void make_info(const struct image_plan *plan, const struct image_request *request, uint8_t *page)
{
    struct {
        struct multiboot_info info;
        struct multiboot_module module;
        struct multiboot_mmap_entry mmap[MEMORY_MAP_MAX];
        char loader_name[sizeof(LOADER_NAME)];
    } __attribute__((packed)) *out = (void *)page;
    struct memory_range ranges[MEMORY_MAP_MAX];
    uint32_t count = memory_map_make(request->memory_bytes, ranges), at = MULTIBOOT_BOOT_GPA;
    uint64_t low = MIN(request->memory_bytes, MEMORY_LOW_END);

    out->info = (struct multiboot_info){
        .flags = MULTIBOOT_HAS_MEMORY | MULTIBOOT_HAS_CMDLINE | MULTIBOOT_HAS_MODULES | MULTIBOOT_HAS_MMAP |
                 MULTIBOOT_HAS_LOADER_NAME,
        .mem_lower = LOW_MEMORY_END / KIB,
        .mem_upper = low > FIRMWARE_END ? (uint32_t)((low - FIRMWARE_END) / KIB) : 0,
        .cmdline = MULTIBOOT_BOOT_GPA + MULTIBOOT_PAGE_CMDLINE * (uint32_t)PAGE_SIZE,
        .mods_addr = at + (uint32_t)offsetof(__typeof__(*out), module),
        .mmap_length = count * (uint32_t)sizeof(struct multiboot_mmap_entry),
        .mmap_addr = at + (uint32_t)offsetof(__typeof__(*out), mmap),
        .boot_loader_name = at + (uint32_t)offsetof(__typeof__(*out), loader_name),
    };
    for (uint32_t i = 0; i < count; i++)
        out->mmap[i] = (struct multiboot_mmap_entry){ sizeof(out->mmap[i]) - sizeof(out->mmap[i].size), ranges[i].start,
                                                      ranges[i].size, ranges[i].type };
    for (uint32_t i = 0; i < plan->segment_count; i++)
        if (plan->segments[i].source == FROM_INITRD) {
            out->info.mods_count = 1;
            out->module.mod_start = (uint32_t)plan->segments[i].gpa;
            out->module.mod_end = (uint32_t)(plan->segments[i].gpa + plan->segments[i].file_size);
        }
    memcpy(out->loader_name, LOADER_NAME, sizeof(LOADER_NAME));
}

void multiboot_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number,
                         uint8_t *page)
{
    if (number == MULTIBOOT_PAGE_INFO)
        make_info(plan, request, page);
    else
        snprintf((char *)page, IMAGE_BOOT_PAGE_SIZE, "%s%s%s", request->name, *request->cmdline ? " " : "",
                 request->cmdline);
}
