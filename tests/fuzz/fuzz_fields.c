/*
 * Any bytes as a section of state. The first byte chooses the section (or the policy), the rest is the wire.
 * No crash; what is refused changes nothing and is explained; what is accepted saves to the same bytes, and
 * the local APIC that was loaded works on without breaking its own invariants, whatever a guest does to it next
 * (for the other devices: fuzz_platform.c).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/devices/ioapic.h"
#include "vmx/devices/lapic.h"
#include "vmx/devices/pic.h"
#include "vmx/devices/uart.h"
#include "vmx/policy.h"
#include "vmx/vcpu_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct section *const sections[] = {
    &lapic_section, &uart_section, &gpr_section,   &segments_section, &control_section,
    &debug_section, &msr_section,  &xsave_section, &events_section,   &clock_section,
    &pic_section,   &ioapic_section, &mtrr_section,
};
#define OBJECT_MAX 8192
#define FILLER 0x5a

static void require(int promise)
{
    if (!promise)
        abort();
}

static void reload(const struct section *section, const void *object)
{
    static uint8_t wire[OBJECT_MAX], copy[OBJECT_MAX];
    char why[160] = "";

    memset(copy, 0, sizeof(copy));
    section_save(section, object, wire);
    require(section_load(section, copy, wire, section_wire_size(section), why, sizeof(why)) == OK);
}

/*
 * Register accesses of all kinds, driven by the same bytes: what a guest may do to the device that was
 * loaded.
 */
static void ignore_message(void *context, const struct apic_message *message) { (void)context, (void)message; }
static void ignore_eoi(void *context, uint8_t vector) { (void)context, (void)vector; }

static void drive_lapic(struct lapic_state *state, const uint8_t *data, size_t size)
{
    static const struct lapic_output output = { ignore_message, ignore_eoi };
    static _Alignas(LAPIC_PAGE_SIZE) uint8_t page[LAPIC_PAGE_SIZE];
    struct lapic live, *lapic = &live;
    uint64_t now = state->timer_due, value;

    lapic_attach(lapic, page, &output, NULL);
    lapic_load(lapic, state);

    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t msr = IA32_X2APIC_BASE + (data[i] & 0x3f);
        int vector;

        now += (uint64_t)data[i + 3] << (data[i] >> 6) * 8;
        lapic_msr_read(lapic, msr, now, &value);
        lapic_msr_write(lapic, msr, now, data[i + 1] | (uint64_t)data[i + 2] << 16);
        lapic_mmio_read(lapic, (uint32_t)data[i] << 4, now);
        lapic_mmio_write(lapic, (uint32_t)data[i] << 4, now, data[i + 1] | (uint32_t)data[i + 2] << 16);
        vector = lapic_pending_vector(lapic);
        require(vector == -1 || (vector >= 16 && vector < 256));
        if (vector >= 0)
            lapic_accept(lapic, (uint8_t)vector);
        lapic_advance(lapic, now);
        require(lapic->timer_due == 0 || lapic->timer_due > now || now == UINT64_MAX);
    }
    lapic_save(lapic, state);
}

static void try_section(const struct section *section, const uint8_t *data, size_t size)
{
    static union { uint8_t bytes[OBJECT_MAX]; uint64_t align; struct lapic_state lapic; } object;
    char why[160] = "";

    require(section->struct_size <= OBJECT_MAX && section_wire_size(section) <= OBJECT_MAX);
    memset(&object, FILLER, sizeof(object));
    if (section_load(section, &object, data, MIN(size, section_wire_size(section)), why, sizeof(why)) != OK) {
        require(why[0] != '\0' && memchr(why, 0, sizeof(why)) != NULL);
        for (size_t i = 0; i < sizeof(object); i++)
            require(object.bytes[i] == FILLER);
        return;
    }
    reload(section, &object);
    if (section == &lapic_section) {
        drive_lapic(&object.lapic, data, size);
        reload(section, &object);
    }
}

/* A processor that has everything. */
static void read_all(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    (void)context, (void)subleaf;
    memset(out, 0xff, CPUID_REGISTERS * sizeof(out[0]));
    if (leaf == CPUID_LEAF_ADDRESS_SIZES)
        out[CPUID_EAX] = 39 | 48 << 8;
}

/* A policy from a peer: a verdict in words, and lookups that stay in the table whatever the verdict. */
static void try_policy(const uint8_t *data, size_t size)
{
    static const struct cpuid_source source = { read_all, NULL };
    static const struct cpuid_constraints constraints = { 1000000000, true, true };
    struct vm_policy policy, host;
    uint32_t out[CPUID_REGISTERS];
    char why[POLICY_WHY_SIZE] = "";

    memset(&policy, 0, sizeof(policy));
    memcpy(&policy, data, MIN(size, sizeof(policy)));
    cpuid_policy_build(&host, &source, &constraints);
    if (policy_compatible(&policy, &host, size % 2 != 0, why, sizeof(why)) == OK)
        require((policy.xcr0 & ~host.xcr0) == 0 && policy.cpuid_count <= VM_POLICY_CPUID_MAX);
    else
        require(why[0] != '\0');
    for (uint32_t leaf = 0; leaf < 0x20; leaf++) {
        cpuid_policy_lookup(&policy, leaf, leaf & 3, ~0ull, policy.xcr0, out);
        cpuid_policy_lookup(&policy, CPUID_LEAF_EXTENDED_MAX + leaf, 0, 0, 1, out);
        cpuid_policy_lookup(&policy, CPUID_LEAF_HYPERVISOR + leaf, 0, 0, 1, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] < ARRAY_SIZE(sections))
        try_section(sections[data[0]], data + 1, size - 1);
    else
        try_policy(data + 1, size - 1);
    return 0;
}
