/* The stream form of a machine's state: what is encoded decodes to the same, and nothing bad gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "vmx/state.h"
#include "vmx/state_codec.h"
#include "vmx/vmcs.h"

struct fixture {
    struct vm_image image, decoded;
    uint8_t *bytes;
    size_t used;
    char why[256];
};

/* A long-mode guest as a teleport would find it: every group has something in it. */
static int make(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct vcpu_state *v = &f->image.vcpu;
    vcpu_state_reset(v, 0x8000);
    lapic_reset(&f->image.lapic, 0, true);
    uart_reset(&f->image.uart);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        v->gpr.gpr[i] = 0x0101010101010101ULL * (i + 1);
    v->control = (struct state_control){ .cr0 = CR0_PE | CR0_PG | CR0_ET, .cr3 = 0x1000, .cr4 = CR4_PAE,
                                         .efer = IA32_EFER_LME | IA32_EFER_LMA, .xcr0 = 7 };
    v->msr.lstar = 0xffffffff80001000;
    v->events.event_info = INTERRUPTION_VALID | INTERRUPTION_HARDWARE_EXCEPTION << INTERRUPTION_TYPE_SHIFT | 6;
    v->events.activity = ACTIVITY_HLT;
    v->xsave.image[XSAVE_XSTATE_BV] = 7;
    f->image.clock = (struct state_clock){ 123456789, 2000000000 };
    f->bytes = malloc(vm_image_size());
    *state = f;
    return vm_image_encode(&f->image, f->bytes, vm_image_size(), &f->used) == OK ? 0 : -1;
}

static int unmake(void **state)
{
    struct fixture *f = *state;
    free(f->bytes);
    free(f);
    return 0;
}

static enum err decode(struct fixture *f, const void *bytes, size_t size)
{
    f->why[0] = 0;
    return vm_image_decode(&f->decoded, bytes, size, f->why, sizeof f->why);
}

static enum err recode(struct fixture *f)
{
    assert_int_equal(vm_image_encode(&f->image, f->bytes, vm_image_size(), &f->used), OK);
    return decode(f, f->bytes, f->used);
}

static void round_trip(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->used, vm_image_size());
    assert_int_equal(decode(f, f->bytes, f->used), OK);
    uint8_t *again = malloc(vm_image_size());
    size_t used;
    assert_int_equal(vm_image_encode(&f->decoded, again, vm_image_size(), &used), OK);
    assert_memory_equal(again, f->bytes, used);
    free(again);
    assert_memory_equal(&f->decoded.vcpu.gpr, &f->image.vcpu.gpr, sizeof f->image.vcpu.gpr);
    assert_int_equal(f->decoded.clock.guest_tsc, 123456789);
    assert_int_equal(vm_image_encode(&f->image, f->bytes, vm_image_size() - 1, &f->used), ERR_RANGE);
}

/* Cut anywhere, it is refused with a sentence; the heap copy lets ASan see a read past the end. */
static void truncation(void **state)
{
    struct fixture *f = *state;
    for (size_t size = 0; size < f->used; size++) {
        uint8_t *part = malloc(size ? size : 1);
        memcpy(part, f->bytes, size);
        assert_int_not_equal(decode(f, part, size), OK);
        assert_true(f->why[0]);
        free(part);
    }
}

static struct vm_section_header *header_named(struct fixture *f, const char *name)
{
    for (size_t at = 0; at < f->used;) {
        struct vm_section_header *h = (struct vm_section_header *)(f->bytes + at);
        if (strcmp(h->name, name) == 0)
            return h;
        at += sizeof *h + (h->size + 7) / 8 * 8;
    }
    fail_msg("no section %s", name);
    return NULL;
}

static void headers(void **state)
{
    struct fixture *f = *state;
    struct vm_section_header *h = header_named(f, "msr"), good = *h;
    h->version = 2;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_VERSION);
    assert_non_null(strstr(f->why, "msr"));
    *h = good;
    h->instance = 1;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
    *h = good;
    h->size += 8;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_RANGE);
    *h = good;
    h->size = UINT32_MAX;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_RANGE);
    *h = good;
    memset(h->name, 'm', sizeof h->name); /* not terminated */
    assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
    *h = good;
    strcpy(h->name, "gpr"); /* a second one */
    assert_int_not_equal(decode(f, f->bytes, f->used), OK);
}

/* What would fault the host if it were loaded: SDM on WRMSR, XSETBV, XRSTOR, MOV DR. */
static void host_killers_are_refused(void **state)
{
    struct fixture *f = *state;
    struct vcpu_state *v = &f->image.vcpu, good = *v;
#define REFUSED(change) \
    do { \
        change; \
        assert_int_not_equal(recode(f), OK); \
        assert_true(f->why[0]); \
        *v = good; \
    } while (0)
    REFUSED(v->msr.lstar = 0x8000000000000000);
    REFUSED(v->msr.cstar = 0x0000800000000000);
    REFUSED(v->msr.kernel_gs_base = 0xffff000000000000);
    REFUSED(v->msr.fmask = 1ULL << 32);
    REFUSED(v->msr.tsc_aux = 1ULL << 32);
    REFUSED(v->debug.dr6 = 1ULL << 32);
    REFUSED(v->debug.dr7 = 1ULL << 63);
    REFUSED(v->control.xcr0 = 0);
    REFUSED(v->control.xcr0 = 5);
    REFUSED(v->control.xcr0 = 1ULL << 63 | 1);
    REFUSED(v->control.efer |= 1ULL << 1);
    REFUSED(v->control.efer &= ~IA32_EFER_LMA);
    REFUSED(v->control.cr0 &= ~CR0_PE);
    REFUSED(v->control.cr4 = 0);
    REFUSED(v->xsave.image[XSAVE_XSTATE_BV + 7] = 0x80);
    REFUSED(v->xsave.image[XSAVE_XCOMP_BV + 7] = 0x80);
    REFUSED(v->xsave.image[XSAVE_HEADER_RESERVED] = 1);
    REFUSED(v->xsave.image[XSAVE_HEADER_END - 1] = 1);
    REFUSED(v->xsave.image[XSAVE_MXCSR + 2] = 1);
    REFUSED(v->events.nmi_pending = 2);
    REFUSED(v->events.activity = 2);
    REFUSED(v->events.interruptibility = 0x10);
    REFUSED(v->events.event_info = 6);
    REFUSED(v->events.event_info |= 1u << 13);
    assert_int_equal(recode(f), OK);
}

/* Every bit of the stream turned over: decoded or refused, never more; the decoder's own memory is ASan's business. */
static void every_bit(void **state)
{
    struct fixture *f = *state;
    for (size_t bit = 0; bit < f->used * 8; bit++) {
        f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err e = decode(f, f->bytes, f->used);
        if (e != OK)
            assert_true(f->why[0]);
        f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* guests/ABI.md: CS:IP from the entry, everything else as after a start-up IPI. */
static void reset_state(void **state)
{
    (void)state;
    struct vcpu_state *v = malloc(sizeof *v);
    vcpu_state_reset(v, 0x81234);
    assert_int_equal(v->segments.selector[SEGMENT_CS], 0x8123);
    assert_int_equal(v->segments.base[SEGMENT_CS], 0x81230);
    assert_int_equal(v->gpr.rip, 4);
    assert_int_equal(v->gpr.rflags, 2);
    assert_int_equal(v->control.cr0 & (CR0_PE | CR0_PG), 0);
    assert_int_equal(v->segments.base[SEGMENT_DS], 0);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, make, unmake),
        cmocka_unit_test_setup_teardown(truncation, make, unmake),
        cmocka_unit_test_setup_teardown(headers, make, unmake),
        cmocka_unit_test_setup_teardown(host_killers_are_refused, make, unmake),
        cmocka_unit_test_setup_teardown(every_bit, make, unmake),
        cmocka_unit_test(reset_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
