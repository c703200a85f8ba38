/*
 * The local APIC: the manual's rules (SDM Vol. 3A, chapter 11), each quoted and then broken bit by bit.
 * Register numbers and masks are written out here once more, from the manual, so that the model's own tables
 * are under test too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

static void note_message(void *context, const struct apic_message *message)
{
    assert_ptr_equal(context, &apic);
    sent = *message;
    sent_count++;
}

static void note_eoi(void *context, uint8_t vector)
{
    assert_ptr_equal(context, &apic);
    eoi_vector = vector;
    eoi_count++;
}

static void reset(uint32_t id, bool bootstrap, enum apic_mode mode)
{
    static const struct lapic_output output = { note_message, note_eoi };

    lapic_attach(&apic, page, &output, &apic);
    lapic_reset(&apic, id, bootstrap, mode);
    sent_count = eoi_count = 0;
}

static uint64_t rd_at(uint32_t msr, uint64_t now)
{
    uint64_t value = 0xdeadbeefdeadbeef;

    assert_true(lapic_msr_read(&apic, msr, now, &value));
    return value;
}

static uint64_t rd(uint32_t msr)
{
    return rd_at(msr, 0);
}

static void wr_at(uint32_t msr, uint64_t now, uint64_t value)
{
    assert_true(lapic_msr_write(&apic, msr, now, value));
}

static void wr(uint32_t msr, uint64_t value)
{
    wr_at(msr, 0, value);
}

/* The write must raise #GP(0) and change nothing. */
static void gp(uint32_t msr, uint64_t value)
{
    struct lapic before = apic;
    uint8_t page_before[LAPIC_PAGE_SIZE];

    memcpy(page_before, page, sizeof(page));
    assert_false(lapic_msr_write(&apic, msr, 0, value));
    assert_memory_equal(&apic, &before, sizeof(apic));
    assert_memory_equal(page, page_before, sizeof(page));
}

static int setup(void **state)
{
    (void)state;
    reset(0, true, APIC_X2APIC);
    wr(SVR, ENABLED);
    wr(DIVIDE, DIVIDE_BY_1);
    return 0;
}

static bool requested(uint8_t vector)
{
    return (rd_at(IRR + vector / 32, 0) >> (vector % 32) & 1) != 0;
}

static bool in_service(uint8_t vector)
{
    return (rd_at(ISR + vector / 32, 0) >> (vector % 32) & 1) != 0;
}

/* ---- registers ---- */

/* 11.4.7.3 "Local APIC State After an INIT Reset": LVTs masked, SVR FFh, all else 0. */
static void test_reset(void **state)
{
    (void)state;
    reset(3, false, APIC_X2APIC);
    assert_int_equal(rd(IA32_APIC_BASE), 0xfee00c00);
    assert_int_equal(rd(0x802), 3);
    assert_int_equal(rd(SVR), 0xff);
    for (uint32_t msr = 0x832; msr <= 0x837; msr++)
        assert_int_equal(rd(msr), MASKED);
    for (uint32_t msr = ISR; msr <= ESR; msr++)
        assert_int_equal(rd(msr), 0);
    assert_int_equal(rd(TPR) | rd(PPR) | rd(ICR) | rd(INITIAL_COUNT) | rd(CURRENT_COUNT) | rd(DIVIDE), 0);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(lapic_pending_vector(&apic), -1);
    reset(0, true, APIC_X2APIC);
    assert_int_equal(rd(IA32_APIC_BASE), 0xfee00d00);
}

/* Table 11-6: which MSRs of 800h..83Fh exist, and what may be done with them. */
static void test_access_rights(void **state)
{
    static const char *const rights = /* r, w, b(oth) or '.' (reserved), from 800h on */
        "..rr....b.rw.r.b" "rrrrrrrrrrrrrrrr" "rrrrrrrrb......." "b.bbbbbbbr....bw";

    (void)state;
    for (uint32_t i = 0; i < 0x40; i++) {
        uint64_t value;
        bool may_read = rights[i] == 'r' || rights[i] == 'b', may_write = rights[i] == 'w' || rights[i] == 'b';

        setup(NULL);
        assert_int_equal(lapic_msr_read(&apic, 0x800 + i, 0, &value), may_read);
        assert_int_equal(lapic_msr_write(&apic, 0x800 + i, 0, 0), may_write);
    }
    for (uint32_t msr = 0x840; msr < 0x900; msr++) {
        uint64_t value;

        assert_false(lapic_msr_read(&apic, msr, 0, &value));
        gp(msr, 0);
    }
    gp(0x7ff, 0);
}

/*
 * 11.12.1.3 "Reserved Bit Checking": "a write of any reserved bit with 1 raises a general-protection
 * exception".
 */
static void test_reserved_bits(void **state)
{
    static const struct { uint32_t msr; uint64_t writable; } registers[] = {
        { TPR, 0xff }, { EOI, 0 }, { SVR, 0x3ff }, { ESR, 0 }, { ICR, 0xffffffff000ccfff },
        { LVT_TIMER, 0x710ff }, { 0x833, 0x117ff }, { 0x834, 0x117ff }, { LVT_LINT0, 0x1f7ff }, { 0x836, 0x1f7ff },
        { LVT_ERROR, 0x110ff }, { INITIAL_COUNT, 0xffffffff }, { DIVIDE, 0xb }, { SELF_IPI, 0xff },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
        for (unsigned bit = 0; bit < 64; bit++) {
            setup(NULL);
            if ((registers[i].writable >> bit & 1) == 0)
                gp(registers[i].msr, BIT(bit));
            else
                wr(registers[i].msr, BIT(bit));
        }
    gp(LVT_TIMER, PERIODIC | DEADLINE); /* timer mode 11b is reserved */
}

/* Delivery status (12) and remote IRR (14) are read-only: accepted, and without effect. */
static void test_lvt_read_only_bits(void **state)
{
    (void)state;
    wr(LVT_LINT0, 0x1f7ff);
    assert_int_equal(rd(LVT_LINT0), 0x1a7ff);
    wr(LVT_TIMER, 0x11040);
    assert_int_equal(rd(LVT_TIMER), 0x10040);
}

/* 11.4.8: version 14h, six LVT registers, no EOI-broadcast suppression (bit 24). */
static void test_version(void **state)
{
    (void)state;
    assert_int_equal(rd(0x803), 0x50014);
}

/* 11.12.10.2: Logical x2APIC ID = [(x2APIC ID[19:4] << 16) | (1 << x2APIC ID[3:0])] */
static void test_logical_id(void **state)
{
    static const struct { uint32_t id, ldr; } ids[] = {
        { 0, 1 }, { 5, 0x20 }, { 0x13, 0x10008 }, { 0xabcdf, 0xabcd8000 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        reset(ids[i].id, false, APIC_X2APIC);
        assert_int_equal(rd(LDR), ids[i].ldr);
    }
}

/* Figure 11-27 "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and Reset": what is no arrow is #GP(0). */
static void test_modes(void **state)
{
    static const uint64_t bits[] = { [APIC_DISABLED] = 0, [APIC_XAPIC] = BIT(11), [APIC_X2APIC] = BIT(11) | BIT(10) };
    static const bool legal[3][3] = {
        [APIC_DISABLED] = { [APIC_DISABLED] = true, [APIC_XAPIC] = true },
        [APIC_XAPIC] = { true, true, true },
        [APIC_X2APIC] = { [APIC_DISABLED] = true, [APIC_X2APIC] = true },
    };

    (void)state;
    for (enum apic_mode from = APIC_DISABLED; from <= APIC_X2APIC; from++) {
        for (enum apic_mode to = APIC_DISABLED; to <= APIC_X2APIC; to++) {
            reset(5, true, from);
            assert_int_equal(rd(IA32_APIC_BASE), 0xfee00100 | bits[from]);
            assert_int_equal(lapic_msr_write(&apic, IA32_APIC_BASE, 0, 0xfee00000 | bits[to]), legal[from][to]);
            assert_int_equal(lapic_mode(&apic), legal[from][to] ? to : from);
        }
        reset(5, true, from);
        gp(IA32_APIC_BASE, 0xfee00000 | BIT(10)); /* EXTD without EN */
        for (unsigned bit = 0; bit < 64; bit++)
            if (bit != 8 && (bit < 10 || bit > 51))
                gp(IA32_APIC_BASE, (0xfee00000 | bits[from]) ^ BIT(bit));
    }
}

/* 11.12.5.1: the registers survive the step to x2APIC mode, in its forms; disabling loses them. */
static void test_registers_in_transition(void **state)
{
    (void)state;
    reset(5, false, APIC_XAPIC);
    lapic_mmio_write(&apic, 0xf0, 0, ENABLED);
    lapic_mmio_write(&apic, 0x80, 0, 0x20);
    lapic_mmio_write(&apic, 0xd0, 0, 0x08000000);
    lapic_mmio_write(&apic, 0x310, 0, 0x09000000);
    lapic_set_irr(&apic, 0x77, true);
    assert_int_equal(lapic_mmio_read(&apic, 0x20, 0), 5u << 24);
    assert_int_equal(lapic_mmio_base(&apic), 0xfee00000);
    wr(IA32_APIC_BASE, 0xfee00c00);
    assert_int_equal(lapic_mmio_base(&apic), 0);
    assert_int_equal(lapic_mmio_read(&apic, 0x20, 0), 0);
    assert_int_equal(rd(0x802), 5);
    assert_int_equal(rd(LDR), 1u << 5);
    assert_int_equal(rd(TPR), 0x20);
    assert_int_equal(rd(SVR), ENABLED);
    assert_int_equal(rd(ICR), 0);
    assert_true(requested(0x77));
    apic.changed = 0;
    wr(IA32_APIC_BASE, 0xfee00000);
    assert_int_equal(apic.changed, LAPIC_CHANGED_REQUESTS | LAPIC_CHANGED_TRIGGERS | LAPIC_CHANGED_MODE |
                                       LAPIC_CHANGED_ROUTE);
    gp(0x802, 0);
    wr(IA32_APIC_BASE, 0xfee00800);
    assert_int_equal(lapic_mmio_read(&apic, 0x80, 0), 0);
    assert_int_equal(lapic_mmio_read(&apic, 0xe0, 0), 0xffffffff);
    assert_int_equal(lapic_pending_vector(&apic), -1);
}

/* 11.4.7.3: INIT resets, but for ID, mode and base. */
static void test_init(void **state)
{
    (void)state;
    wr(TPR, 0x50);
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr(IA32_TSC_DEADLINE, 5000);
    lapic_set_irr(&apic, 0x60, true);
    lapic_init_signal(&apic);
    assert_int_equal(rd(IA32_APIC_BASE), 0xfee00d00);
    assert_int_equal(rd(TPR) | rd(IRR + 3) | rd(IA32_TSC_DEADLINE), 0);
    assert_int_equal(rd(LVT_TIMER), MASKED);
    assert_int_equal(rd(SVR), 0xff);
}

/* ---- registers in memory (xAPIC mode) ---- */

static uint32_t mr(uint32_t offset)
{
    return lapic_mmio_read(&apic, offset, 0);
}

static void mw(uint32_t offset, uint32_t value)
{
    lapic_mmio_write(&apic, offset, 0, value);
}

/* Table 11-1 "Local APIC Register Address Map": what a store of all ones leaves. */
static void test_memory_registers(void **state)
{
    static const struct { uint32_t offset, ones, zeros; } registers[] = {
        { 0x20, 0x25000000, 0x25000000 }, { 0x30, 0x50014, 0x50014 }, { 0x80, 0xff, 0 }, { 0x90, 0, 0 }, { 0xa0, 0, 0 },
        { 0xc0, 0, 0 }, { 0xd0, 0xff000000, 0 }, { 0xe0, 0xffffffff, 0x0fffffff }, { 0xf0, 0x3ff, 0 }, { 0x100, 0, 0 },
        { 0x310, 0xff000000, 0 }, { 0x320, 0x100ff, 0x10000 }, { 0x330, 0x107ff, 0x10000 }, { 0x340, 0x107ff, 0x10000 },
        { 0x350, 0x1a7ff, 0x10000 }, { 0x360, 0x1a7ff, 0x10000 }, { 0x370, 0x100ff, 0x10000 },
        { 0x380, 0xffffffff, 0 }, { 0x390, 0, 0 }, { 0x3e0, 0xb, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        reset(0x25, false, APIC_XAPIC);
        mw(registers[i].offset, 0xffffffff);
        assert_int_equal(mr(registers[i].offset), registers[i].ones);
        mw(registers[i].offset, 0);
        assert_int_equal(mr(registers[i].offset), registers[i].zeros);
        assert_int_equal(mr(registers[i].offset + 4), 0);
    }
    for (uint32_t msr = 0x800; msr < 0x840; msr++)
        gp(msr, 0);
}

/* 11.5.3: an access to a register that is not there is an error. */
static void test_illegal_register_address(void **state)
{
    (void)state;
    reset(0, false, APIC_XAPIC);
    mw(0xf0, ENABLED);
    mw(0x370, ERROR_VECTOR);
    assert_int_equal(mr(0x40), 0);
    assert_int_equal(lapic_pending_vector(&apic), ERROR_VECTOR);
    mw(0x280, 1234);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0x2f0, 0x10000); /* LVT CMCI: not announced */
    mw(0x280, 0);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0x3f0, 0x77);    /* SELF IPI: of x2APIC mode */
    mw(0x280, 0);
    assert_int_equal(mr(0x280), 1u << 7);
    mw(0xffc, 0);
    assert_int_equal(mr(0xff0), 0);
}

static void test_memory_icr(void **state)
{
    (void)state;
    reset(1, false, APIC_XAPIC);
    mw(0xf0, ENABLED);
    mw(0x310, 0x09000000);
    assert_int_equal(sent_count, 0);
    mw(0x300, 0xffff1077 & ~0xc0000u); /* reserved bits and delivery status are lost */
    assert_int_equal(mr(0x300), 0x77);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent.destination, 9);
    mw(0x310, 0xff000000);
    mw(0x300, 0x878); /* logical */
    assert_int_equal(sent.destination, APIC_DESTINATION_BROADCAST);
    assert_true(sent.logical);
    mw(0x300, 0x40000 | 0x79); /* self: needs no message */
    assert_int_equal(sent_count, 2);
    assert_int_equal(lapic_pending_vector(&apic), 0x79);
}

/*
 * The processor has stored, and exits (Vol. 3C, 30.4.3.3): page and model must be as after the same store through
 * lapic_mmio_write.
 */
static void test_page_written(void **state)
{
    /* Vol. 3C, 30.4.3.2: what a processor stores; TPR and EOI, which it virtualizes in full, are left out. */
    static const uint16_t written[] = { 0xd0, 0xe0, 0xf0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370,
                                        0x380, 0x3e0 };

    (void)state;
    srand(1);
    reset(0x25, false, APIC_XAPIC);
    for (unsigned turn = 0; turn < 20000; turn++) {
        uint32_t offset = written[(unsigned)rand() % ARRAY_SIZE(written)];
        uint32_t value = ((uint32_t)rand() ^ (uint32_t)rand() << 16) | (offset == 0xf0 ? 0x100 : 0);
        uint8_t page_before[LAPIC_PAGE_SIZE], page_after[LAPIC_PAGE_SIZE];
        struct lapic before = apic, after;

        memcpy(page_before, page, sizeof(page));
        lapic_mmio_write(&apic, offset, turn, value);
        after = apic;
        memcpy(page_after, page, sizeof(page));

        apic = before;
        memcpy(page, page_before, sizeof(page));
        memcpy(page + offset, &value, sizeof(value));
        lapic_page_written(&apic, offset, turn);
        assert_memory_equal(page, page_after, sizeof(page));
        assert_memory_equal(&apic, &after, sizeof(apic));
    }
}

static void test_page_written_elsewhere(void **state)
{
    (void)state;
    reset(0x25, false, APIC_XAPIC);
    memset(page + 0x20, 0, 4);
    lapic_page_written(&apic, 0x20, 0); /* the ID is not for software to change */
    assert_int_equal(mr(0x20), 0x25000000);
    lapic_page_written(&apic, 0xff0, 0);
    reset(0, false, APIC_X2APIC);
    wr(SVR, ENABLED);
    page[0x3f0] = 5;
    lapic_page_written(&apic, 0x3f0, 0); /* an illegal self-IPI */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5 | 1u << 6);
}

/* ---- interrupts ---- */

static void test_accept_and_eoi(void **state)
{
    (void)state;
    lapic_set_irr(&apic, 0x31, false);
    lapic_set_irr(&apic, 0x92, false);
    assert_int_equal(lapic_pending_vector(&apic), 0x92);
    lapic_accept(&apic, 0x92);
    assert_true(!requested(0x92) && in_service(0x92) && requested(0x31));
    assert_int_equal(lapic_pending_vector(&apic), -1); /* 31h waits for 92h */
    lapic_set_irr(&apic, 0x9f, false);                        /* same class: waits too */
    assert_int_equal(lapic_pending_vector(&apic), -1);
    lapic_set_irr(&apic, 0xa0, false);                        /* higher class: nests */
    assert_int_equal(lapic_pending_vector(&apic), 0xa0);
    lapic_accept(&apic, 0xa0);
    wr(EOI, 0); /* "clears the highest-priority bit in the ISR" */
    assert_true(!in_service(0xa0) && in_service(0x92));
    wr(EOI, 0);
    assert_int_equal(lapic_pending_vector(&apic), 0x9f);
    wr(EOI, 0); /* nothing in service: nothing happens */
    assert_true(requested(0x31));
}

/* The same vector may wait once more while it is in service; a third one is lost. */
static void test_one_in_service_one_waiting(void **state)
{
    (void)state;
    lapic_set_irr(&apic, 0x40, false);
    lapic_accept(&apic, 0x40);
    lapic_set_irr(&apic, 0x40, false);
    lapic_set_irr(&apic, 0x40, false);
    assert_int_equal(lapic_pending_vector(&apic), -1);
    wr(EOI, 0);
    assert_int_equal(lapic_pending_vector(&apic), 0x40);
    lapic_accept(&apic, 0x40);
    wr(EOI, 0);
    assert_int_equal(lapic_pending_vector(&apic), -1);
}

/*
 * 11.8.3.1: PPR class = max(TPR class, ISRV class); sub-class TPR's if TPR's class is larger, else 0 if
 * ISRV's is.
 */
static void test_ppr(void **state)
{
    for (unsigned tpr = 0; tpr < 256; tpr += 5)
        for (unsigned vector = 16; vector < 256; vector += 7) {
            setup(NULL);
            wr(TPR, tpr);
            lapic_accept(&apic, (uint8_t)vector);
            assert_int_equal(rd(PPR), tpr >> 4 >= vector >> 4 ? tpr : vector & 0xf0);
        }
    (void)state;
}

/* "The processor will service only those interrupts that have a priority class higher than the PPR's." */
static void test_tpr_holds_back(void **state)
{
    (void)state;
    for (unsigned class = 0; class < 16; class++)
        for (unsigned vector = 16; vector < 256; vector++) {
            setup(NULL);
            wr(TPR, class << 4 | 0xf);
            lapic_set_irr(&apic, (uint8_t)vector, false);
            assert_int_equal(lapic_pending_vector(&apic), vector >> 4 > class ? (int)vector : -1);
        }
}

/*
 * 11.5.2: "a vector in the range 0 to 15 ... the APIC indicates an illegal vector in its ESR"; never an IRR
 * bit.
 */
static void test_illegal_vectors(void **state)
{
    (void)state;
    for (uint8_t vector = 0; vector < 16; vector++) {
        setup(NULL);
        lapic_set_irr(&apic, vector, false);
        assert_int_equal(rd(IRR), 0);
        wr(ESR, 0);
        assert_int_equal(rd(ESR), 1u << 6);
    }
}

/*
 * 11.4.7.2: the mask bits of all LVTs are set and cannot be reset; IRR and ISR are held; fixed interrupts are
 * not accepted.
 */
static void test_software_disable(void **state)
{
    (void)state;
    lapic_set_irr(&apic, 0x33, false);
    for (uint32_t msr = 0x832; msr <= 0x837; msr++)
        wr(msr, 0x44);
    wr(SVR, 0xff);
    for (uint32_t msr = 0x832; msr <= 0x837; msr++) {
        assert_int_equal(rd(msr), MASKED | 0x44);
        wr(msr, 0x45);
        assert_int_equal(rd(msr), MASKED | 0x45);
    }
    assert_int_equal(lapic_pending_vector(&apic), 0x33);
    lapic_set_irr(&apic, 0x60, false);
    wr(SELF_IPI, 0x61);
    assert_false(requested(0x60) || requested(0x61));
    wr(SVR, ENABLED);
    assert_int_equal(rd(LVT_TIMER), MASKED | 0x45); /* enabling does not unmask */
}

/* ---- errors ---- */

/*
 * 11.5.3: the write "clears any previously logged errors and updates the ESR with any errors detected since
 * the last write".
 */
static void test_esr(void **state)
{
    (void)state;
    lapic_set_irr(&apic, 3, false);
    assert_int_equal(rd(ESR), 0); /* not before the write */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 6);
    assert_int_equal(rd(ESR), 1u << 6);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0);
}

/* "This write also rearms the APIC error interrupt triggering mechanism." */
static void test_error_interrupt(void **state)
{
    (void)state;
    wr(LVT_ERROR, ERROR_VECTOR);
    lapic_set_irr(&apic, 3, false);
    assert_true(requested(ERROR_VECTOR));
    lapic_accept(&apic, ERROR_VECTOR);
    lapic_set_irr(&apic, 4, false);
    assert_false(requested(ERROR_VECTOR));
    wr(ESR, 0);
    lapic_set_irr(&apic, 5, false);
    assert_true(requested(ERROR_VECTOR));
}

static void test_error_interrupt_masked(void **state)
{
    (void)state;
    wr(LVT_ERROR, MASKED | ERROR_VECTOR);
    lapic_set_irr(&apic, 3, false);
    assert_false(requested(ERROR_VECTOR));
}

/* An error LVT that is itself wrong reports itself, once, and does not recurse for ever. */
static void test_error_interrupt_illegal(void **state)
{
    (void)state;
    wr(LVT_ERROR, 2);
    wr(ICR, BIT(18) | 1); /* self, fixed, vector 1 */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5 | 1u << 6);
}

/* ---- IPIs ---- */

#define SELF BIT(18)
#define ALL BIT(19)
#define OTHERS (BIT(18) | BIT(19))
#define MODE(m) ((uint64_t)(m) << 8)
#define TO(d) ((uint64_t)(d) << 32)
#define LOGICAL BIT(11)

static void test_fixed_ipi(void **state)
{
    static const struct { uint64_t icr; bool to_itself, leaves; } ipis[] = {
        { SELF, true, false }, { ALL, false, true }, { OTHERS, false, true },
        { SELF | BIT(15), true, false },   /* level-triggered: treated as edge */
        { SELF | TO(77), true, false },    /* a shorthand ignores the destination */
        { TO(0x25), false, true }, { TO(0xffffffff), false, true }, { LOGICAL | TO(0x00020020), false, true },
        { MODE(1) | TO(3), false, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ipis); i++) {
        reset(0x25, false, APIC_X2APIC);
        wr(SVR, ENABLED);
        wr(ICR, ipis[i].icr | 0x77);
        assert_int_equal(requested(0x77), ipis[i].to_itself);
        assert_int_equal(sent_count, ipis[i].leaves);
        assert_int_equal(rd(ICR), ipis[i].icr | 0x77);
        if (!ipis[i].leaves)
            continue;
        assert_int_equal(sent.destination, ipis[i].icr >> 32);
        assert_int_equal(sent.logical, ipis[i].icr >> 11 & 1);
        assert_int_equal(sent.shorthand, ipis[i].icr >> 18 & 3);
        assert_int_equal(sent.delivery_mode, ipis[i].icr >> 8 & 7);
        assert_int_equal(sent.vector, 0x77);
        assert_false(sent.level);
    }
}

/* Tables 11-3 and 11-4: what is invalid with a shorthand, reserved, or an SMI is sent to nobody. */
static void test_other_ipis(void **state)
{
    (void)state;
    for (unsigned mode = 1; mode < 8; mode++)
        for (unsigned shorthand = 0; shorthand < 4; shorthand++) {
            bool known = mode == DELIVERY_LOWEST_PRIORITY || (mode >= DELIVERY_NMI && mode <= DELIVERY_START_UP);
            bool valid = known && (shorthand == SHORTHAND_NONE || shorthand == SHORTHAND_ALL_EXCLUDING_SELF);

            setup(NULL);
            wr(ICR, MODE(mode) | BIT(14) | (uint64_t)shorthand << 18 | 0x77);
            assert_false(requested(0x77));
            assert_int_equal(sent_count, valid);
            assert_int_equal(apic.esr_pending, 0);
        }
    setup(NULL);
    wr(ICR, MODE(5) | BIT(15)); /* INIT level de-assert: nothing */
    assert_int_equal(sent_count, 0);
}

/* An APIC that is software-disabled sends all the same. */
static void test_nmi_while_disabled(void **state)
{
    (void)state;
    wr(SVR, 0xff);
    wr(ICR, MODE(4) | TO(0));
    assert_int_equal(sent_count, 1);
}

/* ---- level-triggered interrupts ---- */

/* 11.8.5: "if the terminated interrupt was level-triggered, the local APIC also sends an EOI message". */
static void test_level(void **state)
{
    (void)state;
    apic.changed = 0;
    lapic_set_irr(&apic, 0x51, true);
    assert_int_equal(apic.changed, LAPIC_CHANGED_REQUESTS | LAPIC_CHANGED_TRIGGERS);
    assert_int_equal(rd(0x818 + 2), 1u << 17);
    assert_int_equal(lapic_trigger_modes(&apic, 2), 1u << 17);
    lapic_accept(&apic, 0x51);
    wr(EOI, 0);
    assert_int_equal(eoi_count, 1);
    assert_int_equal(eoi_vector, 0x51);
    lapic_set_irr(&apic, 0x51, false); /* the same vector, edge-triggered now */
    assert_int_equal(rd(0x818 + 2), 0);
    lapic_accept(&apic, 0x51);
    wr(EOI, 0);
    assert_int_equal(eoi_count, 1);
    lapic_set_irr(&apic, 0x61, true);
    lapic_eoi_virtualized(&apic, 0x61); /* the processor did the rest */
    assert_int_equal(eoi_count, 2);
    lapic_eoi_virtualized(&apic, 0x60);
    assert_int_equal(eoi_count, 2);
}

static void test_requests_for_the_processor(void **state)
{
    (void)state;
    assert_int_equal(lapic_requesting_vector(&apic) | lapic_servicing_vector(&apic), 0);
    lapic_set_irr(&apic, 0x41, false);
    lapic_set_irr(&apic, 0x99, false);
    assert_int_equal(lapic_requesting_vector(&apic), 0x99);
    lapic_accept(&apic, 0x99);
    assert_int_equal(lapic_requesting_vector(&apic), 0x41);
    assert_int_equal(lapic_servicing_vector(&apic), 0x99);
    assert_true(lapic_put_back(&apic, 0x99));
    assert_false(lapic_put_back(&apic, 0x99));
    assert_int_equal(lapic_requesting_vector(&apic), 0x99);
    assert_int_equal(lapic_servicing_vector(&apic), 0);
}

static void test_held_by_tpr(void **state)
{
    (void)state;
    assert_false(lapic_held_by_tpr(&apic));
    lapic_set_irr(&apic, 0x41, false);
    assert_false(lapic_held_by_tpr(&apic));
    wr(TPR, 0x3f);
    assert_false(lapic_held_by_tpr(&apic));
    wr(TPR, 0x40);
    assert_true(lapic_held_by_tpr(&apic));
    lapic_set_irr(&apic, 0x51, false);
    assert_false(lapic_held_by_tpr(&apic));
}

/* The PIC's interrupts: LINT0 as ExtINT, or no APIC in between. */
static void test_extint(void **state)
{
    (void)state;
    assert_false(lapic_takes_extint(&apic));
    wr(LVT_LINT0, 0x700);
    assert_true(lapic_takes_extint(&apic));
    wr(LVT_LINT0, 0x10700);
    assert_false(lapic_takes_extint(&apic));
    wr(LVT_LINT0, 0x20);
    assert_false(lapic_takes_extint(&apic));
    reset(0, true, APIC_XAPIC);
    assert_false(lapic_takes_extint(&apic));
    lapic_prepare_virtual_wire(&apic);
    assert_true(lapic_takes_extint(&apic));
    assert_int_equal(mr(0xf0), ENABLED);
    reset(0, true, APIC_DISABLED);
    assert_true(lapic_takes_extint(&apic));
    lapic_set_irr(&apic, 0x50, false);
    assert_int_equal(lapic_pending_vector(&apic), -1);
    reset(1, false, APIC_DISABLED);
    assert_false(lapic_takes_extint(&apic));
}

static void test_cr8(void **state)
{
    (void)state;
    lapic_set_cr8(&apic, 9);
    assert_int_equal(rd(TPR), 0x90);
    wr(TPR, 0xa7);
    assert_int_equal(lapic_cr8(&apic), 10);
}

/*
 * 11.5.3: illegal vectors are errors of the sender, and of the receiver too; lowest priority has an error of
 * its own.
 */
static void test_ipi_errors(void **state)
{
    (void)state;
    wr(ICR, TO(9) | 5);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5);
    wr(SELF_IPI, 15);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5 | 1u << 6);
    wr(ICR, MODE(1) | TO(9) | 5);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 1u << 5);
}

static void test_self_ipi(void **state)
{
    (void)state;
    wr(SELF_IPI, 0x80);
    assert_true(requested(0x80));
    assert_int_equal(rd(ICR), 0); /* the ICR is not touched */
}

/* ---- timer ---- */

static void test_one_shot(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    assert_int_equal(lapic_next_deadline(&apic), 1050);
    assert_int_equal(rd_at(CURRENT_COUNT, 1000), 50);
    assert_int_equal(rd_at(CURRENT_COUNT, 1049), 1);
    assert_false(requested(TIMER_VECTOR));
    lapic_advance(&apic, 1050);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(CURRENT_COUNT, 1050), 0);
    lapic_accept(&apic, TIMER_VECTOR);
    lapic_advance(&apic, UINT64_MAX); /* once */
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(INITIAL_COUNT, 2000), 50);
}

static void test_initial_count_zero_stops(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode <= PERIODIC; mode += PERIODIC) {
        wr(LVT_TIMER, mode | TIMER_VECTOR);
        wr_at(INITIAL_COUNT, 0, 50);
        wr_at(INITIAL_COUNT, 10, 0);
        assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
        assert_int_equal(rd_at(CURRENT_COUNT, 20), 0);
    }
}

static void test_periodic(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    for (uint64_t due = 1050; due < 2000; due += 50) {
        assert_int_equal(lapic_next_deadline(&apic), due + SHORT_PERIOD);
        lapic_advance(&apic, due - 1);
        assert_false(requested(TIMER_VECTOR));
        lapic_advance(&apic, due);
        assert_true(requested(TIMER_VECTOR));
        assert_int_equal(rd_at(CURRENT_COUNT, due), 50);
        lapic_accept(&apic, TIMER_VECTOR);
        wr_at(EOI, due, 0);
    }
}

/*
 * After a teleport: time went on by many periods. One interrupt, and the phase is as if nothing had happened.
 */
static void test_periodic_after_a_long_pause(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 50);
    lapic_advance(&apic, 1000 + 50 * 123456 + 7);
    assert_true(requested(TIMER_VECTOR));
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 1000 + 50 * 123457 + SHORT_PERIOD);
    assert_int_equal(rd_at(CURRENT_COUNT, 1000 + 50 * 123456 + 7), 43);
    assert_false(requested(TIMER_VECTOR));
}

/* Figure 11-10 "Divide Configuration Register" */
static void test_divide(void **state)
{
    static const struct { uint32_t code, divisor; } codes[] = {
        { 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 }, { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
    };

    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        wr(DIVIDE, codes[i].code);
        wr_at(INITIAL_COUNT, 0, 10);
        assert_int_equal(lapic_next_deadline(&apic), 10 * codes[i].divisor);
        assert_int_equal(rd_at(CURRENT_COUNT, codes[i].divisor - 1), 10);
        assert_int_equal(rd_at(CURRENT_COUNT, codes[i].divisor), 9);
        wr(INITIAL_COUNT, 0);
    }
}

/* A new divisor in mid-count: what is left of the count goes on at the new rate. */
static void test_divide_in_mid_count(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    wr_at(DIVIDE, 60, 0x1); /* 40 left, now 4 ticks each */
    assert_int_equal(rd_at(CURRENT_COUNT, 60), 40);
    assert_int_equal(lapic_next_deadline(&apic), 60 + 160);
    wr_at(DIVIDE, 140, 0xb); /* 20 left */
    assert_int_equal(lapic_next_deadline(&apic), 160);
}

static void test_bus_divisor(void **state)
{
    (void)state;
    apic.bus_divisor = 10;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 5, 3);
    assert_int_equal(lapic_next_deadline(&apic), 35);
    assert_int_equal(rd_at(CURRENT_COUNT, 15), 2);
}

/* Masked, the timer counts and expires, and nobody hears of it: not later either. */
static void test_masked_timer(void **state)
{
    (void)state;
    wr(LVT_TIMER, MASKED | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(CURRENT_COUNT, 40), 60);
    wr_at(LVT_TIMER, 150, TIMER_VECTOR);
    assert_false(requested(TIMER_VECTOR));
    wr_at(LVT_TIMER, 150, MASKED | PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 200, 100);
    wr_at(LVT_TIMER, 350, PERIODIC | TIMER_VECTOR); /* one expiry was missed; the phase is kept */
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), 400 + SHORT_PERIOD);
}

/* One-shot to periodic and back, in mid-count: the count goes on. */
static void test_one_shot_periodic_switch(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 100);
    wr_at(LVT_TIMER, 30, PERIODIC | TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 100 + SHORT_PERIOD);
    lapic_advance(&apic, 100);
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), 200 + SHORT_PERIOD);
    wr_at(LVT_TIMER, 150, TIMER_VECTOR);
    lapic_advance(&apic, 200);
    lapic_accept(&apic, TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    wr_at(LVT_TIMER, 250, PERIODIC | TIMER_VECTOR); /* the count has reached 0 and stays there */
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
}

/*
 * 11.5.4.1: "writes to the initial-count register are ignored and reads of the current-count register return
 * 0"
 */
static void test_tsc_deadline(void **state)
{
    (void)state;
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 10);
    assert_int_equal(rd_at(CURRENT_COUNT, 0), 0);
    assert_int_equal(rd_at(INITIAL_COUNT, 0), 0);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    wr_at(IA32_TSC_DEADLINE, 5, 1000);
    assert_int_equal(lapic_next_deadline(&apic), 1000);
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 999), 1000);
    lapic_advance(&apic, 1000);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 1000), 0); /* "the MSR is cleared" */
    lapic_accept(&apic, TIMER_VECTOR);
    lapic_advance(&apic, 5000);
    assert_false(requested(TIMER_VECTOR));
}

/* A deadline that has passed fires at once; 0 disarms; a new one replaces the old. */
static void test_tsc_deadline_writes(void **state)
{
    (void)state;
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 500, 400);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 500), 0);
    lapic_accept(&apic, TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 500, 600);
    wr_at(IA32_TSC_DEADLINE, 550, 900);
    lapic_advance(&apic, 700);
    assert_false(requested(TIMER_VECTOR));
    wr_at(IA32_TSC_DEADLINE, 700, 0);
    lapic_advance(&apic, 1000);
    assert_false(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
}

/*
 * "In other timer modes the IA32_TSC_DEADLINE MSR reads zero and writes are ignored"; a change of mode
 * disarms.
 */
static void test_tsc_deadline_mode_switch(void **state)
{
    (void)state;
    wr(LVT_TIMER, TIMER_VECTOR);
    wr(IA32_TSC_DEADLINE, 1000);
    assert_int_equal(rd(IA32_TSC_DEADLINE), 0);
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    wr(IA32_TSC_DEADLINE, 1000);
    wr(LVT_TIMER, DEADLINE | MASKED | TIMER_VECTOR); /* masking is no change of mode */
    assert_int_equal(rd(IA32_TSC_DEADLINE), 1000);
    wr(LVT_TIMER, TIMER_VECTOR);
    assert_int_equal(rd(IA32_TSC_DEADLINE), 0);
    wr(INITIAL_COUNT, 100);
    wr(LVT_TIMER, DEADLINE | TIMER_VECTOR);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    lapic_advance(&apic, 5000);
    assert_false(requested(TIMER_VECTOR));
}

/* A tiny period: its expiries are looked at together, so that exits for them leave the guest time. */
static void test_tiny_period(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 0, 1);
    assert_int_equal(lapic_next_deadline(&apic), 1 + SHORT_PERIOD);
    lapic_advance(&apic, 1 + SHORT_PERIOD);
    assert_true(requested(TIMER_VECTOR));
    assert_int_equal(lapic_next_deadline(&apic), 4098 + SHORT_PERIOD);
    wr_at(INITIAL_COUNT, 20, 1000000); /* a period with room for exits: each expiry is seen when it happens */
    lapic_advance(&apic, 1000020);
    assert_int_equal(lapic_next_deadline(&apic), 2000020);
}

static void test_end_of_time(void **state)
{
    (void)state;
    wr(LVT_TIMER, PERIODIC | TIMER_VECTOR);
    wr(DIVIDE, 0xa);
    apic.bus_divisor = 65536;
    wr_at(INITIAL_COUNT, UINT64_MAX - 5, 0xffffffff);
    assert_int_equal(lapic_next_deadline(&apic), UINT64_MAX);
    assert_int_equal(rd_at(CURRENT_COUNT, UINT64_MAX - 5), 1);
    lapic_advance(&apic, UINT64_MAX);
    wr_at(DIVIDE, UINT64_MAX - 1, 0xb);
    lapic_advance(&apic, UINT64_MAX);
}

/* The guest sets its TSC: the count goes on, the deadline is absolute. */
static void test_tsc_moved(void **state)
{
    (void)state;
    wr_at(LVT_TIMER, 1000, TIMER_VECTOR);
    wr_at(INITIAL_COUNT, 1000, 100);
    lapic_tsc_moved(&apic, 1040, 7);
    assert_int_equal(lapic_next_deadline(&apic), 67);
    assert_int_equal(rd_at(CURRENT_COUNT, 7), 60);
    lapic_tsc_moved(&apic, 10, 5000000);
    assert_int_equal(rd_at(CURRENT_COUNT, 5000000), 57);
    wr_at(LVT_TIMER, 5000000, DEADLINE | TIMER_VECTOR);
    wr_at(IA32_TSC_DEADLINE, 5000000, 6000000);
    lapic_tsc_moved(&apic, 5000000, 1);
    assert_int_equal(rd_at(IA32_TSC_DEADLINE, 1), 6000000);
}

/* ---- state ---- */

static char why[160];

static enum err reload(const struct lapic_state *from, struct lapic_state *to)
{
    uint8_t wire[1024];
    size_t size = section_wire_size(&lapic_section);

    assert_true(size <= sizeof(wire));
    section_save(&lapic_section, from, wire);
    return section_load(&lapic_section, to, wire, size, why, sizeof(why));
}

/* Page and model are the same after a trip over the wire, in each mode. */
static void test_state_round_trip(void **state)
{
    (void)state;
    for (enum apic_mode mode = APIC_XAPIC; mode <= APIC_X2APIC; mode++) {
        struct lapic before;
        struct lapic_state saved, loaded = { 0 };
        uint8_t page_before[LAPIC_PAGE_SIZE];

        reset(0x25, true, APIC_XAPIC);
        mw(0xf0, ENABLED);
        mw(0xd0, 0x04000000);
        mw(0x310, 0x07000000);
        mw(0x320, PERIODIC | TIMER_VECTOR);
        if (mode == APIC_X2APIC) {
            wr(IA32_APIC_BASE, 0xfee00d00);
            wr(ICR, TO(0x12345) | 0x33);
        }
        apic.bus_divisor = 3;
        lapic_msr_write(&apic, INITIAL_COUNT, 777, 50);
        lapic_mmio_write(&apic, 0x380, 777, 50);
        lapic_set_irr(&apic, 0x99, true);
        lapic_set_irr(&apic, 2, false);
        lapic_accept(&apic, 0x31);
        lapic_set_cr8(&apic, 2);
        before = apic;
        memcpy(page_before, page, sizeof(page));
        lapic_save(&apic, &saved);
        assert_int_equal(reload(&saved, &loaded), OK);
        assert_memory_equal(&saved, &loaded, sizeof(saved));
        memset(page, 0x5a, sizeof(page));
        reset(0x25, false, APIC_DISABLED);
        lapic_load(&apic, &loaded);
        before.changed = apic.changed;
        assert_memory_equal(&apic, &before, sizeof(apic));
        assert_memory_equal(page, page_before, sizeof(page));
        assert_int_equal(apic.changed & 15, 15);
    }
}

static void test_state_refused(void **state)
{
    static const struct { const char *field; size_t offset; uint64_t value; unsigned size; } wrong[] = {
#define WRONG(member, value) \
    { #member, offsetof(struct lapic_state, member), value, sizeof(((struct lapic_state *)0)->member) }
        WRONG(apic_base, 0xfee00500), WRONG(apic_base, 0xfee00d01), WRONG(apic_base, BIT(52) | 0xfee00d00),
        WRONG(dfr, 0xffffffff), WRONG(tpr, 0x100), WRONG(svr, 0x1000), WRONG(esr, 1), WRONG(esr_pending, 0x10),
        WRONG(irr[0], 0x8000), WRONG(isr[0], 1), WRONG(tmr[0], 0x10), WRONG(icr, BIT(12)),
        WRONG(lvt_timer, 0x1000), WRONG(lvt_timer, 0x60000), WRONG(lvt_timer, 0x800), WRONG(lvt_lint0, 0x4000),
        WRONG(lvt_thermal, 0x20000), WRONG(lvt_performance, 0x800), WRONG(lvt_lint1, 0x20000), WRONG(lvt_error, 0x400),
        WRONG(divide_configuration, 4), WRONG(bus_divisor, 0), WRONG(bus_divisor, 65537),
        WRONG(tsc_deadline, 5), WRONG(timer_due, 5),
#undef WRONG
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct lapic_state bad, to = { 0 };

        setup(NULL);
        lapic_save(&apic, &bad);
        memcpy((uint8_t *)&bad + wrong[i].offset, &wrong[i].value, wrong[i].size);
        assert_int_equal(reload(&bad, &to), ERR_INVALID);
        assert_non_null(strstr(why, "lapic"));
        assert_memory_equal(why + strlen("section lapic, field "), wrong[i].field, 2); /* "irr[0]" may be "irr" */
        assert_int_equal(to.bus_divisor, 0);
    }
}

/* What has another form, or no meaning, in the other modes. */
static void test_state_and_mode(void **state)
{
    struct lapic_state good, bad, to;

    (void)state;
    reset(0, true, APIC_XAPIC);
    lapic_save(&apic, &good);
    assert_int_equal(reload(&good, &to), OK);
    bad = good, bad.ldr = 1;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.dfr = 0xf0000000;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.icr = TO(1);
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    bad = good, bad.lvt_lint1 = 0x40; /* unmasked while software-disabled */
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
    reset(0, true, APIC_DISABLED);
    lapic_save(&apic, &good);
    assert_int_equal(reload(&good, &to), OK);
    bad = good, bad.svr = ENABLED;
    assert_int_equal(reload(&bad, &to), ERR_INVALID);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset), T(test_access_rights), T(test_reserved_bits), T(test_lvt_read_only_bits), T(test_version),
        T(test_logical_id), T(test_modes), T(test_registers_in_transition), T(test_init),
        T(test_memory_registers), T(test_illegal_register_address), T(test_memory_icr), T(test_page_written),
        T(test_page_written_elsewhere),
        T(test_accept_and_eoi), T(test_one_in_service_one_waiting), T(test_ppr), T(test_tpr_holds_back),
        T(test_illegal_vectors), T(test_software_disable),
        T(test_esr), T(test_error_interrupt), T(test_error_interrupt_masked), T(test_error_interrupt_illegal),
        T(test_fixed_ipi), T(test_other_ipis), T(test_nmi_while_disabled), T(test_ipi_errors), T(test_level), T(test_requests_for_the_processor), T(test_held_by_tpr), T(test_extint), T(test_cr8), T(test_self_ipi),
        T(test_one_shot), T(test_initial_count_zero_stops), T(test_periodic), T(test_periodic_after_a_long_pause),
        T(test_divide), T(test_divide_in_mid_count), T(test_bus_divisor), T(test_masked_timer),
        T(test_one_shot_periodic_switch), T(test_tsc_deadline), T(test_tsc_deadline_writes),
        T(test_tsc_deadline_mode_switch), T(test_tiny_period), T(test_end_of_time), T(test_tsc_moved),
        T(test_state_round_trip), T(test_state_refused), T(test_state_and_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
