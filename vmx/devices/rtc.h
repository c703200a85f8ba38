/*
 * The real-time clock and CMOS memory of a PC: a Motorola MC146818 with its index port, 70h, and data port, 71h. The time
 * of day is machine time from a base, so it stands nowhere and never goes back while a guest moves from pod to pod.
 * Interrupts (periodic, alarm, update-ended) are one level line. Pure.
 */
#ifndef TELEPOD_DEVICES_RTC_H
#define TELEPOD_DEVICES_RTC_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/machine_time.h"
#include "vmx/fields.h"

#define RTC_BYTES 128

struct rtc {
    uint8_t index;              /* bits 6:0 of port 70h */
    uint8_t nmi_masked;         /* bit 7: kept, and without effect: nothing of this machine raises an NMI by that way */
    uint8_t memory[RTC_BYTES];  /* alarms, registers A to C and CMOS memory; the time itself only while it is set (B.SET) */
    uint64_t base_seconds;      /* the time of day, in Unix's seconds, ... */
    uint64_t base_time;         /* ... that it was at this machine time, to which a second is aligned */
    uint64_t seen;              /* machine time up to which the flags of register C tell what happened */
};
extern const struct section rtc_section;

/* unix_seconds: the time of day now. */
void rtc_reset(struct rtc *rtc, uint64_t unix_seconds, struct machine_time time);

/* Offset 0: index port; 1: data port. */
uint8_t rtc_read(struct rtc *rtc, unsigned offset, struct machine_time time);
void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value, struct machine_time time);

/* Brings register C up to date. Then the level of the interrupt line (IRQ 8), and when it may change by itself. */
void rtc_advance(struct rtc *rtc, struct machine_time time);
bool rtc_interrupt(const struct rtc *rtc);
uint64_t rtc_next_deadline(const struct rtc *rtc, struct machine_time time);

#endif
