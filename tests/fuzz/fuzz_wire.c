/*
 * The stream decoder on arbitrary bytes, as a peer could send them. The CRC would keep a fuzzer out, so that it is computed
 * for each record here: what is tested is everything behind it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "net/teleport/messages.h"
#include "net/teleport/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t message[MESSAGE_WIRE_MAX], again[MESSAGE_WIRE_MAX];
    char why[TEXT_MAX];

    for (uint32_t sequence = 0; size >= RECORD_HEADER_SIZE; sequence++) {
        uint8_t header[RECORD_HEADER_SIZE];
        struct record_header h;
        memcpy(header, data, sizeof header);
        wire_put_u32(header + 8, sequence);
        if (record_header_get(header, sequence, &h, why, sizeof why))
            break;
        data += RECORD_HEADER_SIZE;
        size -= RECORD_HEADER_SIZE;
        if (h.length > size)
            break;
        uint32_t crc = crc32c_update(0, data, h.length);
        record_header_put(header, h.type, h.length, sequence, crc);
        if (record_check(header, crc, why, sizeof why))
            abort();
        if (message_section(h.type) && !message_decode(h.type, message, data, h.length, why, sizeof why)) {
            /* What was accepted, and is written again, is what came; a HELLO of another version may end elsewhere. */
            uint32_t length = message_encode(h.type, message, again);
            size_t known = section_wire_size(message_section(h.type));
            if ((length != h.length && h.type != RECORD_HELLO) || memcmp(again, data, known < h.length ? known : h.length))
                abort();
        }
        data += h.length;
        size -= h.length;
    }
    return 0;
}
