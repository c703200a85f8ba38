/* The I/O APICs of the MADT: routes of global system interrupts. All entries are masked until a route is set. */
#ifndef TELEPOD_IOAPIC_H
#define TELEPOD_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

void ioapic_init(void);
/* Physical destination mode, fixed delivery. ERR_NOT_FOUND: no I/O APIC has this GSI. ERR_RANGE: APIC id above 254. */
enum err ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);

#endif
