/* A local APIC as reset leaves it, as values: what a test puts into a machine's state. */
#ifndef TELEPOD_TESTS_FAKE_APIC_H
#define TELEPOD_TESTS_FAKE_APIC_H

#include "vmx/devices/lapic.h"

static inline void fake_apic_state(struct lapic_state *out, uint32_t id)
{
    static _Alignas(LAPIC_PAGE_SIZE) uint8_t page[LAPIC_PAGE_SIZE];
    struct lapic lapic;
    lapic_attach(&lapic, page, NULL, NULL);
    lapic_reset(&lapic, id, id == 0, APIC_X2APIC);
    lapic_save(&lapic, out);
}

#endif
