/*
 * See load.h. Guest memory and disk are all zero before: only what differs from zero is written.
 */
#include "vmx/load.h"

#include <stdlib.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "vmx/acpi/guest_acpi.h"

struct image_request vm_image_request(const struct guest_config *config, const struct vm_files *files)
{
    return (struct image_request){
        .image = files->image.bytes,
        .image_size = files->image.size,
        .initrd = files->initrd.bytes,
        .initrd_size = files->initrd.size,
        .name = config->image,
        .cmdline = config->cmdline,
        .memory_bytes = config->memory_bytes,
    };
}

/* Bytes between two yields: a large initrd must not hold the CPU from the network and from other guests. */
#define LOAD_PIECE (64 * KIB)

static enum err load_segment(struct vm *vm, const struct image_segment *s, const struct image_request *request)
{
    const uint8_t *bytes = (s->source == FROM_INITRD ? request->initrd : request->image) + s->file_offset;
    enum err e = OK;

    for (uint64_t at = 0; e == OK && at < s->file_size; at += LOAD_PIECE) {
        e = guest_memory_write(&vm->memory, (struct gpa){ s->gpa + at }, bytes + at,
                               MIN(s->file_size - at, (uint64_t)LOAD_PIECE));
        thread_yield();
    }
    return e;
}

static enum err load_disk(struct vm *vm, const struct vm_file *disk)
{
    const uint8_t *bytes = disk->bytes;
    enum err e = OK;

    for (uint64_t at = 0; e == OK && at < disk->size; at += LOAD_PIECE) {
        e = guest_memory_disk_write(&vm->memory, at, bytes + at, MIN(disk->size - at, (uint64_t)LOAD_PIECE));
        thread_yield();
    }
    return e;
}

static enum err load_boot_pages(struct vm *vm, const struct image_plan *plan, const struct image_request *request)
{
    uint8_t *page = malloc(IMAGE_BOOT_PAGE_SIZE);
    enum err e = page ? OK : ERR_NO_MEMORY;

    for (uint32_t i = 0; e == OK && i < plan->boot.count; i++) {
        image_boot_page(plan, request, i, page);
        e = guest_memory_write(&vm->memory, (struct gpa){ plan->boot.gpa + i * PAGE_SIZE }, page, IMAGE_BOOT_PAGE_SIZE);
    }
    free(page);
    return e;
}

static enum err load_acpi_tables(struct vm *vm)
{
    uint8_t *tables = malloc(GUEST_ACPI_SIZE);
    size_t size = tables ? guest_acpi_build(tables, GUEST_ACPI_SIZE, GUEST_ACPI_BASE, vm->config.vcpus) : 0;
    enum err e = size ? guest_memory_write(&vm->memory, (struct gpa){ GUEST_ACPI_BASE }, tables, size) : ERR_NO_MEMORY;

    free(tables);
    return e;
}

enum err vm_load(struct vm *vm, const struct image_plan *plan, const struct image_request *request,
                 const struct vm_file *disk)
{
    struct image_request with_tables = *request;
    enum err e = OK;

    for (uint32_t i = 0; e == OK && i < plan->segment_count; i++)
        e = load_segment(vm, &plan->segments[i], request);
    /* Teaching images look for no tables, and have all of their memory to themselves (guests/ABI.md). */
    if (e == OK && plan->start != START_REAL) {
        with_tables.rsdp = GUEST_ACPI_BASE;
        e = load_acpi_tables(vm);
    }
    if (e == OK)
        e = load_boot_pages(vm, plan, &with_tables);
    return e ? e : load_disk(vm, disk);
}
