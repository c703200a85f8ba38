/* The volume that the loader was started from, and whole files of its folder \telepod\. */
#ifndef TELEPOD_BOOT_VOLUME_H
#define TELEPOD_BOOT_VOLUME_H

#include "boot/boot_info.h"
#include "kernel/lib/err.h"

/* `image`: the loader's own EFI_HANDLE. ERR_NOT_FOUND, with a sentence said, if the loader did not come from
   a file system. */
enum err volume_open(void *image);
/* ... and once it is not needed any more; the files in memory stay. */
void volume_close(void);
/*
 * Reads \telepod\NAME (shorter than FILE_NAME_MAX) into pages of its own, in *out. Errors: *why is a phrase
 * of static storage that says what is wrong, nothing stays allocated. A file without a byte, or with more
 * than `limit`, is an error.
 */
enum err volume_load(const char *name, uint64_t limit, struct boot_file *out, const char **why);

#endif
