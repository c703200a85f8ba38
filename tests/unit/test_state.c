/* The stream form of a machine's state: what is encoded decodes to the same, and nothing bad gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fakes/machine_image.h"
#include "vmx/state.h"

#define VCPUS 3

struct fixture {
    struct vm_image *image, *decoded;
    struct state_part parts[VM_IMAGE_PARTS_MAX], decoded_parts[VM_IMAGE_PARTS_MAX];
    uint32_t count;
    uint8_t *bytes;
    size_t size, used;
    char why[256];
};

static const struct guest_config config = { .vcpus = VCPUS, .devices = GUEST_DEVICES_ALL };

static int make(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->image = fake_machine_new(VCPUS);
    f->decoded = fake_machine_blank(VCPUS);
    f->count = vm_image_parts(f->image, &config, false, f->parts);
    assert_true(f->count <= VM_IMAGE_PARTS_MAX);
    assert_int_equal(vm_image_parts(f->decoded, &config, false, f->decoded_parts), f->count);
    f->size = state_parts_size(f->parts, f->count);
    f->bytes = malloc(f->size);
    *state = f;
    return state_parts_encode(f->parts, f->count, f->bytes, f->size, &f->used) == OK ? 0 : -1;
}

static int unmake(void **state)
{
    struct fixture *f = *state;
    free(f->bytes);
    free(f->image);
    free(f->decoded);
    free(f);
    return 0;
}

static enum err decode(struct fixture *f, const void *bytes, size_t size)
{
    f->why[0] = 0;
    return state_parts_decode(f->decoded_parts, f->count, bytes, size, f->why, sizeof f->why);
}

static enum err recode(struct fixture *f)
{
    assert_int_equal(state_parts_encode(f->parts, f->count, f->bytes, f->size, &f->used), OK);
    return decode(f, f->bytes, f->used);
}

static void round_trip(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->used, f->size);
    assert_int_equal(decode(f, f->bytes, f->used), OK);
    uint8_t *again = malloc(f->size);
    size_t used;
    assert_int_equal(state_parts_encode(f->decoded_parts, f->count, again, f->size, &used), OK);
    assert_memory_equal(again, f->bytes, used);
    free(again);
    for (uint32_t v = 0; v < VCPUS; v++)
        assert_memory_equal(&f->decoded->vcpus[v].state.gpr, &f->image->vcpus[v].state.gpr, sizeof(struct state_gpr));
    assert_int_equal(f->decoded->clock.guest_tsc, FAKE_MACHINE_TSC);
    assert_int_equal(f->decoded->console.position, 4711);
    assert_int_equal(state_parts_encode(f->parts, f->count, f->bytes, f->size - 1, &f->used), ERR_RANGE);
}

/* What a machine's state weighs on the wire is one of the project's figures. */
static void one_vcpu_is_small(void **state)
{
    (void)state;
    struct vm_image *image = vm_image_new(1);
    struct state_part parts[VM_IMAGE_PARTS_MAX];
    assert_true(state_parts_size(parts, vm_image_parts(image, &config, false, parts)) <= 32768);
    assert_int_equal(vm_image_parts(image, &config, true, parts), 1);      /* one that has ended: its console */
    assert_string_equal(parts[0].section->name, "console");
    free(image);
}

static void kinds(void **state)
{
    struct fixture *f = *state;
    struct state_kind found[STATE_KINDS_MAX];
    uint32_t count = state_kinds(f->parts, f->count, found), gpr = 0, instances = 0;
    for (uint32_t i = 0; i < count; i++) {
        instances += found[i].instances;
        if (!strcmp(found[i].name, "gpr"))
            gpr = found[i].instances;
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(found[i].name, found[k].name);
    }
    assert_int_equal(gpr, VCPUS);
    assert_int_equal(instances, f->count);      /* none was left out */
}

/* The order is the sender's own affair; two of one instance, and none of another, is not. */
static void any_order_but_each_once(void **state)
{
    struct fixture *f = *state;
    struct state_part reversed[VM_IMAGE_PARTS_MAX];
    for (uint32_t i = 0; i < f->count; i++)
        reversed[i] = f->parts[f->count - 1 - i];
    assert_int_equal(state_parts_encode(reversed, f->count, f->bytes, f->size, &f->used), OK);
    assert_int_equal(decode(f, f->bytes, f->used), OK);
    for (uint32_t i = 0; i < f->count; i++) {
        memcpy(reversed, f->parts, sizeof reversed);
        reversed[i].instance += 16;
        assert_int_equal(state_parts_encode(reversed, f->count, f->bytes, f->size, &f->used), OK);
        assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
        reversed[i] = f->parts[f->count - 1];
        assert_int_equal(state_parts_encode(reversed, f->count - 1, f->bytes, f->size, &f->used), OK);
        assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);   /* the last one is missing, or one is */
    }
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
    h->version++;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_VERSION);
    assert_non_null(strstr(f->why, "msr"));
    *h = good;
    h->instance = VCPUS;
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
    struct vcpu_state *v = &f->image->vcpus[VCPUS - 1].state, good = *v;
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
    REFUSED(v->msr.spec_ctrl = 8);
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
    REFUSED(v->events.nmi_pending = 3);
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

#define SEEDS "tests/fuzz/corpus/state/"
#define SEED_MAX 32768

/* The fuzzer starts from states that are accepted: it would find its way past the first section's name by luck only. */
static void fuzz_seed(void **state)
{
    struct state_part parts[VM_IMAGE_PARTS_MAX];
    char why[256] = "";
    uint8_t *bytes = malloc(SEED_MAX);
    FILE *f = fopen(*state, "r");
    assert_non_null(f);
    size_t size = fread(bytes, 1, SEED_MAX, f);
    fclose(f);
    assert_in_range(size, 1, SEED_MAX - 1);
    const struct guest_config shape = machine_shape(bytes[0]);
    struct vm_image *image = fake_machine_blank(shape.vcpus);
    uint32_t count = vm_image_parts(image, &shape, false, parts);
    if (state_parts_decode(parts, count, bytes + 1, size - 1, why, sizeof why) != OK)
        fail_msg("%s: %s (the state has changed: make seeds)", (const char *)*state, why);
    free(image);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, make, unmake),
        cmocka_unit_test(one_vcpu_is_small),
        cmocka_unit_test_setup_teardown(kinds, make, unmake),
        cmocka_unit_test_setup_teardown(any_order_but_each_once, make, unmake),
        cmocka_unit_test_setup_teardown(truncation, make, unmake),
        cmocka_unit_test_setup_teardown(headers, make, unmake),
        cmocka_unit_test_setup_teardown(host_killers_are_refused, make, unmake),
        cmocka_unit_test_setup_teardown(every_bit, make, unmake),
        cmocka_unit_test(reset_state),
        cmocka_unit_test_prestate(fuzz_seed, SEEDS "one-vcpu"),
        cmocka_unit_test_prestate(fuzz_seed, SEEDS "two-vcpus-all-devices"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
