/*
 * A machine's state as a teleport would find it: every group has something in it, and no vCPU is like another. And the
 * first byte of a seed in tests/fuzz/corpus/state, which says what machine the rest is the state of.
 */
#ifndef TELEPOD_TESTS_MACHINE_IMAGE_H
#define TELEPOD_TESTS_MACHINE_IMAGE_H

#include "kernel/arch/msr.h"
#include "kernel/lib/pod_config.h"
#include "tests/fakes/apic.h"
#include "vmx/vm_image.h"
#include "vmx/vmcs.h"

/* The low half has the devices (enum guest_device), the next two bits the vCPUs less one. */
static inline uint8_t machine_shape_byte(const struct guest_config *config)
{
    return (uint8_t)((config->vcpus - 1) << 4 | config->devices);
}

static inline struct guest_config machine_shape(uint8_t byte)
{
    return (struct guest_config){ .vcpus = 1 + (byte >> 4 & 3), .devices = byte & GUEST_DEVICES_ALL };
}

/* What a state is decoded into. For free(). */
static inline struct vm_image *fake_machine_blank(uint32_t vcpus)
{
    struct vm_image *image = vm_image_new(vcpus);
    if (image)
        virtio_init_all(image->platform.virtio);
    return image;
}

static inline void fake_vcpu_fill(struct vcpu_image *image, uint32_t index)
{
    struct vcpu_state *v = &image->state;
    vcpu_state_reset(v, 0x8000);
    fake_apic_state(&image->lapic, index);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        v->gpr.gpr[i] = 0x0101010101010101ULL * (i + 1) + index;
    v->control = (struct state_control){ .cr0 = CR0_PE | CR0_PG | CR0_ET, .cr3 = 0x1000, .cr4 = CR4_PAE,
                                         .efer = IA32_EFER_LME | IA32_EFER_LMA, .xcr0 = 7 };
    v->msr.lstar = 0xffffffff80001000;
    v->events.event_info = INTERRUPTION_VALID | INTERRUPTION_HARDWARE_EXCEPTION << INTERRUPTION_TYPE_SHIFT | 6;
    v->events.activity = ACTIVITY_HLT;
    v->xsave.image[XSAVE_XSTATE_BV] = 7;
}

#define FAKE_MACHINE_TSC 123456789

/* In long mode, halted, its devices as they are after power-on. For free(). */
static inline struct vm_image *fake_machine_new(uint32_t vcpus)
{
    const uint64_t tsc_hz = 2000000000, wall_clock = 1000000000;
    const struct machine_time time = { .now = FAKE_MACHINE_TSC, .hz = tsc_hz };
    struct vm_image *image = fake_machine_blank(vcpus);
    if (!image)
        return NULL;
    for (uint32_t v = 0; v < vcpus; v++)
        fake_vcpu_fill(&image->vcpus[v], v);
    image->clock = (struct state_clock){ time.now, time.hz };
    image->console.position = 4711;
    uart_reset(&image->platform.uart);
    pit_reset(&image->platform.pit);
    rtc_reset(&image->platform.rtc, wall_clock, time);
    acpi_pm_reset(&image->platform.pm);
    pic_reset(&image->platform.pic);
    ioapic_reset(&image->platform.ioapic, (uint8_t)vcpus);
    return image;
}

#define FAKE_STATE_MAX 65536    /* bytes: room for the state of any machine that is made here */

/* All of it as one record, as a teleport begins with. Returns the bytes; 0: it does not fit. */
static inline size_t fake_state_write(const struct state_part *parts, uint32_t count, uint8_t out[FAKE_STATE_MAX])
{
    struct state_writer w;
    size_t used = 0;
    if (state_writer_open(&w, parts, count) != OK)
        return 0;
    state_writer_begin(&w);
    used = state_write(&w, out, FAKE_STATE_MAX);
    state_writer_close(&w);
    return w.next == count ? used : 0;
}

/* One record that must have it all. */
static inline enum err fake_state_read(const struct state_part *parts, uint32_t count, const void *bytes, size_t size, char *why,
                                       size_t why_size)
{
    struct state_reader r;
    state_reader_begin(&r, parts, count);
    enum err e = state_read(&r, bytes, size, why, why_size);
    return e ? e : state_read_end(&r, why, why_size);
}

#endif
