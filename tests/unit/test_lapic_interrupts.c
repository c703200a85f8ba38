/*
 * Interrupts of a local APIC: acceptance, priorities, EOI, what comes from the PIC, and the errors that it reports
 * (SDM Vol. 3A, 11.5.3 "Error Handling", 11.8 "Handling Interrupts").
 */
#include "tests/fakes/lapic_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_accept_and_eoi), T(test_one_in_service_one_waiting), T(test_ppr), T(test_tpr_holds_back),
        T(test_illegal_vectors), T(test_software_disable), T(test_esr), T(test_error_interrupt),
        T(test_error_interrupt_masked), T(test_error_interrupt_illegal), T(test_level),
        T(test_requests_for_the_processor), T(test_held_by_tpr), T(test_extint), T(test_cr8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
