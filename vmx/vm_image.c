/* The list of a machine's parts: one table for what each vCPU has, the platform's own list, clock and console. */
#include "vmx/vm_image.h"

#include <stdlib.h>
#include "kernel/lib/util.h"

static const struct field console_fields[] = { FIELD(struct state_console, position, 0) };
static const struct section console_section = { .name = "console", .version = 1, .fields = console_fields,
                                         .field_count = ARRAY_SIZE(console_fields),
                                         .struct_size = sizeof(struct state_console) };

static const struct { const struct section *section; size_t offset; } vcpu_parts[] = {
    { &gpr_section, offsetof(struct vcpu_image, state.gpr) },
    { &segments_section, offsetof(struct vcpu_image, state.segments) },
    { &control_section, offsetof(struct vcpu_image, state.control) },
    { &debug_section, offsetof(struct vcpu_image, state.debug) },
    { &msr_section, offsetof(struct vcpu_image, state.msr) },
    { &xsave_section, offsetof(struct vcpu_image, state.xsave) },
    { &mtrr_section, offsetof(struct vcpu_image, state.mtrr) },
    { &events_section, offsetof(struct vcpu_image, state.events) },
    { &lapic_section, offsetof(struct vcpu_image, lapic) },
};
_Static_assert(ARRAY_SIZE(vcpu_parts) == VCPU_PARTS, "vm_image.h");
_Static_assert(VM_IMAGE_PARTS_MAX <= STATE_PARTS_MAX, "state_codec.h");

struct vm_image *vm_image_new(uint32_t vcpus)
{
    struct vm_image *image = calloc(1, sizeof *image + vcpus * sizeof image->vcpus[0]);
    if (image)
        image->vcpu_count = vcpus;
    return image;
}

static uint32_t add_platform(struct vm_image *image, const struct guest_config *config, struct state_part *out)
{
    struct platform_part parts[PLATFORM_PARTS_MAX];
    uint32_t count = platform_parts(&image->platform, config, parts);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct state_part){ .section = parts[i].section, .object = parts[i].object, .instance = parts[i].instance };
    return count;
}

uint32_t vm_image_parts(struct vm_image *image, const struct guest_config *config, bool ended,
                        struct state_part out[VM_IMAGE_PARTS_MAX])
{
    uint32_t count = 0;
    out[count++] = (struct state_part){ .section = &console_section, .object = &image->console };
    if (ended) {
        state_parts_number(out, count);
        return count;
    }
    out[count++] = (struct state_part){ .section = &clock_section, .object = &image->clock };
    for (uint32_t v = 0; v < image->vcpu_count; v++)
        for (uint32_t i = 0; i < ARRAY_SIZE(vcpu_parts); i++)
            out[count++] = (struct state_part){ .section = vcpu_parts[i].section, .instance = v,
                                                .object = (char *)&image->vcpus[v] + vcpu_parts[i].offset };
    count += add_platform(image, config, out + count);
    state_parts_number(out, count);
    return count;
}

uint32_t state_kinds(const struct state_part *parts, uint32_t count, struct state_kind out[STATE_KINDS_MAX])
{
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = parts[i].kind - 1;
        if (k >= STATE_KINDS_MAX)
            continue;
        if (k == kinds)
            out[kinds++] = (struct state_kind){ parts[i].section->name, parts[i].section->version, 0 };
        out[k].instances++;
    }
    return kinds;
}
