/*
 * A guest's RAM: from guest-physical 0, one contiguous range, backed by 2 MiB pages, zero before the guest
 * sees it.
 *
 * **No write is lost**: the CPU's writes are in the EPT's D bits; writes by the hypervisor and by virtual
 * devices go through guest_memory_write(), which marks the page in `written`. guest_memory_harvest() joins
 * both.
 */
#ifndef TELEPOD_GUEST_MEMORY_H
#define TELEPOD_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/bitmap.h"
#include "kernel/lib/err.h"
#include "mm/ept.h"

#define GUEST_MEMORY_MAX (64 * GIB)

struct guest_memory {
    uint64_t size;              /* bytes, a multiple of 2 MiB */
    struct hpa *large_pages;    /* size / 2 MiB of them; owned */
    struct ept ept;
    struct bitmap written;      /* a bit a 4 KiB frame: written by us or a device since the last harvest */
    bool tracking;
};

/*
 * All of it or nothing; yields meanwhile. ERR_NO_MEMORY says in the log how many MiB are missing. ERR_INVALID: size 0 or no 2
 * MiB multiple.
 */
enum err guest_memory_create(struct guest_memory *memory, uint64_t size);
void guest_memory_destroy(struct guest_memory *memory);
/* MiB that a new guest of this size would lack now; 0: it fits. Counts table pages too. */
uint64_t guest_memory_missing_mib(uint64_t size);

static inline uint64_t guest_memory_frames(const struct guest_memory *m) { return m->size >> PAGE_SHIFT; }

/* The frame's bytes in the direct map, for reading; gfn must be < guest_memory_frames(). */
const void *guest_memory_frame(const struct guest_memory *memory, struct gfn gfn);
/*
 * Bounds-checked copies; they may cross frames. ERR_RANGE: nothing was copied. Write marks the frames as
 * written.
 */
enum err guest_memory_read(const struct guest_memory *memory, struct gpa gpa, void *out, size_t size);
enum err guest_memory_write(struct guest_memory *memory, struct gpa gpa, const void *data, size_t size);
/* A whole frame arrives from a teleport; not marked as written. NULL data: zeros. ERR_RANGE. */
enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn gfn, const void *data);

/*
 * Dirty tracking. start: splits the EPT and forgets what was written before (the first round sends everything
 * anyway). harvest: ORs all frames written since the last harvest (or start) into `out` (frames bits) and
 * forgets them. stop: merges the EPT. The vCPUs must be out of guest mode for each, and INVEPT done before
 * they enter again (also when start failed): the caller sees to both (vmx does). ERR_NO_MEMORY: not tracking,
 * nothing else changed.
 */
enum err guest_memory_track_start(struct guest_memory *memory);
void guest_memory_harvest(struct guest_memory *memory, struct bitmap *out);
void guest_memory_track_stop(struct guest_memory *memory);

#endif
