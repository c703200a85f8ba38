/*
 * Guarantees: conversions are a multiplication and a shift, monotonic, and off by less than one part in 10^8; the
 * frequency was measured in this boot against a clock of known rate.
 */
#include "kernel/time.h"
#include "kernel/acpi.h"
#include "kernel/arch/insn.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/paging.h"

#define FS_PER_S 1000000000000000UL

#define PM_TIMER_HZ 3579545UL   /* ACPI 6.4, 4.8.3.3 "Power Management Timer" */
/* The bits that every PM timer has. The FADT's word on 32 is not believed: Bochs's wraps at 24 though OVMF says 32. */
#define PM_TIMER_MASK 0xffffffUL
#define HPET_CAPABILITIES 0x000 /* IA-PC HPET 1.0a, 2.3.4: the period in fs in the upper half */
#define HPET_CONFIGURATION 0x010
#define HPET_ENABLE BIT(0)
#define HPET_COUNTER 0x0f0
#define HPET_PERIOD_MAX_FS 100000000UL
#define PIT_HZ 1193182UL
#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE_PORT 0x61
#define PIT_GATE_2 BIT(0)
#define PIT_SPEAKER BIT(1)
#define PIT_CHANNEL_2_RATE 0xb4 /* channel 2, low and high byte, mode 2 */
#define PIT_LATCH_2 0x80

#define CALIBRATION_MS 10
#define SAMPLES 8     /* of which the one read with the least delay is taken */
#define TO_SHIFT 44   /* ticks -> time */
#define FROM_SHIFT 32 /* time -> ticks */

/* A clock of known rate: `mask` is its width; it counts up. */
struct reference {
    const char *name;
    uint64_t hz, mask;
    uint64_t (*read)(void);
};

static uint64_t tsc_hz;
static const char *source = "none";
static uint64_t ticks_to_us, ticks_to_ns, us_to_ticks; /* fixed-point factors */
static volatile uint8_t *hpet;

static uint64_t read_pm_timer(void)
{
    return inl(acpi_get()->pm_timer_port);
}

static uint64_t read_hpet(void)
{
    return *(volatile uint32_t *)(hpet + HPET_COUNTER); /* the low half: wide enough, and one access on every HPET */
}

static uint64_t read_pit(void)
{
    outb(PIT_COMMAND, PIT_LATCH_2);
    uint8_t low = inb(PIT_CHANNEL_2);
    return 0xffff - (uint16_t)(low | inb(PIT_CHANNEL_2) << 8); /* it counts down */
}

static bool hpet_open(struct reference *r)
{
    volatile void *mapped;

    if (!acpi_get()->hpet.raw || paging_map_mmio(acpi_get()->hpet, PAGE_SIZE, &mapped))
        return false;
    hpet = mapped;
    uint64_t period = *(volatile uint32_t *)(hpet + HPET_CAPABILITIES + 4);
    if (!period || period > HPET_PERIOD_MAX_FS)
        return false;
    *(volatile uint32_t *)(hpet + HPET_CONFIGURATION) |= HPET_ENABLE;
    *r = (struct reference){ "hpet", FS_PER_S / period, UINT32_MAX, read_hpet };
    return true;
}

static void pit_open(struct reference *r)
{
    outb(PIT_GATE_PORT, (uint8_t)((inb(PIT_GATE_PORT) & ~PIT_SPEAKER) | PIT_GATE_2));
    outb(PIT_COMMAND, PIT_CHANNEL_2_RATE);
    outb(PIT_CHANNEL_2, 0xff);
    outb(PIT_CHANNEL_2, 0xff);
    *r = (struct reference){ "pit", PIT_HZ, 0xffff, read_pit };
}

/* The PM timer first: its rate is fixed by the standard and a read is one instruction. */
static void reference_open(struct reference *r)
{
    const struct acpi_info *acpi = acpi_get();

    if (acpi->pm_timer_port)
        *r = (struct reference){ "acpi-pm", PM_TIMER_HZ, PM_TIMER_MASK, read_pm_timer };
    else if (!hpet_open(r))
        pit_open(r);
}

/* A pair of readings that belong together: an SMI or a busy host between the two would spoil it, so the tightest wins. */
static void sample(const struct reference *r, uint64_t *tsc, uint64_t *count)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t before = rdtsc();
        uint64_t value = r->read() & r->mask;
        uint64_t after = rdtsc();
        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *count = value;
        }
    }
}

void time_init(void)
{
    struct reference r;
    uint64_t tsc0, tsc1, count0 = 0, count1 = 0, last, elapsed = 0, wait;

    reference_open(&r);
    wait = r.hz * CALIBRATION_MS / 1000;
    sample(&r, &tsc0, &count0);
    /* Steps are added up, so that a narrow counter may wrap meanwhile. */
    for (last = count0; elapsed < wait;) {
        uint64_t now = r.read() & r.mask;
        elapsed += (now - last) & r.mask;
        last = now;
        pause();
    }
    sample(&r, &tsc1, &count1);
    elapsed += (count1 - last) & r.mask;
    tsc_hz = mul_div_u64(tsc1 - tsc0, r.hz, elapsed);
    KERNEL_ASSERT(tsc_hz >= US_PER_S);
    source = r.name;
    ticks_to_us = mul_div_u64(US_PER_S, BIT(TO_SHIFT), tsc_hz);
    ticks_to_ns = mul_div_u64(NS_PER_S, BIT(TO_SHIFT), tsc_hz);
    us_to_ticks = mul_div_u64(tsc_hz, BIT(FROM_SHIFT), US_PER_S);
    log_info("time", "TSC at %lu kHz, measured against %s", tsc_hz / 1000, source);
}

static uint64_t scale(uint64_t value, uint64_t factor, unsigned shift)
{
    return (uint64_t)((unsigned __int128)value * factor >> shift);
}

uint64_t time_now(void)
{
    return rdtsc();
}

uint64_t time_tsc_hz(void)
{
    return tsc_hz;
}

const char *time_calibration_source(void)
{
    return source;
}

uint64_t time_from_us(uint64_t us)
{
    return scale(us, us_to_ticks, FROM_SHIFT);
}

uint64_t time_to_us(uint64_t ticks)
{
    return scale(ticks, ticks_to_us, TO_SHIFT);
}

uint64_t time_to_ns(uint64_t ticks)
{
    return scale(ticks, ticks_to_ns, TO_SHIFT);
}
