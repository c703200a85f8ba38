/* See apic_route.h. Shorthands first, then destinations by the mode of the processor that hears the message. */
#include "vmx/devices/apic_route.h"

#include <stdatomic.h>

/* 11.6.2.2 "Logical Destination Mode" */
#define DFR_MODEL_SHIFT 28
#define DFR_MODEL_FLAT 0xfu
#define LDR_XAPIC_SHIFT 24
#define LOGICAL_XAPIC_MASK 0xffu
#define CLUSTER_SHIFT 4
#define CLUSTER_ALL 0xfu
#define CLUSTER_MEMBERS 0xfu
#define X2APIC_CLUSTER_SHIFT 16
#define X2APIC_MEMBERS 0xffffu

static uint32_t get(const _Atomic uint32_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

/* The eight bits of a logical destination against LDR, by the model that DFR says. */
static bool matches_xapic_logical(const struct apic_route *route, uint32_t destination)
{
    uint32_t ldr = get(&route->ldr) >> LDR_XAPIC_SHIFT;
    if (destination > LOGICAL_XAPIC_MASK)
        return false;
    if (get(&route->dfr) >> DFR_MODEL_SHIFT == DFR_MODEL_FLAT)
        return (ldr & destination) != 0;
    uint32_t cluster = destination >> CLUSTER_SHIFT;
    return (cluster == CLUSTER_ALL || cluster == ldr >> CLUSTER_SHIFT) && (ldr & destination & CLUSTER_MEMBERS) != 0;
}

/* 11.12.10.1 "Logical Destination Mode in x2APIC Mode" */
static bool matches_x2apic_logical(const struct apic_route *route, uint32_t destination)
{
    uint32_t ldr = get(&route->ldr);
    return destination >> X2APIC_CLUSTER_SHIFT == ldr >> X2APIC_CLUSTER_SHIFT &&
           (destination & ldr & X2APIC_MEMBERS) != 0;
}

static bool matches(const struct apic_route *route, const struct apic_message *message)
{
    uint32_t mode = get(&route->mode);
    if (mode == APIC_DISABLED)
        return false;
    if (message->destination == APIC_DESTINATION_BROADCAST)
        return true;
    if (!message->logical)
        return message->destination == get(&route->id);
    return mode == APIC_X2APIC ? matches_x2apic_logical(route, message->destination)
                               : matches_xapic_logical(route, message->destination);
}

static uint32_t match_all(const struct apic_route *routes, uint32_t count, const struct apic_message *message)
{
    uint32_t targets = 0;
    for (uint32_t i = 0; i < count; i++)
        if (matches(&routes[i], message))
            targets |= 1u << i;
    return targets;
}

/* Every processor whose APIC listens at all. */
static uint32_t listeners(const struct apic_route *routes, uint32_t count)
{
    uint32_t targets = 0;
    for (uint32_t i = 0; i < count; i++)
        if (get(&routes[i].mode) != APIC_DISABLED)
            targets |= 1u << i;
    return targets;
}

uint32_t apic_route_targets(const struct apic_route *routes, uint32_t count, const struct apic_message *message, int sender)
{
    uint32_t self = sender < 0 ? 0 : 1u << sender;
    switch (message->shorthand) {
    case SHORTHAND_SELF: return self;
    case SHORTHAND_ALL_INCLUDING_SELF: return listeners(routes, count);
    case SHORTHAND_ALL_EXCLUDING_SELF: return listeners(routes, count) & ~self;
    default: return match_all(routes, count, message);
    }
}

/* 11.6.2.4 "Lowest Priority Delivery Mode": which one is the implementation's choice. */
uint32_t apic_route_lowest(const struct apic_route *routes, uint32_t targets, uint32_t turn)
{
    uint32_t able = 0;
    for (uint32_t left = targets; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        if (atomic_load_explicit(&routes[i].software_enabled, memory_order_relaxed))
            able |= 1u << i;
    }
    if (!able)
        return 0;
    for (turn %= (uint32_t)__builtin_popcount(able); turn > 0; turn--)
        able &= able - 1;
    return able & -able;
}
