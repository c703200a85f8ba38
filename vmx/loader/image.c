/*
 * Makes the plan by which a guest image gets into guest memory: finds out what kind of file it is, and holds every
 * kind to the rules of image.h. Every number of the file is compared with what bounds it before it is used, in a form
 * that cannot overflow; whatever is wrong ends in one sentence, and nothing is half done.
 */
#include <inttypes.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/loader/loader.h"
#include "vmx/loader/memory_map.h"

#define TEACHING_CMDLINE_MAX (GUEST_MEMORY_SIZE_GPA - GUEST_CMDLINE_GPA - 1)

bool loader_inside(uint64_t start, uint64_t size, uint64_t limit)
{
    return start <= limit && size <= limit - start;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

uint16_t loader_u16(const struct loader *l, uint64_t offset)
{
    uint16_t value;

    memcpy(&value, l->image + offset, sizeof(value)); /* the image may lie at any address */
    return value;
}

uint32_t loader_u32(const struct loader *l, uint64_t offset)
{
    uint32_t value;

    memcpy(&value, l->image + offset, sizeof(value));
    return value;
}

uint64_t loader_u64(const struct loader *l, uint64_t offset)
{
    uint64_t value;

    memcpy(&value, l->image + offset, sizeof(value));
    return value;
}

/* ---- the rules for segments, of every kind of image ---- */

/* What belongs to the pod and not to the image. */
static enum err check_pods_own(const struct loader *l, const struct image_plan *plan, uint32_t number,
                               const struct image_segment *s)
{
    uint64_t last = s->gpa + s->memory_size - 1;

    if (overlap(s->gpa, s->memory_size, plan->boot.gpa, plan->boot.count * PAGE_SIZE))
        return plan->start == START_REAL
            ? REFUSE(l, ERR_RANGE, "segment %" PRIu32 " (0x%" PRIx64 " to 0x%" PRIx64
                     ") touches the command line's page at 0x%x", number, s->gpa, last, GUEST_CMDLINE_PAGE)
            : REFUSE(l, ERR_RANGE, "segment %" PRIu32 " (0x%" PRIx64 " to 0x%" PRIx64
                     ") touches the boot information at 0x%" PRIx64, number, s->gpa, last, plan->boot.gpa);
    if (plan->start != START_REAL &&
        overlap(s->gpa, s->memory_size, LOW_MEMORY_END, FIRMWARE_END - LOW_MEMORY_END))
        return REFUSE(l, ERR_RANGE, "segment %" PRIu32 " (0x%" PRIx64 " to 0x%" PRIx64
                      ") touches the firmware's area from 0x%x to 0x%x", number, s->gpa, last, LOW_MEMORY_END,
                      FIRMWARE_END - 1);
    return OK;
}

enum err loader_check_segment(const struct loader *l, const struct image_plan *plan, uint32_t number,
                              const struct image_segment *s)
{
    if (!loader_inside(s->file_offset, s->file_size, l->size))
        return REFUSE(l, ERR_INVALID, "segment %" PRIu32 " takes 0x%" PRIx64 " bytes at 0x%" PRIx64
                      " of a file that has only 0x%" PRIx64 ": the file is truncated",
                      number, s->file_size, s->file_offset, l->size);
    if (s->file_size > s->memory_size)
        return REFUSE(l, ERR_INVALID,
                      "segment %" PRIu32 " has 0x%" PRIx64 " bytes in the file, but only 0x%" PRIx64
                      " in memory",
                      number, s->file_size, s->memory_size);
    if (s->memory_size > UINT64_MAX - s->gpa)
        return REFUSE(l, ERR_RANGE, "segment %" PRIu32 " at 0x%" PRIx64 " with 0x%" PRIx64
                      " bytes reaches beyond the last address", number, s->gpa, s->memory_size);
    if (!loader_inside(s->gpa, s->memory_size, l->memory))
        return REFUSE(l, ERR_RANGE,
                      "segment %" PRIu32 " reaches 0x%" PRIx64 ", beyond the guest's %" PRIu64 " MiB", number,
                      s->gpa + s->memory_size, l->memory / MIB);
    return check_pods_own(l, plan, number, s);
}

/* numbers[i] is the program header that plan->segments[i] comes from. */
enum err loader_check_overlaps(const struct loader *l, const struct image_plan *plan, const uint32_t *numbers)
{
    for (uint32_t i = 0; i < plan->segment_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct image_segment *a = &plan->segments[j], *b = &plan->segments[i];

            if (overlap(a->gpa, a->memory_size, b->gpa, b->memory_size))
                return REFUSE(l, ERR_INVALID, "segments %" PRIu32 " and %" PRIu32 " overlap at 0x%" PRIx64,
                              numbers[j], numbers[i], MAX(a->gpa, b->gpa));
        }
    return OK;
}

enum err loader_check_entry(const struct loader *l, const struct image_plan *plan)
{
    for (uint32_t i = 0; i < plan->segment_count; i++)
        if (plan->segments[i].source == FROM_IMAGE &&
            overlap(plan->entry, 1, plan->segments[i].gpa, plan->segments[i].memory_size))
            return OK;
    return REFUSE(l, ERR_INVALID, "the entry 0x%" PRIx64 " is in no segment", plan->entry);
}

/* ---- flat ---- */

static const struct { const char *magic, *what; } not_flat[] = {
    { "MZ", "a DOS, Windows or EFI program" },
    { "\x1f\x8b", "gzip-compressed" },
    { "\xfd" "7zXZ", "xz-compressed" },
    { "\x28\xb5\x2f\xfd", "zstd-compressed" },
    { "\x02\x21\x4c\x18", "lz4-compressed" },
    { "070701", "a cpio archive" },
    { "!<arch>", "an archive of object files or a Debian package" },
    { "BC\xc0\xde", "LLVM bitcode" },
    { "#!", "a script" },
};

static enum err flat_plan(const struct loader *l, struct image_plan *plan)
{
    for (size_t i = 0; i < ARRAY_SIZE(not_flat); i++) {
        size_t length = strlen(not_flat[i].magic);

        if (l->size >= length && memcmp(l->image, not_flat[i].magic, length) == 0)
            return REFUSE(l, ERR_UNSUPPORTED,
                          "this file is %s: not a Linux kernel, a Multiboot kernel, an ELF64 executable or a flat image",
                          not_flat[i].what);
    }
    if (l->size > IMAGE_FLAT_END - IMAGE_FLAT_BASE)
        return REFUSE(l, ERR_RANGE, "unknown image: a flat one of 0x%" PRIx64 " bytes at 0x%x reaches beyond 0x%x, and"
                      " it is not a Linux kernel, a Multiboot kernel or an ELF64 executable",
                      l->size, IMAGE_FLAT_BASE, IMAGE_FLAT_END);
    plan->entry = IMAGE_FLAT_BASE;
    plan->segments[0] = (struct image_segment){ IMAGE_FLAT_BASE, 0, l->size, l->size, FROM_IMAGE };
    plan->segment_count = 1;
    return loader_check_segment(l, plan, 0, &plan->segments[0]);
}

/* ---- the kinds ---- */

static bool always(const struct loader *l)
{
    (void)l;
    return true;
}

/* In the order of asking: a Multiboot kernel is an ELF file too, and anything may be flat. */
static const struct {
    bool (*recognise)(const struct loader *l);
    enum err (*plan)(const struct loader *l, struct image_plan *plan);
    bool is_kernel;             /* takes an initrd, and has a command line of its own size */
} kinds[] = {
    { linux_recognise, linux_plan, true },
    { multiboot_recognise, multiboot_plan, true },
    { elf_recognise, elf_plan, false },
    { always, flat_plan, false },
};

static enum err plan_any(const struct loader *l, struct image_plan *plan)
{
    uint32_t kind = 0;

    while (!kinds[kind].recognise(l))
        kind++;
    if (l->request->initrd_size > 0 && !kinds[kind].is_kernel)
        return REFUSE(l, ERR_UNSUPPORTED, "an initrd goes with a Linux or a Multiboot kernel, and this image is neither");
    if (!kinds[kind].is_kernel && strlen(l->request->cmdline) > TEACHING_CMDLINE_MAX)
        return REFUSE(l, ERR_RANGE, "the command line is too long: %zu characters, and this image takes %d",
                      strlen(l->request->cmdline), TEACHING_CMDLINE_MAX);
    return kinds[kind].plan(l, plan);
}

enum err image_plan_make(struct image_plan *plan, const struct image_request *request, char *why, size_t why_size)
{
    struct loader loader = { request, request->image, request->image_size, MIN(request->memory_bytes, MEMORY_LOW_END),
                             why, why_size };
    struct image_plan made = { .start = START_REAL, .boot = { GUEST_CMDLINE_PAGE, 1 } };
    enum err e;

    if (request->image_size == 0)
        return REFUSE(&loader, ERR_INVALID, "the file is empty");
    e = plan_any(&loader, &made);
    if (e == OK)
        *plan = made;
    return e;
}

/* ---- boot pages ---- */

/* guests/ABI.md */
static void teaching_boot_page(const struct image_request *request, uint8_t *page)
{
    memcpy(page, request->cmdline, strnlen(request->cmdline, TEACHING_CMDLINE_MAX));
    memcpy(page + GUEST_MEMORY_SIZE_GPA - GUEST_CMDLINE_PAGE, &request->memory_bytes, sizeof(request->memory_bytes));
}

void image_boot_page(const struct image_plan *plan, const struct image_request *request, uint32_t number,
                     uint8_t page[IMAGE_BOOT_PAGE_SIZE])
{
    memset(page, 0, IMAGE_BOOT_PAGE_SIZE);
    switch (plan->start) {
    case START_REAL:
        teaching_boot_page(request, page);
        break;
    case START_LINUX64:
        linux_boot_page(plan, request, number, page);
        break;
    case START_MULTIBOOT:
        multiboot_boot_page(plan, request, number, page);
        break;
    }
}
