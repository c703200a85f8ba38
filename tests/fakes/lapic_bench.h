/*
 * A local APIC on the bench, for the tests of its parts: one APIC, what left it, and its registers by MSR and by address.
 * Register numbers and masks are written out here once more, from the manual (SDM Vol. 3A, chapter 11), so that the
 * model's own tables are under test too. For cmocka programs.
 */
#ifndef TELEPOD_TESTS_LAPIC_BENCH_H
#define TELEPOD_TESTS_LAPIC_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/devices/lapic.h"

#define TPR 0x808u
#define PPR 0x80au
#define EOI 0x80bu
#define LDR 0x80du
#define SVR 0x80fu
#define ISR 0x810u
#define IRR 0x820u
#define ESR 0x828u
#define ICR 0x830u
#define LVT_TIMER 0x832u
#define LVT_LINT0 0x835u
#define LVT_ERROR 0x837u
#define INITIAL_COUNT 0x838u
#define CURRENT_COUNT 0x839u
#define DIVIDE 0x83eu
#define SELF_IPI 0x83fu

/* Fields of the ICR. */
#define SELF BIT(18)
#define ALL BIT(19)
#define OTHERS (BIT(18) | BIT(19))
#define MODE(m) ((uint64_t)(m) << 8)
#define TO(d) ((uint64_t)(d) << 32)
#define LOGICAL BIT(11)

#define ENABLED 0x1ffu
#define MASKED 0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define DIVIDE_BY_1 0xbu
#define TIMER_VECTOR 0x40u
#define ERROR_VECTOR 0x50u
#define SHORT_PERIOD 4096u   /* periods below this are looked at so much late, to leave the guest time */

static struct lapic apic;
static _Alignas(LAPIC_PAGE_SIZE) uint8_t page[LAPIC_PAGE_SIZE];

/* What left the APIC. */
static struct apic_message sent;
static unsigned sent_count, eoi_count;
static uint8_t eoi_vector;

static inline void note_message(void *context, const struct apic_message *message)
{
    assert_ptr_equal(context, &apic);
    sent = *message;
    sent_count++;
}

static inline void note_eoi(void *context, uint8_t vector)
{
    assert_ptr_equal(context, &apic);
    eoi_vector = vector;
    eoi_count++;
}

static inline void reset(uint32_t id, bool bootstrap, enum apic_mode mode)
{
    static const struct lapic_output output = { note_message, note_eoi };

    lapic_attach(&apic, page, &output, &apic);
    lapic_reset(&apic, id, bootstrap, mode);
    sent_count = eoi_count = 0;
}

static inline uint64_t rd_at(uint32_t msr, uint64_t now)
{
    uint64_t value = 0xdeadbeefdeadbeef;

    assert_true(lapic_msr_read(&apic, msr, now, &value));
    return value;
}

static inline uint64_t rd(uint32_t msr)
{
    return rd_at(msr, 0);
}

static inline void wr_at(uint32_t msr, uint64_t now, uint64_t value)
{
    assert_true(lapic_msr_write(&apic, msr, now, value));
}

static inline void wr(uint32_t msr, uint64_t value)
{
    wr_at(msr, 0, value);
}

/* The write must raise #GP(0) and change nothing. */
static inline void gp(uint32_t msr, uint64_t value)
{
    struct lapic before = apic;
    uint8_t page_before[LAPIC_PAGE_SIZE];

    memcpy(page_before, page, sizeof(page));
    assert_false(lapic_msr_write(&apic, msr, 0, value));
    assert_memory_equal(&apic, &before, sizeof(apic));
    assert_memory_equal(page, page_before, sizeof(page));
}

static inline int setup(void **state)
{
    (void)state;
    reset(0, true, APIC_X2APIC);
    wr(SVR, ENABLED);
    wr(DIVIDE, DIVIDE_BY_1);
    return 0;
}

static inline bool requested(uint8_t vector)
{
    return (rd_at(IRR + vector / 32, 0) >> (vector % 32) & 1) != 0;
}

static inline bool in_service(uint8_t vector)
{
    return (rd_at(ISR + vector / 32, 0) >> (vector % 32) & 1) != 0;
}

static inline uint32_t mr(uint32_t offset)
{
    return lapic_mmio_read(&apic, offset, 0);
}

static inline void mw(uint32_t offset, uint32_t value)
{
    lapic_mmio_write(&apic, offset, 0, value);
}

/* A test of an APIC that is enabled, in x2APIC mode. */
#define T(name) cmocka_unit_test_setup(name, setup)

#endif
