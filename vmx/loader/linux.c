/*
 * Linux kernels (bzImage) by the 64-bit boot protocol: where kernel and initrd go, and whether they fit. (What the
 * kernel then finds in memory: linux_pages.c; in its registers: vmx/start_state.c.)
 *
 * Every kernel is loaded where it prefers to be, relocatable or not: below that address it would only move itself
 * there, and above it memory would be lost.
 */
#include <inttypes.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/loader/linux_boot.h"
#include "vmx/loader/loader.h"

bool linux_recognise(const struct loader *l)
{
    return l->size >= SETUP_MAGIC + sizeof(uint32_t) && loader_u16(l, SETUP_BOOT_FLAG) == SETUP_BOOT_FLAG_VALUE &&
           loader_u32(l, SETUP_MAGIC) == SETUP_MAGIC_VALUE;
}

static uint64_t setup_bytes(const struct loader *l)
{
    uint8_t sectors = l->image[SETUP_SECTS];

    return ((sectors ? sectors : SETUP_SECTS_OLD) + 1u) * SETUP_SECTOR; /* with the boot sector */
}

static enum err check_header(const struct loader *l)
{
    uint16_t version;

    if (l->size < SETUP_END_LEAST || l->size <= setup_bytes(l))
        return REFUSE(l, ERR_INVALID, "%" PRIu64 " bytes of a Linux kernel, not even its setup code: the file is truncated",
                      l->size);
    version = loader_u16(l, SETUP_VERSION);
    if (version < SETUP_VERSION_LEAST)
        return REFUSE(l, ERR_UNSUPPORTED, "this Linux kernel speaks boot protocol %u.%02u, and a 64-bit entry came with"
                      " 2.12", version >> 8, version & 0xffu);
    if (!(loader_u16(l, SETUP_XLOADFLAGS) & XLF_KERNEL_64))
        return REFUSE(l, ERR_UNSUPPORTED, "this Linux kernel has no 64-bit entry (XLF_KERNEL_64 is clear)");
    if (!(l->image[SETUP_LOADFLAGS] & SETUP_LOADED_HIGH))
        return REFUSE(l, ERR_UNSUPPORTED, "this Linux kernel wants to be loaded below 1 MiB (a zImage)");
    return OK;
}

static enum err check_cmdline(const struct loader *l)
{
    /* Our page holds the line and its NUL. */
    uint32_t room = MIN(loader_u32(l, SETUP_CMDLINE_SIZE), IMAGE_BOOT_PAGE_SIZE - 1u);
    size_t length = strlen(l->request->cmdline);

    if (length > room)
        return REFUSE(l, ERR_RANGE, "the command line is too long: %zu characters, and this kernel takes %" PRIu32,
                      length, room);
    return OK;
}

/* Where its protected-mode part goes, and how much memory it wants there until it has read the memory map. */
static enum err place_kernel(const struct loader *l, struct image_plan *plan)
{
    uint64_t setup = setup_bytes(l), size = l->size - setup;
    uint64_t address = loader_u64(l, SETUP_PREF_ADDRESS), needed = MAX(loader_u32(l, SETUP_INIT_SIZE), size);

    if (address < FIRMWARE_END)
        return REFUSE(l, ERR_INVALID, "this Linux kernel prefers 0x%" PRIx64 ", which is below 1 MiB", address);
    if (!loader_inside(address, needed, l->memory))
        return REFUSE(l, ERR_RANGE, "the memory is too small: this kernel needs %" PRIu64 " MiB from %" PRIu64
                      " MiB on, and the guest has %" PRIu64 " MiB", DIV_ROUND_UP(needed, MIB), address / MIB,
                      l->request->memory_bytes / MIB);
    plan->segments[plan->segment_count++] = (struct image_segment){ address, setup, size, needed, FROM_IMAGE };
    plan->entry = address + LINUX_ENTRY_64;
    return OK;
}

/* As high as the kernel allows: what it unpacks first lies low. */
static enum err place_initrd(const struct loader *l, struct image_plan *plan)
{
    const struct image_segment *kernel = &plan->segments[0];
    uint64_t size = l->request->initrd_size, kernel_end = kernel->gpa + kernel->memory_size;
    uint64_t limit = MIN(l->memory, (uint64_t)loader_u32(l, SETUP_INITRD_ADDR_MAX) + 1), start;

    if (size == 0)
        return OK;
    if (size > l->request->memory_bytes)
        return REFUSE(l, ERR_RANGE, "the initrd (%" PRIu64 " MiB) is larger than the guest's memory (%" PRIu64 " MiB)",
                      DIV_ROUND_UP(size, MIB), l->request->memory_bytes / MIB);
    start = size <= limit ? ALIGN_DOWN(limit - size, PAGE_SIZE) : 0;
    if (start < kernel_end)
        return REFUSE(l, ERR_RANGE, "the memory is too small: the kernel takes it up to %" PRIu64 " MiB, and the initrd's %"
                      PRIu64 " MiB do not fit between there and %" PRIu64 " MiB", DIV_ROUND_UP(kernel_end, MIB),
                      DIV_ROUND_UP(size, MIB), limit / MIB);
    plan->segments[plan->segment_count++] = (struct image_segment){ start, 0, size, size, FROM_INITRD };
    return OK;
}

enum err linux_plan(const struct loader *l, struct image_plan *plan)
{
    enum err e = check_header(l);

    plan->start = START_LINUX64;
    plan->boot = (struct image_boot_pages){ LINUX_BOOT_GPA, LINUX_BOOT_PAGES };
    if (e == OK)
        e = check_cmdline(l);
    if (e == OK)
        e = place_kernel(l, plan);
    if (e == OK)
        e = place_initrd(l, plan);
    return e == OK ? loader_check_entry(l, plan) : e;
}
