/* Any bytes as kernel.elf: no crash, and an accepted file can be copied without a check (the sanitizer
   watches). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "boot/boot_info.h"
#include "boot/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image;
    const char *why = NULL;
    uint64_t end = 0, sum = 0;

    if (elf_parse(data, size, &image, &why) != OK) {
        require(why != NULL);
        return 0;
    }
    require(image.entry >= KERNEL_BASE && image.entry - KERNEL_BASE < image.size);
    require(image.size <= ELF_MEMORY_MAX);
    for (uint32_t i = 0; i < image.segment_count; i++) {
        const struct elf_segment *s = &image.segments[i];

        require(s->offset >= end && s->offset + s->memory_size <= image.size);
        require(s->file_size <= s->memory_size);
        end = (s->offset + s->memory_size + 4095) & ~4095ULL;
        for (uint64_t b = 0; b < s->file_size; b++)
            sum += data[s->file_offset + b];
    }
    require(end == image.size && sum <= UINT8_MAX * size * ELF_SEGMENTS_MAX);
    return 0;
}
