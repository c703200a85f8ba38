/*
 * The switch under arbitrary frames on arbitrary ports, while ports open, close and pause. Each step takes a byte for what
 * happens, one for the port, one for the time that passes, one for the frame's size, and the frame.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/switch.h"
#include "net/switch_addresses.h"
#include "net/switch_table.h"

#define STEP 4
#define AGEING 300

enum { OPEN_HOST, OPEN_WIRE, CLOSE, STOP, GO, FRAMES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct switch_table table;
static uint8_t macs[SWITCH_PORTS_MAX][6];
static struct switch_addresses known;

static void frame(uint32_t port, const uint8_t *bytes, uint32_t size, uint64_t now)
{
    struct switch_decision d = switch_table_decide(&table, port, bytes, size, now);

    if (!d.ports == !d.drop)
        abort();                                            /* it goes somewhere, or there is a reason */
    if (d.ports & 1ULL << port)
        abort();                                            /* never back */
    if (d.ports && table.ports[port].kind == SWITCH_PORT_HOST && memcmp(bytes + 6, macs[port], 6))
        abort();                                            /* as itself only */
    for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++) {
        if (!(d.ports & 1ULL << i))
            continue;
        if (!table.ports[i].forwarding || !table.ports[i].kind)
            abort();
        if (table.ports[i].kind == SWITCH_PORT_HOST && !(bytes[0] & 1) && memcmp(bytes, macs[i], 6))
            abort();                                        /* a unicast frame for somebody else */
    }
    if (d.ports) {
        switch_addresses_learn(&known, bytes + 6, bytes, size);
        switch_addresses_contest(&known, macs[port], bytes, size);
    }
    if (known.count > SWITCH_PORT_ADDRESSES_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t now = 0;

    switch_table_init(&table, AGEING);
    memset(&known, 0, sizeof(known));
    while (size >= STEP) {
        uint32_t port = data[1] % SWITCH_PORTS_MAX, length = data[3];
        uint8_t what = data[0] % (FRAMES + 3);
        bool exists = table.ports[port].kind != SWITCH_PORT_NONE;

        now += data[2];
        data += STEP;
        size -= STEP;
        if (length > size)
            length = (uint32_t)size;
        if (what == OPEN_WIRE || (what == OPEN_HOST && length >= 6)) {
            port = switch_table_add(&table, what == OPEN_WIRE ? SWITCH_PORT_WIRE : SWITCH_PORT_HOST, data);
            if (port != SWITCH_NO_PORT && length >= 6)
                memcpy(macs[port], data, 6);
        } else if (what == CLOSE && exists) {
            switch_table_remove(&table, port);
        } else if ((what == STOP || what == GO) && exists) {
            switch_table_set_forwarding(&table, port, what == GO);
        } else if (what >= FRAMES) {
            uint8_t *copy = malloc(length ? length : 1);    /* its end is watched */

            memcpy(copy, data, length);
            frame(port, copy, length, now);
            free(copy);
        }
        data += length;
        size -= length;
    }
    return 0;
}
