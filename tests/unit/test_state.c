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
    uint8_t bytes[FAKE_STATE_MAX];
    size_t used;
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
    *state = f;
    f->used = fake_state_write(f->parts, f->count, f->bytes);
    return f->used ? 0 : -1;
}

static int unmake(void **state)
{
    struct fixture *f = *state;
    free(f->image);
    free(f->decoded);
    free(f);
    return 0;
}

static enum err decode(struct fixture *f, const void *bytes, size_t size)
{
    f->why[0] = 0;
    return fake_state_read(f->decoded_parts, f->count, bytes, size, f->why, sizeof f->why);
}

static enum err recode(struct fixture *f)
{
    f->used = fake_state_write(f->parts, f->count, f->bytes);
    return decode(f, f->bytes, f->used);
}

static void round_trip(void **state)
{
    struct fixture *f = *state;
    static uint8_t again[FAKE_STATE_MAX];
    assert_int_equal(f->used % 8, 0);
    assert_int_equal(decode(f, f->bytes, f->used), OK);
    assert_int_equal(fake_state_write(f->decoded_parts, f->count, again), f->used);
    assert_memory_equal(again, f->bytes, f->used);
    for (uint32_t v = 0; v < VCPUS; v++)
        assert_memory_equal(&f->decoded->vcpus[v].state, &f->image->vcpus[v].state, sizeof(struct vcpu_state));
    assert_int_equal(f->decoded->clock.guest_tsc, FAKE_MACHINE_TSC);
    assert_int_equal(f->decoded->console.position, 4711);
}

/* Without room for all, whole sections in record after record; the last one that comes counts. */
static void record_by_record(void **state)
{
    struct fixture *f = *state;
    struct state_writer w;
    struct state_reader r;
    uint32_t records = 0;
    size_t used;
    for (uint32_t v = 0; v < VCPUS; v++)
        memset(f->image->vcpus[v].state.xsave.image + XSAVE_HEADER_END, 0x5a, XSAVE_IMAGE_SIZE - XSAVE_HEADER_END);
    assert_int_equal(state_writer_open(&w, f->parts, f->count), OK);
    state_writer_begin(&w);
    state_reader_begin(&r, f->decoded_parts, f->count);
    for (; (used = state_write(&w, f->bytes, VM_STATE_RECORD_MIN)) > 0; records++) {
        assert_true(used <= VM_STATE_RECORD_MIN);
        assert_int_equal(state_read_end(&r, f->why, sizeof f->why), ERR_INVALID);
        assert_int_equal(state_read(&r, f->bytes, used, f->why, sizeof f->why), OK);
    }
    assert_true(records > 1);
    assert_int_equal(state_read_end(&r, f->why, sizeof f->why), OK);
    assert_memory_equal(&f->decoded->vcpus[1].state, &f->image->vcpus[1].state, sizeof(struct vcpu_state));
    state_writer_close(&w);
}

/* The second time only what is not as it was; and what comes twice is in the end as it came last. */
static void only_what_has_changed(void **state)
{
    struct fixture *f = *state;
    struct state_writer w;
    struct state_reader r;
    assert_int_equal(state_writer_open(&w, f->parts, f->count), OK);
    state_reader_begin(&r, f->decoded_parts, f->count);
    state_writer_begin(&w);
    size_t used = state_write(&w, f->bytes, sizeof f->bytes);
    assert_int_equal(state_read(&r, f->bytes, used, f->why, sizeof f->why), OK);
    state_writer_begin(&w);
    assert_int_equal(state_write(&w, f->bytes, sizeof f->bytes), 0);
    for (uint32_t i = 0; i < f->count; i++) {   /* each part alone, in its first and its last byte: only it comes */
        const struct section *section = f->parts[i].section;
        const struct field *last = &section->fields[section->field_count - 1];
        uint8_t *object = f->parts[i].object, *ends[] = { object + section->fields[0].offset,
                                                         object + last->offset + last->bytes - 1 };
        for (unsigned k = 0; k < 2; k++) {
            *ends[k] ^= 1;
            state_writer_begin(&w);
            used = state_write(&w, f->bytes, sizeof f->bytes);
            const struct vm_section_header *h = (const void *)f->bytes;
            assert_int_equal(h->kind, f->parts[i].kind);
            assert_int_equal(h->instance, f->parts[i].instance);
            assert_int_equal(used, (sizeof *h + h->size + 7) / 8 * 8);
            *ends[k] ^= 1;
            state_writer_begin(&w);
            assert_true(state_write(&w, f->bytes, sizeof f->bytes) > 0);
        }
    }
    f->image->vcpus[2].state.gpr.rip = 0xabcdef;
    f->image->platform.rtc.index = 3;
    state_writer_begin(&w);
    used = state_write(&w, f->bytes, sizeof f->bytes);
    assert_int_equal(state_read(&r, f->bytes, used, f->why, sizeof f->why), OK);
    assert_int_equal(state_read_end(&r, f->why, sizeof f->why), OK);
    for (uint32_t v = 0; v < VCPUS; v++)
        assert_memory_equal(&f->decoded->vcpus[v].state, &f->image->vcpus[v].state, sizeof(struct vcpu_state));
    assert_int_equal(f->decoded->platform.rtc.index, 3);
    state_writer_close(&w);
}

/* What a machine's state weighs on the wire is one of the project's figures; a section fits the room that it is decoded in. */
static void one_vcpu_is_small(void **state)
{
    struct fixture *f = *state;
    struct state_part parts[VM_IMAGE_PARTS_MAX];
    f->image->vcpu_count = 1;
    uint32_t count = vm_image_parts(f->image, &config, false, parts);
    assert_true(fake_state_write(parts, count, f->bytes) <= 4096);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(parts[i].wire_size, section_wire_size(parts[i].section));
        assert_in_range(parts[i].wire_size, 1, VM_SECTION_BYTES_MAX);
    }
    assert_int_equal(vm_image_parts(f->image, &config, true, parts), 1);   /* one that has ended: its console */
    assert_string_equal(parts[0].section->name, "console");
    f->image->vcpu_count = VCPUS;
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

/* The order is the sender's own affair; what no machine has, and what does not come at all, is not. */
static void any_order_but_all(void **state)
{
    struct fixture *f = *state;
    struct state_part reversed[VM_IMAGE_PARTS_MAX];
    for (uint32_t i = 0; i < f->count; i++)
        reversed[i] = f->parts[f->count - 1 - i];
    f->used = fake_state_write(reversed, f->count, f->bytes);
    assert_int_equal(decode(f, f->bytes, f->used), OK);
    for (uint32_t i = 0; i < f->count; i++) {
        memcpy(reversed, f->parts, sizeof reversed);
        reversed[i].instance += 16;
        f->used = fake_state_write(reversed, f->count, f->bytes);
        assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
        reversed[i] = f->parts[f->count - 1];
        f->used = fake_state_write(reversed, f->count - 1, f->bytes);
        assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);   /* the last one is missing, or one is */
        assert_non_null(strstr(f->why, "missing"));
    }
}

static struct vm_section_header *header_at(struct fixture *f, uint32_t index)
{
    size_t at = 0;
    for (uint32_t i = 0; i < index; i++)
        at += sizeof(struct vm_section_header) + ((struct vm_section_header *)(f->bytes + at))->size;
    return (struct vm_section_header *)(f->bytes + at);
}

/* Cut anywhere, it is refused with a sentence; the heap copy lets ASan see a read past the end. */
static void truncation(void **state)
{
    struct fixture *f = *state;
    size_t without_padding = (size_t)((uint8_t *)header_at(f, f->count) - f->bytes);
    assert_in_range(f->used - without_padding, 0, 7);
    for (size_t size = 0; size < without_padding; size++) {
        uint8_t *part = malloc(size ? size : 1);
        memcpy(part, f->bytes, size);
        assert_int_not_equal(decode(f, part, size), OK);
        assert_true(f->why[0]);
        free(part);
    }
    memset(f->bytes + without_padding, 0, 16);
    for (size_t size = without_padding; size < without_padding + 8; size++)
        assert_int_equal(decode(f, f->bytes, size), OK);
    assert_int_not_equal(decode(f, f->bytes, without_padding + 8), OK);
    f->bytes[without_padding + 6] = 1;
    assert_int_not_equal(decode(f, f->bytes, without_padding + 7), OK);
}

static uint32_t index_of(const struct fixture *f, const char *name)
{
    uint32_t i = 0;
    while (strcmp(f->parts[i].section->name, name))
        i++;
    return i;
}

static void headers(void **state)
{
    struct fixture *f = *state;
    struct vm_section_header *h = header_at(f, index_of(f, "msr")), good = *h;
    h->instance = VCPUS;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
    *h = good;
    h->kind = 0;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
    h->kind = UINT8_MAX;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_INVALID);
    *h = good;
    h->size = UINT16_MAX;
    assert_int_equal(decode(f, f->bytes, f->used), ERR_RANGE);
    *h = good;
    h->kind = (uint8_t)f->parts[index_of(f, "mtrr")].kind;   /* another one of the same machine: msr is missing then */
    assert_int_not_equal(decode(f, f->bytes, f->used), OK);
    *h = good;
    assert_int_equal(decode(f, f->bytes, f->used), OK);
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
    if (fake_state_read(parts, count, bytes + 1, size - 1, why, sizeof why) != OK)
        fail_msg("%s: %s (the state has changed: make seeds)", (const char *)*state, why);
    free(image);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, make, unmake),
        cmocka_unit_test_setup_teardown(record_by_record, make, unmake),
        cmocka_unit_test_setup_teardown(only_what_has_changed, make, unmake),
        cmocka_unit_test_setup_teardown(one_vcpu_is_small, make, unmake),
        cmocka_unit_test_setup_teardown(kinds, make, unmake),
        cmocka_unit_test_setup_teardown(any_order_but_all, make, unmake),
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
