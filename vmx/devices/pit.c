/* The 8254: what a count and an output are at a time, the ports, and when channel 0 interrupts. */
#include "vmx/devices/pit.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"

enum pit_mode { TERMINAL_COUNT, ONE_SHOT, RATE, SQUARE, STROBE, HARDWARE_STROBE };
enum pit_access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

#define PORT_CONTROL 3

/* Control word (data sheet, figure 7) */
#define CONTROL_CHANNEL(v) ((v) >> 6)
#define CONTROL_ACCESS(v) ((v) >> 4 & 3)
#define CONTROL_MODE(v) ((v) >> 1 & 7)
#define CONTROL_BCD 0x01
#define READ_BACK 3             /* instead of a channel */
#define READ_BACK_NO_COUNT 0x20
#define READ_BACK_NO_STATUS 0x10
#define READ_BACK_CHANNEL(v, n) ((v) >> 1 >> (n) & 1)

#define STATUS_OUTPUT 0x80
#define STATUS_NULL_COUNT 0x40
#define STATUS_ACCESS_SHIFT 4
#define STATUS_MODE_SHIFT 1

/* Port 61h */
#define CONTROL_GATE 0x01
#define CONTROL_WRITABLE 0x0f
#define CONTROL_REFRESH 0x10
#define CONTROL_OUTPUT 0x20
#define SPEAKER_CHANNEL 2
#define REFRESH_HZ 66287u       /* the bit toggles each 15.085 microseconds */

void pit_reset(struct pit *pit)
{
    memset(pit, 0, sizeof *pit);
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        pit->channel[i].access = ACCESS_BOTH;
        pit->channel[i].gate = i != SPEAKER_CHANNEL;
    }
    pit->next_edge = MACHINE_TIME_NEVER;
}

/* ---- counting ---- */

static unsigned from_bcd(unsigned v)
{
    return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static unsigned to_bcd(unsigned v)
{
    return (v / 1000 % 10) << 12 | (v / 100 % 10) << 8 | (v / 10 % 10) << 4 | v % 10;
}

/* The number of ticks that `reload` stands for. */
static uint32_t period(const struct pit_channel *c)
{
    uint32_t count = c->bcd ? from_bcd(c->reload) : c->reload;
    return count ? count : c->bcd ? 10000 : 0x10000;
}

static uint64_t elapsed(const struct pit_channel *c, struct machine_time time)
{
    return c->counting ? device_ticks_since(time, c->start, PIT_HZ) : c->held;
}

static bool is_periodic(const struct pit_channel *c)
{
    return c->mode == RATE || c->mode == SQUARE;
}

static bool is_triggered(const struct pit_channel *c)
{
    return c->mode == ONE_SHOT || c->mode == HARDWARE_STROBE;
}

static uint16_t current_count(const struct pit_channel *c, struct machine_time time)
{
    uint32_t n = period(c), wrap = c->bcd ? 10000 : 0x10000, count;
    uint64_t passed = elapsed(c, time);
    if (c->mode == RATE)
        count = n - (uint32_t)(passed % n);
    else if (c->mode == SQUARE)
        count = n - (uint32_t)(2 * passed % n);
    else
        count = (uint32_t)((n + wrap - passed % wrap) % wrap); /* goes on below 0 */
    return (uint16_t)(c->bcd ? to_bcd(count) : count);
}

static bool output(const struct pit_channel *c, struct machine_time time)
{
    uint32_t n = period(c);
    if (!c->loaded)
        return c->mode != TERMINAL_COUNT;
    uint64_t passed = elapsed(c, time);
    switch ((enum pit_mode)c->mode) {
    case TERMINAL_COUNT: return passed >= n;
    case ONE_SHOT: return !c->counting || passed >= n;
    case RATE: return !c->counting || passed % n != n - 1;
    case SQUARE: return !c->counting || passed % n < (n + 1) / 2;
    case STROBE:
    case HARDWARE_STROBE: return !c->counting || passed != n;
    }
    return true;
}

/* The first rise of the output after time.now. Counting starts at a rise in the periodic modes: that one is no edge. */
static uint64_t next_rise(const struct pit_channel *c, struct machine_time time)
{
    uint64_t passed = elapsed(c, time), n = period(c), rise;
    if (!c->loaded || !c->counting)
        return MACHINE_TIME_NEVER;
    if (is_periodic(c))
        rise = (passed / n + 1) * n;
    else
        rise = c->mode == STROBE || c->mode == HARDWARE_STROBE ? n + 1 : n;
    if (rise <= passed)
        return MACHINE_TIME_NEVER;
    return machine_time_after(c->start, rise, PIT_HZ, time.hz);
}

bool pit_advance(struct pit *pit, struct machine_time time)
{
    if (time.now < pit->next_edge)
        return false;
    uint64_t rise = next_rise(&pit->channel[0], time), soonest = time.now + time.hz / PIT_INTERRUPTS_MAX;
    pit->next_edge = is_periodic(&pit->channel[0]) ? MAX(rise, soonest) : rise;
    return true;
}

/* ---- ports ---- */

static void load(struct pit_channel *c, uint16_t count, struct machine_time time)
{
    c->reload = count;
    c->loaded = 1;
    c->start = time.now;
    c->held = 0;
    c->counting = !is_triggered(c) && c->gate;
}

/* True: it was the whole count, or the rest of it. */
static bool write_count(struct pit_channel *c, uint8_t value, struct machine_time time)
{
    bool complete = c->access == ACCESS_LOW || c->access == ACCESS_HIGH || c->write_high;
    switch ((enum pit_access)c->access) {
    case ACCESS_LOW: load(c, value, time); break;
    case ACCESS_HIGH: load(c, (uint16_t)(value << 8), time); break;
    case ACCESS_LATCH:
    case ACCESS_BOTH:
        if (c->write_high)
            load(c, (uint16_t)(value << 8 | c->write_low), time);
        else
            c->write_low = value;
        c->write_high = !c->write_high;
        break;
    }
    return complete;
}

static void latch_count(struct pit_channel *c, struct machine_time time)
{
    if (c->count_latched)
        return;
    c->latch = current_count(c, time);
    c->count_latched = c->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *c, struct machine_time time)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)((output(c, time) ? STATUS_OUTPUT : 0) | (c->loaded ? 0 : STATUS_NULL_COUNT) |
                          c->access << STATUS_ACCESS_SHIFT | c->mode << STATUS_MODE_SHIFT | c->bcd);
    c->status_latched = 1;
}

static void read_back(struct pit *pit, uint8_t value, struct machine_time time)
{
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (!READ_BACK_CHANNEL(value, i))
            continue;
        if (!(value & READ_BACK_NO_COUNT))
            latch_count(&pit->channel[i], time);
        if (!(value & READ_BACK_NO_STATUS))
            latch_status(&pit->channel[i], time);
    }
}

static void set_mode(struct pit_channel *c, uint8_t value)
{
    uint8_t mode = CONTROL_MODE(value);
    *c = (struct pit_channel){ .access = CONTROL_ACCESS(value), .mode = mode > HARDWARE_STROBE ? mode & 3 : mode,
                               .bcd = value & CONTROL_BCD, .gate = c->gate };
}

static void write_control_word(struct pit *pit, uint8_t value, struct machine_time time)
{
    if (CONTROL_CHANNEL(value) == READ_BACK)
        read_back(pit, value, time);
    else if (CONTROL_ACCESS(value) == ACCESS_LATCH)
        latch_count(&pit->channel[CONTROL_CHANNEL(value)], time);
    else
        set_mode(&pit->channel[CONTROL_CHANNEL(value)], value);
    if (!pit->channel[0].loaded)
        pit->next_edge = MACHINE_TIME_NEVER;
}

/* Only a new mode or count of channel 0 moves its edge: one that is due, and not yet told, outlasts all else. */
void pit_write(struct pit *pit, unsigned offset, uint8_t value, struct machine_time time)
{
    if (offset == PORT_CONTROL)
        write_control_word(pit, value, time);
    else if (offset < PIT_CHANNELS && write_count(&pit->channel[offset], value, time) && offset == 0)
        pit->next_edge = next_rise(&pit->channel[0], time);
}

/* A latched count is read as the channel's access says; so is a running one. */
static uint8_t read_count(struct pit_channel *c, struct machine_time time)
{
    uint16_t count = c->count_latched ? c->latch : current_count(c, time);
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
    if (c->access == ACCESS_BOTH)
        c->read_high = !c->read_high;
    if (c->count_latched)
        c->count_latched--;
    return (uint8_t)(high ? count >> 8 : count);
}

uint8_t pit_read(struct pit *pit, unsigned offset, struct machine_time time)
{
    if (offset >= PIT_CHANNELS)
        return 0xff;
    struct pit_channel *c = &pit->channel[offset];
    if (!c->status_latched)
        return read_count(c, time);
    c->status_latched = 0;
    return c->status;
}

uint8_t pit_read_control(const struct pit *pit, struct machine_time time)
{
    bool refresh = ticks_convert(time.now, REFRESH_HZ, time.hz) & 1;
    return (uint8_t)(pit->control | (refresh ? CONTROL_REFRESH : 0) |
                     (output(&pit->channel[SPEAKER_CHANNEL], time) ? CONTROL_OUTPUT : 0));
}

/* Data sheet, figure 22 "Gate Pin Operations Summary". */
static void set_gate(struct pit_channel *c, bool gate, struct machine_time time)
{
    if (gate == c->gate)
        return;
    c->gate = gate;
    if (!c->loaded)
        return;
    if (!gate && !is_triggered(c)) {
        c->held = elapsed(c, time);
        c->counting = 0;
    } else if (gate) {
        uint64_t passed = is_periodic(c) || is_triggered(c) ? 0 : c->held;
        uint64_t ago = machine_time_after(0, passed, PIT_HZ, time.hz);
        c->start = time.now - MIN(ago, time.now);
        c->counting = 1;
    }
}

void pit_write_control(struct pit *pit, uint8_t value, struct machine_time time)
{
    pit->control = value & CONTROL_WRITABLE;
    set_gate(&pit->channel[SPEAKER_CHANNEL], value & CONTROL_GATE, time);
}

/* ---- state ---- */

static const struct field pit_channel_fields[] = {
    FIELD(struct pit_channel, mode, HARDWARE_STROBE),
    FIELD(struct pit_channel, access, ACCESS_BOTH),
    FIELD(struct pit_channel, bcd, 1),
    FIELD(struct pit_channel, gate, 1),
    FIELD(struct pit_channel, loaded, 1),
    FIELD(struct pit_channel, counting, 1),
    FIELD(struct pit_channel, write_high, 1),
    FIELD(struct pit_channel, write_low, 0),
    FIELD(struct pit_channel, read_high, 1),
    FIELD(struct pit_channel, status_latched, 1),
    FIELD(struct pit_channel, status, 0),
    FIELD(struct pit_channel, count_latched, 2),
    FIELD(struct pit_channel, latch, 0),
    FIELD(struct pit_channel, reload, 0),
    FIELD(struct pit_channel, start, 0),
    FIELD(struct pit_channel, held, 0),
};
const struct section pit_channel_section = {
    .name = "pit-channel", .version = 1, .fields = pit_channel_fields, .field_count = ARRAY_SIZE(pit_channel_fields),
    .struct_size = sizeof(struct pit_channel),
};

static const struct field pit_fields[] = {
    FIELD(struct pit, control, CONTROL_WRITABLE),
    FIELD(struct pit, next_edge, 0),
};
const struct section pit_section = {
    .name = "pit", .version = 1, .fields = pit_fields, .field_count = ARRAY_SIZE(pit_fields),
    .struct_size = sizeof(struct pit),
};
