/* The image store: see image_store.h. */
#include "net/control/image_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "mm/page.h"
#include "mm/paging.h"

#define LARGE_ORDER 9
#define PAGES_PER_MIB (MIB / PAGE_SIZE)
#define PAGES_PER_BLOCK (LARGE_PAGE_SIZE / PAGE_SIZE)
#define KEPT_FOR_THE_POD (8 * PAGES_PER_MIB)    /* threads, connections and page tables must go on */

static struct image images[IMAGES_MAX];

static struct image *find(const char *name)
{
    for (uint32_t i = 0; i < IMAGES_MAX; i++) {
        bool there = images[i].state == IMAGE_ARRIVING || images[i].state == IMAGE_READY;

        if (there && strcmp(images[i].name, name) == 0)
            return &images[i];
    }
    return NULL;
}

static struct image *find_free(void)
{
    for (uint32_t i = 0; i < IMAGES_MAX; i++)
        if (images[i].state == IMAGE_FREE)
            return &images[i];
    return NULL;
}

void image_store_init(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->file_count; i++) {
        const struct boot_file *file = &info->files[i];

        images[i] = (struct image){ .state = IMAGE_READY, .bytes = hpa_to_virt((struct hpa){ file->base }),
                                    .size = file->size };
        snprintf(images[i].name, sizeof(images[i].name), "%s", file->name);
    }
}

const struct image *image_by_index(uint32_t index)
{
    return index < IMAGES_MAX && images[index].state != IMAGE_FREE ? &images[index] : NULL;
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/* Blocks of 2 MiB that a file of this size gets; small ones live on the heap. */
static uint64_t blocks_for(uint64_t size)
{
    return size < LARGE_PAGE_SIZE ? 0 : size / LARGE_PAGE_SIZE + (size % LARGE_PAGE_SIZE != 0);
}

static enum err check_room(uint64_t size, char why[IMAGE_WHY_MAX])
{
    uint64_t blocks = blocks_for(size), free_pages = page_free_count();
    uint64_t pages = blocks ? blocks * PAGES_PER_BLOCK : (size + PAGE_SIZE - 1) / PAGE_SIZE;

    if (blocks <= page_free_large_count() && pages + KEPT_FOR_THE_POD <= free_pages)
        return OK;
    snprintf(why, IMAGE_WHY_MAX,
             "it takes %llu KiB of memory; this pod has %llu KiB free (%llu blocks of 2 MiB), and keeps %llu KiB for itself",
             (unsigned long long)(pages * PAGE_SIZE / KIB), (unsigned long long)(free_pages * PAGE_SIZE / KIB),
             (unsigned long long)page_free_large_count(), (unsigned long long)(KEPT_FOR_THE_POD * PAGE_SIZE / KIB));
    return ERR_NO_MEMORY;
}

static void free_blocks(struct image *image)
{
    while (image->block_count > 0)
        page_free(image->blocks[--image->block_count], LARGE_ORDER);
    free(image->blocks);
    image->blocks = NULL;
}

static enum err alloc_blocks(struct image *image, uint32_t count)
{
    void *bytes = NULL;
    enum err e = OK;

    image->blocks = calloc(count, sizeof(*image->blocks));
    if (!image->blocks)
        return ERR_NO_MEMORY;
    while (e == OK && image->block_count < count) {
        e = page_alloc(LARGE_ORDER, &image->blocks[image->block_count]);
        image->block_count += e == OK;
    }
    e = e ? e : paging_map_blocks(image->blocks, count, &bytes);
    if (e != OK)
        free_blocks(image);
    image->bytes = bytes;
    return e;
}

static enum err alloc_bytes(struct image *image)
{
    uint64_t blocks = blocks_for(image->size);

    if (blocks)
        return alloc_blocks(image, (uint32_t)blocks);
    image->bytes = malloc(image->size);
    return image->bytes ? OK : ERR_NO_MEMORY;
}

/* Gives back all that the file has, and its place. */
static void free_image(struct image *image)
{
    if (image->block_count) {
        paging_unmap_blocks(image->bytes, image->block_count);
        free_blocks(image);
    } else if (image->uploaded) {
        free(image->bytes);
    } else {
        page_add_range(virt_to_hpa(image->bytes), ALIGN_UP(image->size, PAGE_SIZE));
    }
    *image = (struct image){ .state = IMAGE_FREE };
}

/* ---- what others do ----------------------------------------------------------------------------------------------- */

struct image *image_take(const char *name)
{
    struct image *image = find(name);

    if (!image || image->state != IMAGE_READY)
        return NULL;
    image->users++;
    return image;
}

void image_release(struct image *image)
{
    if (image && --image->users == 0 && image->state == IMAGE_REMOVED)
        free_image(image);
}

enum err image_create(struct image **out, const char *name, uint64_t size, char why[IMAGE_WHY_MAX])
{
    struct image *image = find(name);
    enum err e;

    if (image) {
        snprintf(why, IMAGE_WHY_MAX, image->state == IMAGE_READY ? "there is a file of that name: remove it first"
                                                                 : "a file of that name is being uploaded");
        return ERR_EXISTS;
    }
    e = check_room(size, why);
    if (e != OK)
        return e;
    image = find_free();
    if (!image) {
        snprintf(why, IMAGE_WHY_MAX, "this pod holds %u files, and has no place for more", IMAGES_MAX);
        return ERR_NO_MEMORY;
    }
    *image = (struct image){ .size = size, .uploaded = true };
    e = alloc_bytes(image);
    if (e != OK) {
        snprintf(why, IMAGE_WHY_MAX, "the memory for it has just gone to somebody else");
        *image = (struct image){ .state = IMAGE_FREE };
        return e;
    }
    snprintf(image->name, sizeof(image->name), "%s", name);
    image->state = IMAGE_ARRIVING;
    *out = image;
    return OK;
}

void image_publish(struct image *image)
{
    image->state = IMAGE_READY;
}

void image_discard(struct image *image)
{
    free_image(image);
}

enum err image_remove(const char *name, bool *kept)
{
    struct image *image = find(name);

    if (!image)
        return ERR_NOT_FOUND;
    if (image->state == IMAGE_ARRIVING)
        return ERR_BUSY;
    *kept = image->users > 0;
    image->state = IMAGE_REMOVED;
    if (!*kept)
        free_image(image);
    return OK;
}
