/*
 * Any bytes as a guest image. The first two bytes give the guest's memory in 64 KiB units (0: 32 MiB), the
 * rest is the file. No crash; what is refused is explained and leaves the plan alone; a plan that is made
 * keeps the promises of image.h, checked by carrying it out.
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
static void carry_out(const struct image_plan *plan, uint64_t file_size, uint64_t memory)
{
    static uint8_t taken[MEMORY_MAX];
    uint32_t hits = 0;

    for (uint32_t i = 0; i < plan->segment_count; i++) {
        const struct image_segment *s = &plan->segments[i];

        require(s->file_size <= s->memory_size && s->file_offset <= file_size &&
                s->file_size <= file_size - s->file_offset);
        require(s->gpa <= memory && s->memory_size <= memory - s->gpa);
        require(s->gpa + s->memory_size <= GUEST_CMDLINE_PAGE || s->gpa >= GUEST_CMDLINE_PAGE + PAGE_SIZE);
        require(memchr(&taken[s->gpa], 1, s->memory_size) == NULL);
        memset(&taken[s->gpa], 1, s->memory_size);
        hits += plan->entry >= s->gpa && plan->entry < s->gpa + s->memory_size;
    }
    require(hits == 1);
    for (uint32_t i = 0; i < plan->segment_count; i++)
        memset(&taken[plan->segments[i].gpa], 0, plan->segments[i].memory_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_plan plan, untouched;
    char why[160] = "";
    uint64_t memory;

    if (size < 2)
        return 0;
    memory = (data[0] | (uint64_t)data[1] << 8) * MEMORY_UNIT % (MEMORY_MAX + 1);
    if (memory == 0)
        memory = MEMORY_MAX;
    memset(&plan, FILLER, sizeof(plan));
    untouched = plan;
    if (image_plan_make(&plan, data + 2, size - 2, memory, why, sizeof(why)) != OK) {
        require(why[0] != '\0' && memchr(why, 0, sizeof(why)) != NULL);
        require(memcmp(&plan, &untouched, sizeof(plan)) == 0);
        return 0;
    }
    require(plan.segment_count >= 1 && plan.segment_count <= IMAGE_SEGMENTS_MAX && plan.entry < MIB);
    carry_out(&plan, size - 2, memory);
    return 0;
}
