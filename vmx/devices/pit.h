/*
 * The interval timer of a PC: an Intel 8254 (data sheet 231164, "Mode Definitions") with its gate and speaker port, 61h. A
 * pure model: counts and outputs are computed from the machine's time when somebody looks, nothing ticks.
 *
 * Simplified where no software can rely on it: a new count takes effect at once in all modes, and interrupts of one count are no
 * closer together than PIT_INTERRUPTS_MAX a second, so that a guest cannot drown in its own timer.
 */
#ifndef TELEPOD_DEVICES_PIT_H
#define TELEPOD_DEVICES_PIT_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/machine_time.h"
#include "vmx/fields.h"

#define PIT_HZ 1193182u
#define PIT_CHANNELS 3
#define PIT_INTERRUPTS_MAX 20000u

struct pit_channel {
    uint8_t mode;               /* 0 .. 5 */
    uint8_t access;             /* 1: low byte, 2: high byte, 3: low, then high */
    uint8_t bcd;                /* 0 or 1 */
    uint8_t gate;               /* 0 or 1; channels 0 and 1 have it at 1 for ever */
    uint8_t loaded;             /* 0: waits for its count after a control word: output as the mode begins */
    uint8_t counting;           /* 0: held by its gate, or (modes 1 and 5) not triggered yet */
    uint8_t write_high;         /* the next byte written is the high one */
    uint8_t write_low;          /* the low byte that waits for it */
    uint8_t read_high;          /* the next byte read is the high one */
    uint8_t status_latched, status;
    uint8_t count_latched;      /* bytes of `latch` still to be read: 0, 1 or 2 */
    uint16_t latch;
    uint16_t reload;            /* as written; 0 is the largest count */
    uint64_t start;             /* machine time at which the count was `reload` */
    uint64_t held;              /* ticks of this device that had passed when the gate stopped it */
};

struct pit {
    struct pit_channel channel[PIT_CHANNELS];
    uint8_t control;            /* port 61h, bits 3:0: gate 2, speaker, and two that only hold what is written */
    uint64_t next_edge;         /* machine time of channel 0's next rising output; MACHINE_TIME_NEVER */
};
extern const struct section pit_channel_section, pit_section;

void pit_reset(struct pit *pit);

/* Ports 40h to 43h as offsets 0 to 3. */
uint8_t pit_read(struct pit *pit, unsigned offset, struct machine_time time);
void pit_write(struct pit *pit, unsigned offset, uint8_t value, struct machine_time time);

/* Port 61h: system control port B. */
uint8_t pit_read_control(const struct pit *pit, struct machine_time time);
void pit_write_control(struct pit *pit, uint8_t value, struct machine_time time);

/* True: channel 0's output has risen since the last call. However often it did, it is one interrupt. */
bool pit_advance(struct pit *pit, struct machine_time time);

#endif
