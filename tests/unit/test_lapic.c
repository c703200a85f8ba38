/* The local APIC's registers as MSRs, and its modes: each rule of the manual (SDM Vol. 3A, chapter 11) quoted, and then broken
   bit by bit. */
#include "tests/fakes/lapic_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset), T(test_access_rights), T(test_reserved_bits), T(test_lvt_read_only_bits), T(test_version),
        T(test_logical_id), T(test_modes), T(test_registers_in_transition), T(test_init),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
