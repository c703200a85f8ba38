/*
 * Writes the seeds of fuzz_state and fuzz_wire below the folder that is named: states and records that today's decoders
 * accept, made by today's encoders. `make seeds` after a section of the state or a message has changed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "tests/fakes/machine_image.h"
#include "tests/fakes/messages.h"

static const char *root;

static void fail(const char *what)
{
    fprintf(stderr, "seeds: %s: cannot be made\n", what);
    exit(1);
}

static void write_seed(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        fail(path);
}

/* What kind of machine, then its state. */
static void write_state(const char *name, const struct guest_config *config)
{
    struct state_part parts[VM_IMAGE_PARTS_MAX];
    struct vm_image *image = fake_machine_new(config->vcpus);
    if (!image)
        fail(name);
    uint32_t count = vm_image_parts(image, config, false, parts);
    static uint8_t bytes[1 + FAKE_STATE_MAX];
    size_t used = fake_state_write(parts, count, bytes + 1);
    if (!used)
        fail(name);
    bytes[0] = machine_shape_byte(config);
    write_seed("state", name, bytes, 1 + used);
    free(image);
}

static void write_record(const char *name, uint16_t type, const uint8_t *payload, uint32_t length)
{
    uint8_t *record = malloc(RECORD_HEADER_SIZE + length);
    if (!record)
        fail(name);
    record_header_put(record, type, length, 0, crc32c_update(0, payload, length));
    memcpy(record + RECORD_HEADER_SIZE, payload, length);
    write_seed("wire", name, record, RECORD_HEADER_SIZE + length);
    free(record);
}

static void write_records(void)
{
    static _Alignas(8) uint8_t message[MESSAGE_WIRE_MAX], payload[MESSAGE_WIRE_MAX];
    static const uint8_t page[PAGE_RECORD_PAYLOAD];
    for (uint16_t type = 0; type < RECORD_TYPE_END; type++) {
        char name[FAKE_MESSAGE_NAME_MAX];
        if (!message_section(type))
            continue;
        fake_message_name(type, name);
        fake_message(type, message);
        write_record(name, type, payload, message_encode(type, message, payload));
    }
    write_record("page", RECORD_PAGE, page, sizeof page);
}

int main(int argc, char **argv)
{
    static const struct guest_config small = { .vcpus = 1 }, large = { .vcpus = 2, .devices = GUEST_DEVICES_ALL };
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    root = argv[1];
    write_state("one-vcpu", &small);
    write_state("two-vcpus-all-devices", &large);
    write_records();
    return 0;
}
