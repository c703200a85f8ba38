/* What the loader asks the firmware for besides files: memory map, ACPI, framebuffer, and to go away. */
#ifndef TELEPOD_BOOT_FIRMWARE_H
#define TELEPOD_BOOT_FIRMWARE_H

#include "boot/boot_info.h"
#include "kernel/lib/err.h"

/* The address of ACPI's RSDP, the one of ACPI 2.0 and later if there is a choice; 0: none. */
uint64_t firmware_find_rsdp(void);
/* The first display with a linear framebuffer of a known pixel format, in its present mode; format NONE:
   there is none. */
void firmware_find_framebuffer(struct boot_framebuffer *out);
/*
 * Fills info->memory with the memory map as it is now. Errors (said): ERR_NO_MEMORY, ERR_INVALID, ERR_RANGE.
 * The first call reserves the memory that firmware_leave() needs.
 */
enum err firmware_read_memory_map(struct boot_info *info);
/*
 * `image`: the loader's own EFI_HANDLE. Ends boot services and fills info->memory with the final map; needs a
 * firmware_read_memory_map() before. After OK no firmware service may be called. ERR_STATE (said): the
 * firmware refused; the machine is in its hands, but only the memory services are sure to work.
 */
enum err firmware_leave(void *image, struct boot_info *info);

#endif
