/*
 * See load.h. Guest memory and disk are all zero before: only what differs from zero is written.
 */
#include "vmx/load.h"

#include <stdlib.h>
#include "kernel/lib/addr.h"

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

static enum err load_segment(struct vm *vm, const struct image_segment *s, const struct image_request *request)
{
    const uint8_t *bytes = s->source == FROM_INITRD ? request->initrd : request->image;

    return guest_memory_write(&vm->memory, (struct gpa){ s->gpa }, bytes + s->file_offset, s->file_size);
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

enum err vm_load(struct vm *vm, const struct image_plan *plan, const struct image_request *request,
                 const struct vm_file *disk)
{
    enum err e = OK;

    for (uint32_t i = 0; e == OK && i < plan->segment_count; i++)
        e = load_segment(vm, &plan->segments[i], request);
    if (e == OK)
        e = load_boot_pages(vm, plan, request);
    if (e == OK && disk->size > 0)
        e = guest_memory_disk_write(&vm->memory, 0, disk->bytes, disk->size);
    return e;
}
