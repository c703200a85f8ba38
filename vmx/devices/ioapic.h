/*
 * The I/O APIC: 24 inputs, each with a redirection entry that says which message it sends (Intel 82093AA data
 * sheet, chapter 3). Pure model; messages leave through the caller's function.
 *
 * Lines are given as "asserted" or not, whatever their electrical polarity: the polarity bit is kept and has no
 * effect. A level-triggered input sends once, then waits for the EOI of its vector (remote IRR), and sends again if it
 * is still asserted. An edge on a masked input is lost, as the data sheet says.
 */
#ifndef TELEPOD_DEVICES_IOAPIC_H
#define TELEPOD_DEVICES_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/apic_message.h"
#include "vmx/fields.h"

#define IOAPIC_PINS 24
#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_MMIO_SIZE 0x1000u

struct ioapic {
    uint64_t redirection[IOAPIC_PINS];
    uint32_t select;            /* IOREGSEL, 0 .. FFh */
    uint32_t id;                /* IOAPICID[27:24] */
    uint32_t lines;             /* bit n: pin n is asserted */
    uint32_t reserved;          /* 0 */
};
extern const struct section ioapic_section;

/* Where its messages go. The call may not come back into the same I/O APIC. */
struct ioapic_output {
    void (*send)(void *context, const struct apic_message *message);
    void *context;
};

/* As after RESET: all masked. id: 0 .. 15. */
void ioapic_reset(struct ioapic *ioapic, uint8_t id);

/* A 32-bit access at IOAPIC_BASE + offset. Only IOREGSEL and IOWIN answer; else reads are 0, writes ignored. */
uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t offset);
void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value, const struct ioapic_output *output);

/* Pin 0 .. 23 is asserted or not; others are ignored. */
void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted, const struct ioapic_output *output);

/* A local APIC broadcasts the EOI of a level-triggered vector. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector, const struct ioapic_output *output);

#endif
