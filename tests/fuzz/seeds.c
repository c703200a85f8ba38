/*
 * Writes the seeds of fuzz_state into the folder that is named: states that today's decoder accepts, made by today's
 * encoder. `make seeds` after a section of the state has changed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/lib/util.h"
#include "tests/fakes/machine_image.h"

static const struct {
    const char *name;
    struct guest_config config;
} seeds[] = {
    { "one-vcpu", { .vcpus = 1 } },
    { "two-vcpus-all-devices", { .vcpus = 2, .devices = GUEST_DEVICES_ALL } },
};

static int write_seed(const char *folder, const char *name, const struct guest_config *config)
{
    struct state_part parts[VM_IMAGE_PARTS_MAX];
    struct vm_image *image = fake_machine_new(config->vcpus);
    uint32_t count = image ? vm_image_parts(image, config, false, parts) : 0;
    size_t size = state_parts_size(parts, count), used = 0;
    uint8_t *bytes = malloc(1 + size);
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    int good = image && bytes && f && state_parts_encode(parts, count, bytes + 1, size, &used) == OK;
    if (good) {
        bytes[0] = machine_shape_byte(config);
        good = fwrite(bytes, 1, 1 + used, f) == 1 + used;
    }
    if (f && fclose(f))
        good = 0;
    free(bytes);
    free(image);
    if (!good)
        fprintf(stderr, "cannot write %s\n", path);
    return good;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(seeds); i++)
        if (!write_seed(argv[1], seeds[i].name, &seeds[i].config))
            return 1;
    return 0;
}
