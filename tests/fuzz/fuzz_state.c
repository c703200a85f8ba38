/*
 * Any bytes as a machine's whole state; the first says of which machine. No crash; what is refused is explained; what is
 * accepted encodes to something that is accepted again and equal. And any paging structures as a guest's: the software
 * walk ends, inside bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "vmx/guest_walk.h"
#include "vmx/vm_image.h"

#define RAM_SIZE 8192
#include "tests/fakes/ram.h"
#include "tests/fakes/machine_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void walk_anything(const uint8_t *data, size_t size)
{
    const struct walk_memory memory = { ram_read, ram_update, NULL };
    struct walk_state state;
    uint64_t linear, gpa;
    uint32_t error_code;
    if (size < sizeof state + sizeof linear)
        return;
    memcpy(&state, data, offsetof(struct walk_state, user));
    state.user = data[offsetof(struct walk_state, user)] & 1;
    memcpy(&linear, data + sizeof state, sizeof linear);
    memset(ram, 0, sizeof ram);
    memcpy(ram, data, size < RAM_SIZE ? size : RAM_SIZE);
    guest_walk(&state, &memory, linear, data[0] & 1, &gpa, &error_code);
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
    walk_anything(data, size);
    return 0;
}
