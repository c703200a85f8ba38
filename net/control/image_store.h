/*
 * The files that guests are made of, by name: those of the boot volume, and those that the operator has uploaded.
 *
 *   - A file is seen by others when all of its bytes are here, and never changes afterwards.
 *   - One that is not finished, or removed, leaves nothing behind. One that is removed while somebody uses it cannot be found
 *     any more, and goes when the last user lets go of it.
 *   - A file that does not fit is refused with figures, before a byte of it comes. Some memory is left to the pod itself.
 *
 * For threads of the network's CPU only.
 */
#ifndef TELEPOD_IMAGE_STORE_H
#define TELEPOD_IMAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/err.h"

#define IMAGES_UPLOADED_MAX 64
#define IMAGES_MAX (BOOT_FILES_MAX + IMAGES_UPLOADED_MAX)
#define IMAGE_WHY_MAX 160

enum image_state { IMAGE_FREE = 0, IMAGE_ARRIVING, IMAGE_READY, IMAGE_REMOVED /* and still in use */ };

struct image {
    char name[FILE_NAME_MAX];
    enum image_state state;
    uint8_t *bytes;             /* all of it in a row */
    uint64_t size;              /* bytes */
    uint32_t users;
    bool uploaded;
    uint32_t block_count;       /* 0: `bytes` is a piece of the heap, or the loader's */
    struct hpa *blocks;         /* of 2 MiB, mapped at `bytes` */
};

/* Takes over what the loader has read. Once, at boot. */
void image_store_init(const struct boot_info *info);

/* The file, with one more user until image_release; NULL: there is none. */
struct image *image_take(const char *name);
void image_release(struct image *image);   /* NULL is fine */

/*
 * Room for a file that will come: `size` bytes to be filled at image->bytes, and then image_publish or image_discard.
 * ERR_EXISTS, ERR_NO_MEMORY: the sentence is in `why`.
 */
enum err image_create(struct image **out, const char *name, uint64_t size, char why[IMAGE_WHY_MAX]);
void image_publish(struct image *image);
void image_discard(struct image *image);

/* ERR_NOT_FOUND; ERR_BUSY: it is still arriving. *kept: somebody uses it, and its memory comes back later. */
enum err image_remove(const char *name, bool *kept);

/* 0 .. IMAGES_MAX - 1; NULL: nothing in that place. For lists. */
const struct image *image_by_index(uint32_t index);

#endif
