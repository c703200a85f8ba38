/*
 * What travels between I/O APIC, MSIs and local APICs: one interrupt message, addressed and not yet delivered. It
 * was on the APIC bus once and is on the system bus today (SDM Vol. 3A, 11.1 "Local and I/O APIC Overview").
 */
#ifndef TELEPOD_APIC_MESSAGE_H
#define TELEPOD_APIC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

/* SDM Vol. 3A, 11.6.1 "Interrupt Command Register (ICR)"; 82093AA data sheet, 3.2.4 for EXTINT. */
enum apic_delivery_mode {
    DELIVERY_FIXED = 0,
    DELIVERY_LOWEST_PRIORITY = 1,
    DELIVERY_SMI = 2,
    DELIVERY_NMI = 4,
    DELIVERY_INIT = 5,
    DELIVERY_START_UP = 6,
    DELIVERY_EXTINT = 7,
};

enum apic_shorthand {
    SHORTHAND_NONE = 0,
    SHORTHAND_SELF = 1,
    SHORTHAND_ALL_INCLUDING_SELF = 2,
    SHORTHAND_ALL_EXCLUDING_SELF = 3,
};

/* "All processors": FFh from an APIC in xAPIC mode, an I/O APIC or an MSI is sent on as this. */
#define APIC_DESTINATION_BROADCAST 0xffffffffu

struct apic_message {
    uint32_t destination;   /* APIC ID, or logical destination; APIC_DESTINATION_BROADCAST: all */
    bool logical;           /* destination mode */
    uint8_t delivery_mode;  /* enum apic_delivery_mode */
    uint8_t vector;
    bool level, assert;     /* trigger mode; the level, which counts for INIT only */
    uint8_t shorthand;      /* enum apic_shorthand; with another than NONE the destination does not count */
};

#endif
