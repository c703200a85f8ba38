/*
 * Guarantees: every vector from 32 on is acknowledged, whether it has a handler or not, so that no interrupt, however
 * wild, stops a pod; EOI is sent after the handlers, so that a level-triggered line is quiet by then or comes again.
 */
#include "kernel/interrupt.h"
#include <stddef.h>
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/lapic.h"
#include "kernel/arch/trap.h"
#include "kernel/cpu.h"
#include "kernel/ioapic.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"

#define HANDLERS_MAX 128

/* One handler on a vector; handlers that share a GSI are chained. Entries are added, never removed. */
struct route {
    interrupt_handler *handler;
    void *arg;
    struct route *next;
};

/* A GSI that has a vector already. */
struct gsi_route {
    uint32_t gsi;
    uint8_t vector;
    bool level;
};

static struct route routes[HANDLERS_MAX];
static unsigned route_count;
static struct route *by_vector[VECTOR_COUNT];
static struct gsi_route gsi_routes[HANDLERS_MAX];
static unsigned gsi_route_count;
static uint8_t next_vector = VECTOR_ALLOC_FIRST;
static struct spinlock lock = SPINLOCK_INIT; /* all of the above; dispatch reads without it: entries only appear */

void interrupt_window(void)
{
    sti_nop_cli();
}

static enum err add_handler(uint8_t vector, interrupt_handler *handler, void *arg)
{
    if (route_count == HANDLERS_MAX)
        return ERR_NO_MEMORY;
    struct route *route = &routes[route_count++];
    *route = (struct route){ handler, arg, by_vector[vector] };
    __atomic_store_n(&by_vector[vector], route, __ATOMIC_RELEASE);
    return OK;
}

enum err interrupt_handle_vector(uint8_t vector, interrupt_handler *handler, void *arg)
{
    spinlock_acquire(&lock);
    enum err e = add_handler(vector, handler, arg);
    spinlock_release(&lock);
    return e;
}

static enum err take_vector(interrupt_handler *handler, void *arg, uint8_t *vector)
{
    if (next_vector > VECTOR_ALLOC_LAST)
        return ERR_NO_MEMORY;
    enum err e = add_handler(next_vector, handler, arg);
    if (e == OK)
        *vector = next_vector++;
    return e;
}

static struct gsi_route *find_gsi(uint32_t gsi)
{
    for (unsigned i = 0; i < gsi_route_count; i++)
        if (gsi_routes[i].gsi == gsi)
            return &gsi_routes[i];
    return NULL;
}

static enum err register_gsi(uint32_t gsi, bool level, bool active_low, interrupt_handler *handler, void *arg)
{
    struct gsi_route *shared = find_gsi(gsi);
    uint8_t vector;

    if (shared)
        return level && shared->level ? add_handler(shared->vector, handler, arg) : ERR_EXISTS;
    if (gsi_route_count == HANDLERS_MAX)
        return ERR_NO_MEMORY;
    enum err e = take_vector(handler, arg, &vector);
    if (e == OK)
        e = ioapic_route(gsi, vector, cpu_this()->apic_id, level, active_low);
    if (e == OK)
        gsi_routes[gsi_route_count++] = (struct gsi_route){ gsi, vector, level };
    return e;
}

enum err interrupt_register_gsi(uint32_t gsi, bool level, bool active_low, interrupt_handler *handler, void *arg)
{
    spinlock_acquire(&lock);
    enum err e = register_gsi(gsi, level, active_low, handler, arg);
    spinlock_release(&lock);
    return e;
}

enum err interrupt_register_isa(uint8_t irq, interrupt_handler *handler, void *arg)
{
    const struct acpi_info *acpi = acpi_get();

    for (uint32_t i = 0; i < acpi->override_count; i++) {
        const struct acpi_override *o = &acpi->overrides[i];
        if (o->isa_irq == irq)
            return interrupt_register_gsi(o->gsi, o->level, o->active_low, handler, arg);
    }
    return interrupt_register_gsi(irq, false, false, handler, arg);
}

void interrupt_dispatch(uint64_t vector)
{
    const struct route *route = __atomic_load_n(&by_vector[vector], __ATOMIC_ACQUIRE);

    if (vector == VECTOR_SPURIOUS)
        return; /* SDM Vol. 3A, 11.9 "Spurious Interrupt": no EOI */
    cpu_this()->interrupts++;
    for (; route; route = route->next)
        route->handler(route->arg);
    lapic_eoi();
}

/* The IPI has done its work by arriving. */
static void kick_handler(void *arg)
{
    (void)arg;
}

static void error_handler(void *arg)
{
    (void)arg;
    lapic_write(LAPIC_ESR, 0); /* the write latches the errors for the read (11.5.3 "Error Handling") */
    log_error("lapic", "CPU %u: error status %#x", cpu_this()->index, lapic_read(LAPIC_ESR));
}

/* The two 8259s: initialised to vectors that the kernel ignores (a spurious IRQ 7 comes even when masked), then masked. */
static void pic_disable(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } steps[] = {
        { 0x20, 0x11 }, { 0xa0, 0x11 }, /* ICW1: edge, cascade, ICW4 follows */
        { 0x21, 0x20 }, { 0xa1, 0x28 }, /* ICW2: vectors 20H and 28H on */
        { 0x21, 0x04 }, { 0xa1, 0x02 }, /* ICW3: cascade on IRQ 2 */
        { 0x21, 0x01 }, { 0xa1, 0x01 }, /* ICW4: 8086 mode */
        { 0x21, 0xff }, { 0xa1, 0xff }, /* OCW1: all masked */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
        outb(steps[i].port, steps[i].value);
}

void interrupt_init(void)
{
    pic_disable();
    lapic_init();
    cpu_this()->apic_id = lapic_id();
    if (interrupt_handle_vector(VECTOR_KICK, kick_handler, NULL) ||
        interrupt_handle_vector(VECTOR_ERROR, error_handler, NULL))
        panic("no room for the first interrupt handlers");
    log_info("interrupt", "local APIC id %u in %s mode", lapic_id(), lapic_is_x2apic() ? "x2APIC" : "xAPIC");
    ioapic_init();
}
