/*
 * Any bytes as a guest image. The first two bytes give the guest's memory in 64 KiB units (0: 32 MiB), the next one
 * the size of an initrd in pages, the rest is the file. No crash; what is refused is explained and leaves the plan alone;
 * a plan that is made keeps the promises of image.h, checked by carrying it out, boot pages and all.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "vmx/loader/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_UNIT (64 * KIB)
#define MEMORY_MAX (32 * MIB)
#define FILLER 0x5a

static void require(int promise)
{
    if (!promise)
        abort();
}

/* Marks each byte of the plan once: in memory, in no other segment, not the pod's. */
static void carry_out(const struct image_plan *plan, const struct image_request *request)
{
    static uint8_t taken[MEMORY_MAX];
    uint32_t hits = 0;

    memset(&taken[plan->boot.gpa], 1, plan->boot.count * PAGE_SIZE);
    for (uint32_t i = 0; i < plan->segment_count; i++) {
        const struct image_segment *s = &plan->segments[i];
        uint64_t size = s->source == FROM_INITRD ? request->initrd_size : request->image_size;

        require(s->file_size <= s->memory_size && s->file_offset <= size && s->file_size <= size - s->file_offset);
        require(s->gpa <= request->memory_bytes && s->memory_size <= request->memory_bytes - s->gpa);
        require(memchr(&taken[s->gpa], 1, s->memory_size) == NULL);
        memset(&taken[s->gpa], 1, s->memory_size);
        hits += s->source == FROM_IMAGE && plan->entry >= s->gpa && plan->entry < s->gpa + s->memory_size;
    }
    require(hits == 1);
    for (uint32_t i = 0; i < plan->segment_count; i++)
        memset(&taken[plan->segments[i].gpa], 0, plan->segments[i].memory_size);
    memset(&taken[plan->boot.gpa], 0, plan->boot.count * PAGE_SIZE);
}

static void make_boot_pages(const struct image_plan *plan, const struct image_request *request)
{
    uint8_t page[IMAGE_BOOT_PAGE_SIZE];

    for (uint32_t i = 0; i < plan->boot.count; i++)
        image_boot_page(plan, request, i, page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t initrd[UINT8_MAX * PAGE_SIZE];
    struct image_plan plan, untouched;
    struct image_request request = { .initrd = initrd, .name = "image", .cmdline = "console=ttyS0" };
    char why[200] = "";

    if (size < 3)
        return 0;
    request.memory_bytes = (data[0] | (uint64_t)data[1] << 8) * MEMORY_UNIT % (MEMORY_MAX + 1);
    if (request.memory_bytes == 0)
        request.memory_bytes = MEMORY_MAX;
    request.initrd_size = data[2] * PAGE_SIZE;
    request.image = data + 3;
    request.image_size = size - 3;
    memset(&plan, FILLER, sizeof(plan));
    untouched = plan;
    if (image_plan_make(&plan, &request, why, sizeof(why)) != OK) {
        require(why[0] != '\0' && memchr(why, 0, sizeof(why)) != NULL);
        require(memcmp(&plan, &untouched, sizeof(plan)) == 0);
        return 0;
    }
    require(plan.segment_count >= 1 && plan.segment_count <= IMAGE_SEGMENTS_MAX);
    require(plan.start != START_REAL || plan.entry < MIB);
    carry_out(&plan, &request);
    make_boot_pages(&plan, &request);
    return 0;
}
