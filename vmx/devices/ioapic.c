/*
 * The 82093AA. One function (`service`) decides whether a level-triggered pin sends, after everything that can change
 * the answer: line, mask, remote IRR.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/ioapic.h"

/* 82093AA, table 2 "I/O APIC Memory Mapped Registers" and 3.2 "IOAPIC Registers" */
#define IOREGSEL 0x00
#define IOWIN 0x10
#define IOAPICID 0x00
#define IOAPICVER 0x01
#define IOAPICARB 0x02
#define IOREDTBL 0x10
#define IOREDTBL_END (IOREDTBL + 2 * IOAPIC_PINS)
#define SELECT_MASK 0xffu
#define ID_SHIFT 24
#define ID_MAX 0xfu
#define VERSION_VALUE (0x11u | (IOAPIC_PINS - 1) << 16)

/* 3.2.4 "IOREDTBL[23:0]" */
#define ENTRY_VECTOR(entry) ((uint8_t)(entry))
#define ENTRY_DELIVERY_MODE(entry) ((uint8_t)((entry) >> 8 & 7))
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_DELIVERY_STATUS BIT(12)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION(entry) ((uint8_t)((entry) >> 56))
#define ENTRY_READ_ONLY (ENTRY_DELIVERY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_KEPT 0xff0000000001efffULL /* all but the reserved bits and the delivery status, which is never pending */
#define DESTINATION_BROADCAST 0xffu

void ioapic_reset(struct ioapic *ioapic, uint8_t id)
{
    memset(ioapic, 0, sizeof *ioapic);
    ioapic->id = id & ID_MAX;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->redirection[pin] = ENTRY_MASKED;
}

/* Only fixed and lowest-priority interrupts get an EOI; the other modes are edge-triggered whatever the bit says. */
static bool is_level(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) && ENTRY_DELIVERY_MODE(entry) <= DELIVERY_LOWEST_PRIORITY;
}

static void send(uint64_t entry, const struct ioapic_output *output)
{
    uint8_t destination = ENTRY_DESTINATION(entry);
    struct apic_message message = {
        .destination = destination == DESTINATION_BROADCAST ? APIC_DESTINATION_BROADCAST : destination,
        .logical = (entry & ENTRY_LOGICAL) != 0,
        .delivery_mode = ENTRY_DELIVERY_MODE(entry),
        .vector = ENTRY_VECTOR(entry),
        .level = is_level(entry),
        .assert = true,
    };
    output->send(output->context, &message);
}

static void service(struct ioapic *ioapic, unsigned pin, const struct ioapic_output *output)
{
    uint64_t *entry = &ioapic->redirection[pin];
    if (!is_level(*entry) || !(ioapic->lines >> pin & 1) || (*entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
        return;
    *entry |= ENTRY_REMOTE_IRR; /* before the message: its EOI may be on the way when send returns */
    send(*entry, output);
}

void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted, const struct ioapic_output *output)
{
    if (pin >= IOAPIC_PINS)
        return;
    uint64_t entry = ioapic->redirection[pin];
    bool rises = asserted && !(ioapic->lines >> pin & 1);
    ioapic->lines = asserted ? ioapic->lines | 1u << pin : ioapic->lines & ~(1u << pin);
    if (is_level(entry))
        service(ioapic, pin, output);
    else if (rises && !(entry & ENTRY_MASKED))
        send(entry, output);
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector, const struct ioapic_output *output)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->redirection[pin];
        if (!(*entry & ENTRY_REMOTE_IRR) || ENTRY_VECTOR(*entry) != vector)
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        service(ioapic, pin, output);
    }
}

/*
 * Remote IRR is the hardware's; it has a meaning for level-triggered entries only, and software without another way
 * clears it by a turn to edge and back.
 */
static void write_entry(struct ioapic *ioapic, unsigned pin, uint64_t value, const struct ioapic_output *output)
{
    uint64_t *entry = &ioapic->redirection[pin];
    *entry = (value & ENTRY_KEPT & ~ENTRY_READ_ONLY) | (*entry & ENTRY_REMOTE_IRR);
    if (!is_level(*entry))
        *entry &= ~ENTRY_REMOTE_IRR;
    service(ioapic, pin, output);
}

static void write_window(struct ioapic *ioapic, uint32_t value, const struct ioapic_output *output)
{
    uint32_t select = ioapic->select;
    if (select == IOAPICID) {
        ioapic->id = value >> ID_SHIFT & ID_MAX;
    } else if (select >= IOREDTBL && select < IOREDTBL_END) {
        unsigned pin = (select - IOREDTBL) / 2;
        uint64_t entry = ioapic->redirection[pin];
        if (select % 2)
            entry = (uint32_t)entry | (uint64_t)value << 32;
        else
            entry = (entry & ~(uint64_t)UINT32_MAX) | value;
        write_entry(ioapic, pin, entry, output);
    }
}

static uint32_t read_window(const struct ioapic *ioapic)
{
    uint32_t select = ioapic->select;
    if (select == IOAPICID || select == IOAPICARB)
        return ioapic->id << ID_SHIFT;
    if (select == IOAPICVER)
        return VERSION_VALUE;
    if (select >= IOREDTBL && select < IOREDTBL_END)
        return (uint32_t)(ioapic->redirection[(select - IOREDTBL) / 2] >> (select % 2 * 32));
    return 0;
}

uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t offset)
{
    if (offset == IOREGSEL)
        return ioapic->select;
    return offset == IOWIN ? read_window(ioapic) : 0;
}

void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value, const struct ioapic_output *output)
{
    if (offset == IOREGSEL)
        ioapic->select = value & SELECT_MASK;
    else if (offset == IOWIN)
        write_window(ioapic, value, output);
}

/* ---- state ---- */

static enum err ioapic_check(const void *decoded, char *why, size_t why_size)
{
    const struct ioapic *ioapic = decoded;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = ioapic->redirection[pin];
        if ((entry & ~ENTRY_KEPT) || ((entry & ENTRY_REMOTE_IRR) && !is_level(entry))) {
            snprintf(why, why_size, "section ioapic, field redirection[%u]: 0x%" PRIx64 " is no entry that can be", pin,
                     entry);
            return ERR_INVALID;
        }
    }
    return OK;
}

static const struct field ioapic_fields[] = {
    FIELD_ARRAY(struct ioapic, redirection, 0),
    FIELD(struct ioapic, select, SELECT_MASK),
    FIELD(struct ioapic, id, ID_MAX),
    FIELD(struct ioapic, lines, (1u << IOAPIC_PINS) - 1),
};

const struct section ioapic_section = {
    .name = "ioapic",
    .version = 1,
    .fields = ioapic_fields,
    .field_count = ARRAY_SIZE(ioapic_fields),
    .struct_size = sizeof(struct ioapic),
    .check = ioapic_check,
};
