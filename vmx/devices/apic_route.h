/*
 * Which processors an interrupt message is for: SDM Vol. 3A, 11.6.2 "Determining IPI Destination", over what each
 * processor has published of its APIC. Pure; the routes may change on other CPUs meanwhile, as on real machines.
 */
#ifndef TELEPOD_APIC_ROUTE_H
#define TELEPOD_APIC_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/apic_message.h"

enum apic_mode { APIC_DISABLED, APIC_XAPIC, APIC_X2APIC };

/* What others need to know of a processor's APIC. Written by its vCPU, read by any CPU. */
struct apic_route {
    _Atomic uint32_t mode;             /* enum apic_mode */
    _Atomic uint32_t id;               /* xAPIC mode: 8 bits, not shifted */
    _Atomic uint32_t ldr, dfr;         /* as the registers hold them; in x2APIC mode LDR is 32 bits, and DFR is not there */
    _Atomic bool software_enabled;     /* SVR bit 8: takes part in lowest-priority delivery */
};

#define APIC_ROUTE_NOBODY (-1)

/*
 * The processors, a bit each by index, that the message is for. `sender`: index of the processor that sends, or
 * APIC_ROUTE_NOBODY for a device. count <= 32.
 */
uint32_t apic_route_targets(const struct apic_route *routes, uint32_t count, const struct apic_message *message, int sender);

/* Of the targets of a lowest-priority message the one that gets it: each in its turn. 0: nobody can take it. */
uint32_t apic_route_lowest(const struct apic_route *routes, uint32_t targets, uint32_t turn);

#endif
