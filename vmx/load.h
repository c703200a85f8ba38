/* Carries out the plan of a guest image: copies, boot pages and, for guests that look for them, ACPI's tables. */
#ifndef TELEPOD_LOAD_H
#define TELEPOD_LOAD_H

#include "vmx/loader/image.h"
#include "vmx/vm.h"

/*
 * What the configuration and the operator's files ask for; the strings and bytes stay theirs. config->memory_bytes of
 * RAM is what the plan is made for.
 */
struct image_request vm_image_request(const struct guest_config *config, const struct vm_files *files);
/*
 * Into the memory, and onto the disk, of a machine that has not run yet. The request is the one that the plan was made
 * from. ERR_RANGE: the disk is smaller than its file.
 */
enum err vm_load(struct vm *vm, const struct image_plan *plan, const struct image_request *request,
                 const struct vm_file *disk);

#endif
