/*
 * Any bytes as a machine's whole state; the first says of which machine. No crash; what is refused is explained; what is
 * accepted encodes to something that is accepted again and equal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fakes/machine_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void decode_anything(uint8_t shape, const uint8_t *data, size_t size)
{
    const struct guest_config config = machine_shape(shape);
    struct vm_image *first = fake_machine_blank(config.vcpus), *second = fake_machine_blank(config.vcpus);
    static struct state_part parts[VM_IMAGE_PARTS_MAX], parts2[VM_IMAGE_PARTS_MAX];
    char why[160] = "";
    size_t used;
    require(first && second);
    uint32_t count = vm_image_parts(first, &config, false, parts);
    require(vm_image_parts(second, &config, false, parts2) == count);
    if (state_parts_decode(parts, count, data, size, why, sizeof why) != OK) {
        require(why[0] != 0);
        goto out;
    }
    size_t whole = state_parts_size(parts, count);
    uint8_t *bytes = malloc(whole), *again = malloc(whole);
    require(bytes && again);
    require(state_parts_encode(parts, count, bytes, whole, &used) == OK);
    require(state_parts_decode(parts2, count, bytes, used, why, sizeof why) == OK);
    require(state_parts_encode(parts2, count, again, whole, &used) == OK);
    require(memcmp(bytes, again, used) == 0);
    free(bytes);
    free(again);
out:
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size)
        decode_anything(data[0], data + 1, size - 1);
    return 0;
}
