/* Departures: see departure.h. */
#include "net/control/departure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "net/control/handlers.h"
#include "net/teleport/teleport.h"
#include "vmx/vm.h"

#define DEPARTURES_MAX (2 * CONTROL_SESSIONS_MAX)   /* so one is always without readers */

static struct departure departures[DEPARTURES_MAX];
static struct attachment *attachments[CONTROL_SESSIONS_MAX];
static uint64_t last_number;

enum err attachment_begin(struct attachment *attachment, uint64_t vm_id)
{
    for (uint32_t i = 0; i < CONTROL_SESSIONS_MAX; i++) {
        if (attachments[i])
            continue;
        *attachment = (struct attachment){ .vm_id = vm_id };
        attachments[i] = attachment;
        return OK;
    }
    return ERR_BUSY;
}

void attachment_end(struct attachment *attachment)
{
    struct departure *departure = attachment->departure;

    for (uint32_t i = 0; i < CONTROL_SESSIONS_MAX; i++)
        if (attachments[i] == attachment)
            attachments[i] = NULL;
    if (departure && --departure->readers == 0) {
        free(departure->console);
        departure->console = NULL;
    }
}

/* The place of the oldest departure that nobody reads. */
static struct departure *find_place(void)
{
    struct departure *best = NULL;

    for (uint32_t i = 0; i < DEPARTURES_MAX; i++) {
        struct departure *d = &departures[i];

        if (!d->readers && (!best || d->number < best->number))
            best = d;
    }
    return best;
}

static uint32_t adopt_attachments(struct departure *departure)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < CONTROL_SESSIONS_MAX; i++) {
        if (!attachments[i] || attachments[i]->vm_id != departure->vm_id)
            continue;
        attachments[i]->departure = departure;
        count++;
    }
    return count;
}

/* Keeps what the machine's ring holds. Without memory for it, its readers are told how much they have missed. */
static void keep_console(struct departure *departure, const struct vm *vm)
{
    uint64_t kept = MIN(vm->console_position - vm->console_start, (uint64_t)VM_CONSOLE_RING);

    departure->console = malloc(VM_CONSOLE_RING);
    if (!departure->console)
        return;
    departure->console_start = departure->console_position - kept;
    memcpy(departure->console, vm->console, VM_CONSOLE_RING);
}

static void note(const struct vm *vm, const struct teleport_departure *to)
{
    struct departure *departure = find_place();

    if (!departure)
        return;
    *departure = (struct departure){ .vm_id = vm->id, .address = to->address, .control_port = to->control_port,
                                     .console_start = vm->console_position, .console_position = vm->console_position,
                                     .number = ++last_number };
    memcpy(departure->mac, vm->config.mac, sizeof(departure->mac));
    snprintf(departure->guest, sizeof(departure->guest), "%s", vm->name);
    snprintf(departure->pod, sizeof(departure->pod), "%s", to->pod);
    departure->readers = adopt_attachments(departure);
    if (departure->readers)
        keep_console(departure, vm);
}

void departure_init(void)
{
    teleport_on_departure(note);
}

size_t departure_read(const struct departure *departure, uint64_t *position, char *buffer, size_t size)
{
    uint64_t end = departure->console_position;
    uint64_t from = *position < departure->console_start || *position > end ? departure->console_start : *position;
    size_t count = departure->console ? MIN(size, end - from) : 0;

    for (size_t i = 0; i < count; i++)
        buffer[i] = departure->console[(from + i) % VM_CONSOLE_RING];
    *position = from + count;
    return count;
}

const struct departure *departure_find(const char *guest)
{
    const struct departure *last = NULL;

    for (uint32_t i = 0; i < DEPARTURES_MAX; i++) {
        const struct departure *d = &departures[i];

        if (d->vm_id && strcmp(d->guest, guest) == 0 && (!last || d->number > last->number))
            last = d;
    }
    return last;
}

bool departure_has_mac(const uint8_t mac[GUEST_MAC_BYTES])
{
    for (uint32_t i = 0; i < DEPARTURES_MAX; i++)
        if (departures[i].vm_id && memcmp(departures[i].mac, mac, GUEST_MAC_BYTES) == 0)
            return true;
    return false;
}

void departure_to_json(const struct departure *departure, struct json *json, const char *key)
{
    char address[CONTROL_ADDRESS_MAX];

    json_object_begin(json, key);
    json_string(json, "pod", departure->pod);
    json_string(json, "address", control_format_address(departure->address, address));
    json_u64(json, "control_port", departure->control_port);
    json_object_end(json);
}
