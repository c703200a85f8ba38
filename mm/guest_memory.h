/*
 * A guest's memory: its RAM, and the disk that lives in RAM and travels with it; all in 2 MiB pages, all zero before
 * the guest sees it.
 *
 * **Where RAM lies**: [0, 3 GiB) and, what is beyond, from 4 GiB on; the GiB between belongs to devices.
 *
 * **Frame indexes**: all that a teleport moves has a dense index, 0 .. guest_memory_frames() - 1: first the RAM (low,
 * then high), then the disk. struct gfn is such an index wherever frames are counted, sent or marked; without RAM
 * beyond 3 GiB it is the guest's own frame number.
 *
 * **No write is lost**: the CPU's writes are in the EPT's D bits; writes by the hypervisor and by virtual devices go
 * through guest_memory_write() and guest_memory_disk_write(), which copy first and then mark the frame in `written`
 * by an atomic OR. So they may come from any CPU at any time: a harvest either sees the mark, and the content that is
 * read after it holds what was copied; or it does not, and the next one does. guest_memory_harvest() joins both.
 */
#ifndef TELEPOD_GUEST_MEMORY_H
#define TELEPOD_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/bitmap.h"
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "mm/ept.h"

#define GUEST_LOW_RAM_END (3 * GIB)             /* what lies beyond in RAM ... */
#define GUEST_HIGH_RAM_BASE (4 * GIB)           /* ... begins here for the guest */

struct guest_memory {
    uint64_t size;              /* bytes of RAM, a multiple of 2 MiB */
    uint64_t disk_size;         /* bytes of the disk, a multiple of 2 MiB; 0: no disk */
    struct hpa *large_pages;    /* in the order of the indexes; owned */
    uint64_t large_page_count;  /* that are taken */
    struct ept ept;             /* maps the RAM; the disk is reached by a device only */
    struct bitmap written;      /* a bit a frame: written by us or a device since the last harvest; atomic */
    bool tracking;
};

/*
 * All of it or nothing; yields meanwhile. ERR_NO_MEMORY says in the log how many MiB are missing. ERR_INVALID: no RAM, or a
 * size that is no multiple of 2 MiB or too large.
 */
enum err guest_memory_create(struct guest_memory *memory, uint64_t ram_bytes, uint64_t disk_bytes);
void guest_memory_destroy(struct guest_memory *memory);
/* MiB that a new guest of these sizes would lack now; 0: it fits. Counts the disk and the tables too. */
uint64_t guest_memory_missing_mib(uint64_t ram_bytes, uint64_t disk_bytes);

/* Frames that a teleport moves: RAM, then disk. */
static inline uint64_t guest_memory_frames(const struct guest_memory *m) { return (m->size + m->disk_size) >> PAGE_SHIFT; }
static inline uint64_t guest_memory_ram_frames(const struct guest_memory *m) { return m->size >> PAGE_SHIFT; }
/* Bytes of RAM below 3 GiB, and from 4 GiB on. */
static inline uint64_t guest_memory_low_bytes(uint64_t ram) { return ram < GUEST_LOW_RAM_END ? ram : GUEST_LOW_RAM_END; }
static inline uint64_t guest_memory_high_bytes(uint64_t ram) { return ram - guest_memory_low_bytes(ram); }

/* Is all of [gpa, gpa + size) RAM? */
bool guest_memory_contains(const struct guest_memory *memory, struct gpa gpa, uint64_t size);
/* The frame's bytes in the direct map, for reading; the index must be < guest_memory_frames(). */
const void *guest_memory_frame(const struct guest_memory *memory, struct gfn index);
/* RAM's bytes in the direct map, for reading; NULL: not all RAM, or not all in one 2 MiB page. Good as long as the memory. */
const void *guest_memory_at(const struct guest_memory *memory, struct gpa gpa, size_t size);
/*
 * Bounds-checked copies from and to RAM; they may cross frames. ERR_RANGE: nothing was copied. Write marks the frames
 * as written. Any CPU.
 */
enum err guest_memory_read(const struct guest_memory *memory, struct gpa gpa, void *out, size_t size);
enum err guest_memory_write(struct guest_memory *memory, struct gpa gpa, const void *data, size_t size);
/*
 * A 16-bit word of RAM in one access, so that a vCPU never sees, or shows, one half of it: for the indices of rings. An odd
 * address is ERR_RANGE too.
 */
enum err guest_memory_load16(const struct guest_memory *memory, struct gpa gpa, uint16_t *value);
enum err guest_memory_store16(struct guest_memory *memory, struct gpa gpa, uint16_t value);
/*
 * An aligned word of 4 or 8 bytes becomes `new` if it is `old`, in one step: for paging-structure entries. False: it is
 * another, or not RAM.
 */
bool guest_memory_exchange(struct guest_memory *memory, struct gpa gpa, uint64_t old, uint64_t new, size_t size);
/* As read and write, for the disk; offset in bytes from its beginning. */
enum err guest_memory_disk_read(const struct guest_memory *memory, uint64_t offset, void *out, size_t size);
enum err guest_memory_disk_write(struct guest_memory *memory, uint64_t offset, const void *data, size_t size);
/* A whole frame arrives from a teleport; not marked as written. NULL data: zeros. ERR_RANGE. */
enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn index, const void *data);

/*
 * Dirty tracking. start: splits the EPT and forgets what was written before (the first round sends everything
 * anyway). harvest: ORs all frames written since the last harvest (or start) into `out` (a bit an index) and
 * forgets them. stop: merges the EPT. The vCPUs must be out of guest mode for each, and INVEPT done before
 * they enter again (also when start failed): the caller sees to both (vmx does). Devices may write meanwhile.
 * ERR_NO_MEMORY: not tracking, nothing else changed.
 */
enum err guest_memory_track_start(struct guest_memory *memory);
void guest_memory_harvest(struct guest_memory *memory, struct bitmap *out);
void guest_memory_track_stop(struct guest_memory *memory);

#endif
