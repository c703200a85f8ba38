/*
 * What Linux finds in memory at its 64-bit entry: boot_params with the setup header, the memory map and where ACPI's
 * tables, command line and initrd are; a GDT with the two segments of the protocol; page tables that map the first
 * 4 GiB to themselves. Pages, so that the caller needs a buffer of one page only.
 */
#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/loader/linux_boot.h"
#include "vmx/loader/loader.h"
#include "vmx/loader/memory_map.h"

/* SDM Vol. 3A, 4.5 "4-Level Paging and 5-Level Paging", Tables 4-15 to 4-18. */
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_PAGE_SIZE BIT(7)
#define ENTRIES_PER_TABLE 512

/* SDM Vol. 3A, 3.4.5 "Segment Descriptors": base 0, limit FFFFFh, G; code with L, data with D/B. Both accessed. */
static const uint64_t gdt[LINUX_GDT_ENTRIES] = {
    [LINUX_BOOT_CS / 8] = 0x00af9b000000ffff,
    [LINUX_BOOT_DS / 8] = 0x00cf93000000ffff,
};

static void put(uint8_t *page, uint32_t offset, const void *value, size_t size)
{
    memcpy(page + offset, value, size);
}

static void put_u32(uint8_t *page, uint32_t offset, uint32_t value)
{
    put(page, offset, &value, sizeof(value));
}

/* From 1F1h to where the jump at 200h says that the header ends (boot.rst, "64-bit BOOT PROTOCOL"). */
static void copy_setup_header(const struct image_request *request, uint8_t *page)
{
    const uint8_t *image = request->image;
    uint32_t end = SETUP_MAGIC + image[SETUP_JUMP + 1];

    if (end > SETUP_SECTS && end <= request->image_size)
        put(page, SETUP_SECTS, image + SETUP_SECTS, end - SETUP_SECTS);
}

static void put_memory_map(const struct image_request *request, uint8_t *page)
{
    struct memory_range ranges[MEMORY_MAP_MAX];
    uint32_t count = memory_map_make(request->memory_bytes, ranges);

    page[PARAMS_E820_ENTRIES] = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        const struct linux_e820_entry entry = { ranges[i].start, ranges[i].size, ranges[i].type };

        put(page, PARAMS_E820_TABLE + i * (uint32_t)sizeof(entry), &entry, sizeof(entry));
    }
}

static void make_params(const struct image_plan *plan, const struct image_request *request, uint8_t *page)
{
    copy_setup_header(request, page);
    page[SETUP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    put_u32(page, SETUP_CMD_LINE_PTR, LINUX_BOOT_PAGE_GPA(LINUX_PAGE_CMDLINE));
    put(page, PARAMS_ACPI_RSDP, &request->rsdp, sizeof(request->rsdp));
    put_memory_map(request, page);
    for (uint32_t i = 0; i < plan->segment_count; i++)
        if (plan->segments[i].source == FROM_INITRD) {
            put_u32(page, SETUP_RAMDISK_IMAGE, (uint32_t)plan->segments[i].gpa); /* below 4 GiB: place_initrd */
            put_u32(page, SETUP_RAMDISK_SIZE, (uint32_t)plan->segments[i].file_size);
        }
}

/* Entry i of a table: the table or the 2 MiB page at first + i * step. */
static void make_table(uint8_t *page, uint32_t entries, uint64_t first, uint64_t step, uint64_t flags)
{
    for (uint32_t i = 0; i < entries; i++) {
        uint64_t entry = (first + i * step) | flags | ENTRY_PRESENT | ENTRY_WRITE;

        put(page, i * (uint32_t)sizeof(entry), &entry, sizeof(entry));
    }
}

void linux_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number, uint8_t *page)
{
    switch (number) {
    case LINUX_PAGE_PARAMS:
        make_params(plan, request, page);
        break;
    case LINUX_PAGE_CMDLINE:
        put(page, 0, request->cmdline, strnlen(request->cmdline, IMAGE_BOOT_PAGE_SIZE - 1));
        break;
    case LINUX_PAGE_GDT:
        put(page, 0, gdt, sizeof(gdt));
        break;
    case LINUX_PAGE_PML4:
        make_table(page, 1, LINUX_BOOT_PAGE_GPA(LINUX_PAGE_PDPT), 0, 0);
        break;
    case LINUX_PAGE_PDPT:
        make_table(page, LINUX_IDENTITY_GIB, LINUX_BOOT_PAGE_GPA(LINUX_PAGE_DIRECTORIES), PAGE_SIZE, 0);
        break;
    default:
        make_table(page, ENTRIES_PER_TABLE, (number - LINUX_PAGE_DIRECTORIES) * GIB, LARGE_PAGE_SIZE, ENTRY_PAGE_SIZE);
        break;
    }
}
