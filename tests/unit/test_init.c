/* INIT and start-up IPIs: what is left of a vCPU's former life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define vmcs_write vmcs_write_of_processor      /* the VMCS is an array here */
#include "vmx/insn.h"
#undef vmcs_write

#define FIELDS 0x8000
static uint64_t fields[FIELDS];
static void vmcs_write(uint64_t field, uint64_t value) { fields[field] = value; }

#include "vmx/init.c"

static struct vm machine;
static struct vcpu first, second;
static uint8_t apic_page[LAPIC_PAGE_SIZE];
static unsigned invalidated;

void vcpu_make_current(struct vcpu *vcpu) { (void)vcpu; }
void vcpu_lapic_changed(struct vcpu *vcpu) { (void)vcpu; }
void vcpu_stop_guest(struct vcpu *vcpu, const char *format, ...) { (void)vcpu, (void)format; }
void vcpu_read_state(struct vcpu *vcpu, struct vcpu_state *out)
{
    vcpu_state_reset(out, 0);
    out->events.nmi_pending = vcpu->nmi_pending;
    out->events.activity = vcpu->activity;
}
void vcpu_apply(struct vcpu *vcpu, const struct vcpu_state *state)
{
    invalidated = 0;
    vcpu->nmi_pending = state->events.nmi_pending;
    vcpu->activity = state->events.activity;
}
void vmx_invalidate_vpid(uint16_t vpid) { invalidated = vpid; }
void vmcs_access_failed(enum vmcs_field field, bool write) { (void)field, (void)write; abort(); }

static int setup(void **state)
{
    (void)state;
    first = (struct vcpu){ .vm = &machine, .index = 0 };
    second = (struct vcpu){ .vm = &machine, .index = 1, .vpid = 7, .lapic = { .page = apic_page } };
    machine.vcpus[0] = &first;
    machine.vcpus[1] = &second;
    machine.vcpu_count = 2;
    invalidated = 0;
    return 0;
}

/* Its paging is off: no translation of before may be used, and Bochs could not show it. */
static void no_translation_outlives_an_init(void **state)
{
    (void)state;
    vcpu_init(&second);
    assert_int_equal(second.activity, ACTIVITY_WAIT_FOR_SIPI);
    assert_true(second.dead);
    assert_int_equal(invalidated, 7);   /* after the new registers */
}

static void no_nmi_outlives_the_wait(void **state)
{
    (void)state;
    vcpu_init(&second);
    second.nmi_pending = 1;
    vcpu_start_up(&second, 0x9a);
    assert_int_equal(second.nmi_pending, 0);
    assert_int_equal(second.activity, ACTIVITY_ACTIVE);
    assert_false(second.dead);
    assert_int_equal(fields[GUEST_CS_BASE], 0x9a000);
    second.nmi_pending = 1;
    vcpu_start_up(&second, 0x9b);       /* the second of two start-ups changes nothing */
    assert_int_equal(second.nmi_pending, 1);
    assert_int_equal(fields[GUEST_CS_BASE], 0x9a000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_translation_outlives_an_init, setup), cmocka_unit_test_setup(no_nmi_outlives_the_wait, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
