/*
 * The virtual local APIC: SDM Vol. 3A, chapter 11 "Advanced Programmable Interrupt Controller (APIC)", edition
 * 325462-083 (section numbers in this folder are of that edition), in xAPIC mode, in x2APIC mode, and disabled. Pure
 * model. Time is the guest's TSC, given as an argument; messages to other APICs leave through the caller's functions.
 *
 * **The registers live in the virtual-APIC page** (Vol. 3C, chapter 30 "APIC Virtualization and Virtual Interrupts"),
 * where a processor with APIC virtualization reads and writes them by itself while the guest runs. Without it the same
 * page is read and written here. So there is one truth, and nothing to be converted when the guest enters or leaves.
 *
 * CMCI, performance and thermal interrupts have no source, and SMIs no SMM to go to.
 */
#ifndef TELEPOD_VMX_DEVICES_LAPIC_H
#define TELEPOD_VMX_DEVICES_LAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "vmx/devices/apic_message.h"
#include "vmx/devices/apic_route.h"
#include "vmx/fields.h"

#define LAPIC_PAGE_SIZE 4096u
#define LAPIC_DEFAULT_BASE 0xfee00000ull

/* How an APIC reaches the rest of its machine. Neither call may come back into the same APIC. */
struct lapic_output {
    void (*send)(void *context, const struct apic_message *message);   /* an IPI; its targets may include the sender */
    void (*eoi)(void *context, uint8_t vector);                        /* EOI of a level-triggered interrupt */
};

/* What has changed since the caller last looked, and cleared it: bits of lapic->changed. */
#define LAPIC_CHANGED_REQUESTS (1u << 0)    /* IRR or ISR: the processor's RVI and SVI are to be set again */
#define LAPIC_CHANGED_TRIGGERS (1u << 1)    /* TMR: which EOIs the caller has to hear of */
#define LAPIC_CHANGED_MODE (1u << 2)        /* disabled, xAPIC or x2APIC mode, or the base address */
#define LAPIC_CHANGED_ROUTE (1u << 3)       /* what decides which messages it takes */

struct lapic {
    uint8_t *page;              /* LAPIC_PAGE_SIZE bytes, the caller's */
    const struct lapic_output *output;
    void *context;
    uint64_t apic_base;         /* IA32_APIC_BASE */
    uint32_t id;                /* x2APIC ID, which never changes; xAPIC's is its low 8 bits */
    uint32_t esr_pending;       /* errors since the last write of the ESR, which shows them */
    uint32_t changed;           /* LAPIC_CHANGED_* */
    /*
     * The timer's own copies of its registers: what it works by. The processor may have changed those in the page
     * when the model hears of it.
     */
    uint32_t timer_mode, timer_initial_count, timer_divide;
    uint64_t tsc_deadline;      /* IA32_TSC_DEADLINE; 0: disarmed */
    uint64_t timer_due;         /* guest TSC at which the present count reaches 0; 0: the count stands at 0 */
    uint64_t bus_divisor;       /* guest TSC ticks per timer tick at divide 1; CPUID 15h tells the guest 1 */
};

/* The same as values: what travels. Members are called as the manual calls the registers. */
struct lapic_state {
    uint64_t apic_base;
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint32_t isr[8], tmr[8], irr[8];
    uint64_t icr;
    uint32_t lvt_timer, lvt_thermal, lvt_performance, lvt_lint0, lvt_lint1, lvt_error;
    uint32_t initial_count, divide_configuration;
    uint64_t tsc_deadline, timer_due, bus_divisor;
};
extern const struct section lapic_section;      /* of struct lapic_state */

void lapic_save(const struct lapic *lapic, struct lapic_state *out);
/* `state` has passed the section's check. Page, output and id stay; everything is marked as changed. */
void lapic_load(struct lapic *lapic, const struct lapic_state *state);

/* Before anything else. page: LAPIC_PAGE_SIZE bytes that stay where they are; output and its context likewise. */
void lapic_attach(struct lapic *lapic, void *page, const struct lapic_output *output, void *context);

/* As after power-on, in this mode. id: the x2APIC ID. */
void lapic_reset(struct lapic *lapic, uint32_t id, bool bootstrap, enum apic_mode mode);
/* An INIT: all is reset but ID, mode and IA32_APIC_BASE. */
void lapic_init_signal(struct lapic *lapic);
/* As firmware leaves the first processor's, xAPIC mode: enabled, LINT0 takes the PIC's interrupts, LINT1 NMIs. */
void lapic_prepare_virtual_wire(struct lapic *lapic);

enum apic_mode lapic_mode(const struct lapic *lapic);
/* Physical address of the registers in memory; 0: they are not in memory now (x2APIC mode, disabled). */
uint64_t lapic_mmio_base(const struct lapic *lapic);
/* What others must know of it to send to it. */
uint32_t lapic_ldr(const struct lapic *lapic);
uint32_t lapic_dfr(const struct lapic *lapic);
bool lapic_software_enabled(const struct lapic *lapic);

/*
 * RDMSR/WRMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h..83Fh. false: the instruction must raise #GP(0).
 */
bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t *value);
bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t now, uint64_t value);

/* A 32-bit access in xAPIC mode; offset: in the page, a multiple of 4. */
uint32_t lapic_mmio_read(struct lapic *lapic, uint32_t offset, uint64_t now);
void lapic_mmio_write(struct lapic *lapic, uint32_t offset, uint64_t now, uint32_t value);

/* APIC-write VM exit (Vol. 3C, 30.4.3.3): the processor has written the register at this offset of the page. */
void lapic_page_written(struct lapic *lapic, uint32_t offset, uint64_t now);
/* Virtualized-EOI VM exit (30.1.4): the processor has ended this vector's service. */
void lapic_eoi_virtualized(struct lapic *lapic, uint8_t vector);
/* MOV to and from CR8 (Vol. 3A, 11.8.6 "Task Priority in IA-32e Mode"); 0 .. 15. */
uint8_t lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint8_t value);

/*
 * Guest TSC at which the guest must leave guest mode for the timer; UINT64_MAX: never. It may lie in the
 * past. A masked timer asks for no exit; one of a tiny period asks for few: it cannot starve its own guest. The
 * answer changes with every write to the APIC and with lapic_advance.
 */
uint64_t lapic_next_deadline(const struct lapic *lapic);

/*
 * Sets IRR bits for what is due at `now`. Several missed periods of a periodic timer set it once, as the
 * hardware does, and the phase is kept.
 */
void lapic_advance(struct lapic *lapic, uint64_t now);

/*
 * The guest wrote its TSC, which jumped from `before` to `after`: the count goes on undisturbed, a TSC
 * deadline is absolute.
 */
void lapic_tsc_moved(struct lapic *lapic, uint64_t before, uint64_t after);

/*
 * A fixed interrupt arrives. Vectors below 16 are an error in the ESR; a disabled APIC drops it. level: its EOI
 * will be told to the I/O APIC.
 */
void lapic_set_irr(struct lapic *lapic, uint8_t vector, bool level);

/* Highest vector that may be delivered now (above PPR), or -1. */
int lapic_pending_vector(const struct lapic *lapic);

/* IRR -> ISR: the vector, which lapic_pending_vector gave, was injected. */
void lapic_accept(struct lapic *lapic, uint8_t vector);
/* ISR -> IRR: it was not delivered after all. False: it is not in service; it did not come from here. */
bool lapic_put_back(struct lapic *lapic, uint8_t vector);

/* Highest vectors requested and in service, 0: none. The processor's RVI and SVI (Vol. 3C, 25.4.2). */
uint8_t lapic_requesting_vector(const struct lapic *lapic);
uint8_t lapic_servicing_vector(const struct lapic *lapic);
/* Is the highest requested vector held back by the TPR (and perhaps by what is in service too)? */
bool lapic_held_by_tpr(const struct lapic *lapic);
/* Word i (0 .. 7) of the TMR. */
uint32_t lapic_trigger_modes(const struct lapic *lapic, unsigned i);

/* Does an interrupt from the PIC, on LINT0, get through to the processor? */
bool lapic_takes_extint(const struct lapic *lapic);

#endif
