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
    static uint8_t bytes[FAKE_STATE_MAX], again[FAKE_STATE_MAX];
    char why[160] = "";
    require(first && second);
    uint32_t count = vm_image_parts(first, &config, false, parts);
    require(vm_image_parts(second, &config, false, parts2) == count);
    if (fake_state_read(parts, count, data, size, why, sizeof why) == OK) {
        size_t used = fake_state_write(parts, count, bytes);
        require(used > 0);
        require(fake_state_read(parts2, count, bytes, used, why, sizeof why) == OK);
        require(fake_state_write(parts2, count, again) == used);
        require(memcmp(bytes, again, used) == 0);
    } else {
        require(why[0] != 0);
    }
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size)
        decode_anything(data[0], data + 1, size - 1);
    return 0;
}
