/*
 * msrs: RDMSR and WRMSR all over the place. An MSR may be there or raise #GP, nothing else; and the pod must
 * go on, and so must this guest. What can be read is written back, and then given all ones; what cannot be
 * read is given 0 and all ones. If a write of all ones is accepted, the old value must be accepted again.
 */
#include "guests/lib/attempt.h"
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

#define ALL_ONES UINT64_MAX

const char guest_name[] = "msrs";

static const struct { uint32_t first, last; } ranges[] = {
    { 0x00000000, 0x00002000 },         /* the last one is just outside of the MSR bitmaps' range */
    { 0x40000000, 0x40000200 },         /* other hypervisors' */
    { 0x4B564D00, 0x4B564D10 },
    { 0xBFFFFFF0, 0xC0002000 },
    { 0xFFFFFFF0, 0xFFFFFFFF },
};

static uint64_t reads, read_faults, writes, write_faults;

/* All ones in one of these is a legal wish with consequences: time jumps, or this guest loses its local APIC. */
static bool is_consequential(uint32_t msr)
{
    return msr == IA32_TSC || msr == IA32_TSC_ADJUST || msr == IA32_TSC_DEADLINE || msr == IA32_APIC_BASE;
}

static void check_vector(const char *what, uint32_t msr, int vector)
{
    if (vector != ATTEMPT_NO_FAULT && vector != VECTOR_GP)
        guest_fail("%s 0x%x raised vector %d", what, msr, vector);
    if (vector == VECTOR_GP && attempt.error_code)
        guest_fail("%s 0x%x raised #GP with error code 0x%lx", what, msr, attempt.error_code);
}

static bool try_write(uint32_t msr, uint64_t value)
{
    int vector = attempt_wrmsr(msr, value);

    check_vector("WRMSR", msr, vector);
    writes++;
    write_faults += vector == VECTOR_GP;
    return vector == ATTEMPT_NO_FAULT;
}

static void probe(uint32_t msr)
{
    uint64_t value = 0;
    int vector = attempt_rdmsr(msr, &value);

    check_vector("RDMSR", msr, vector);
    reads++;
    read_faults += vector == VECTOR_GP;
    if (msr == X2APIC_ICR || msr == X2APIC_SELF_IPI)
        return;                         /* a write is an interrupt: tests/inject.c */
    try_write(msr, value);
    if (!is_consequential(msr) && try_write(msr, ALL_ONES) && vector == ATTEMPT_NO_FAULT && !try_write(msr, value))
        guest_fail("MSR 0x%x took all ones, but not its old value 0x%lx again", msr, value);
}

void guest_main(void)
{
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        print("msrs: 0x%x to 0x%x\n", ranges[i].first, ranges[i].last);
        for (uint64_t msr = ranges[i].first; msr <= ranges[i].last; msr++)
            probe((uint32_t)msr);
    }
    print("msrs: %lu reads, %lu #GP; %lu writes, %lu #GP\n", reads, read_faults, writes, write_faults);
    if (read_faults == 0 || read_faults == reads)
        guest_fail("no difference between MSRs that exist and others");
}
