/*
 * Any bytes as a machine's whole state. No crash; what is refused is explained; what is accepted encodes to something that is
 * accepted again and equal. And any paging structures as a guest's: the software walk ends, inside bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "vmx/guest_walk.h"
#include "vmx/state_codec.h"

#define RAM_SIZE 8192
#include "tests/fakes/ram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void walk_anything(const uint8_t *data, size_t size)
{
    const struct walk_memory memory = { ram_read, ram_write, NULL };
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

static void decode_anything(const uint8_t *data, size_t size)
{
    static struct vm_image first, second;
    char why[160] = "";
    size_t used;
    if (vm_image_decode(&first, data, size, why, sizeof why) != OK) {
        require(why[0] != 0);
        return;
    }
    uint8_t *bytes = malloc(vm_image_size()), *again = malloc(vm_image_size());
    require(bytes && again);
    require(vm_image_encode(&first, bytes, vm_image_size(), &used) == OK);
    require(vm_image_decode(&second, bytes, used, why, sizeof why) == OK);
    require(vm_image_encode(&second, again, vm_image_size(), &used) == OK);
    require(memcmp(bytes, again, used) == 0);
    free(bytes);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode_anything(data, size);
    walk_anything(data, size);
    return 0;
}
