/*
 * The workload of the Linux guest: counts, and checks itself all the time, so that the guest is its own witness.
 *
 *   workload [pages=2048] [rate=32] [check=64] [period=10000] [report=1000] [count=0] [spin]
 *   workload flat
 *   workload ticks
 *   workload probes
 *
 * `pages` of 4 KiB hold what follows from their number and their generation. Every `period` microseconds `rate` of them
 * are checked whole and written with their next generation, and `check` others are checked. Every `report` milliseconds
 * there is one line:
 *
 *   workload: 7 written 22400 checked 44800 wrong 0 tsc 123456789 mono_us 7000123 gap_us 150 at 123400000 largest 150
 *
 * `gap_us` is the longest time by the TSC for which the program was not there since the line before, `at` the TSC at
 * its end, `largest` the longest of all. At work it looks at the TSC before and after each page; a sleep's gap is what it took
 * too long; with `spin` the program does not sleep but looks at the TSC all the time. A teleport's downtime is a gap.
 *
 * What must hold: the TSC, CLOCK_MONOTONIC and CLOCK_REALTIME never run backwards, and TSC and CLOCK_MONOTONIC agree on
 * how much time has passed, within DRIFT_PPM. What does not hold is told at once in a line with WRONG, and counted. With
 * count=N it ends after N lines with a verdict, `workload: pass` or `workload: FAIL`.
 *
 * `workload flat` does what guests/dirtier does, for comparisons: each 10 ms it writes one page of 256 and sends one letter.
 * `workload probes` answers an observer's probes (probes.c).
 *
 * `workload ticks` prints the TSC now, and the word ticks.start=N of the kernel's command line (0: none).
 */
#include <cpuid.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>
#include "guests/linux/probes.h"

#define PAGE 4096
#define WORDS (PAGE / sizeof(uint64_t))
#define US_PER_S 1000000
#define NS_PER_US 1000
#define DRIFT_PPM 2000
#define DRIFT_SLACK_US 2000
#define CPUID_HYPERVISOR_TSC 0x40000010 /* EAX: kHz, where there is a hypervisor that says so */
#define CPUID_HYPERVISOR 0x40000000

static struct {
    uint64_t pages, rate, check, period, report, count;
    bool spin;
} options = { 2048, 32, 64, 10000, 1000, 0, false };

static uint64_t *memory;
static uint32_t *generation;
static uint64_t written, checked, wrong;
static uint64_t tsc_khz;

static void complain(const char *what, uint64_t was, uint64_t is)
{
    wrong++;
    printf("workload: WRONG %s: %" PRIu64 " and then %" PRIu64 "\n", what, was, is);
}

/* ---- pages ---- */

/* The word that belongs to place `i` of a page: a permutation of 64 bits (splitmix64's), so that any bit that flips shows. */
static uint64_t word(uint64_t page, uint64_t turn, uint64_t i)
{
    uint64_t x = (page << 40 ^ turn << 9 ^ i) + 0x9e3779b97f4a7c15;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static void pulse(void);

static void page_write(uint64_t page)
{
    uint64_t *at = memory + page * WORDS, turn = ++generation[page];

    for (uint64_t i = 0; i < WORDS; i++)
        at[i] = word(page, turn, i);
    written++;
    pulse();
}

static void page_check(uint64_t page)
{
    const uint64_t *at = memory + page * WORDS;

    checked++;
    pulse();
    for (uint64_t i = 0; i < WORDS; i++)
        if (at[i] != word(page, generation[page], i)) {
            printf("workload: page %" PRIu64 " generation %" PRIu32 " word %" PRIu64 "\n", page, generation[page], i);
            complain("page", word(page, generation[page], i), at[i]);
            return;
        }
}

static void work(uint64_t turn)
{
    for (uint64_t i = 0; i < options.rate; i++) {
        uint64_t page = (turn * options.rate + i) % options.pages;

        page_check(page);
        page_write(page);
    }
    for (uint64_t i = 0; i < options.check; i++)
        page_check((turn * options.check + i + options.pages / 2) % options.pages);
}

/* ---- clocks ---- */

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / NS_PER_US;
}

static uint64_t ticks_to_us(uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * 1000 / tsc_khz);
}

/* The TSC's frequency as the processor tells it; else as CLOCK_MONOTONIC measures it. */
static uint64_t find_tsc_khz(void)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;
    uint64_t us, ticks;

    __cpuid(1, a, b, c, d);
    if (c >> 31 & 1) {
        __cpuid(CPUID_HYPERVISOR, a, b, c, d);
        if (a >= CPUID_HYPERVISOR_TSC) {
            __cpuid(CPUID_HYPERVISOR_TSC, a, b, c, d);
            if (a)
                return a;
        }
    }
    us = clock_us(CLOCK_MONOTONIC);
    ticks = __rdtsc();
    while (clock_us(CLOCK_MONOTONIC) - us < US_PER_S / 5)
        ;
    return (__rdtsc() - ticks) * 1000 / (clock_us(CLOCK_MONOTONIC) - us);
}

static struct {
    uint64_t tsc, mono, real;           /* as last read */
    uint64_t first_tsc, first_mono;
    uint64_t seen;                      /* the TSC when the program last showed that it is there */
    uint64_t gap, gap_at, largest;      /* in ticks; gap since the last report */
} clocks;

/* Compares each clock with itself, and two of them with each other. */
static void clocks_check(void)
{
    uint64_t tsc = __rdtsc(), mono = clock_us(CLOCK_MONOTONIC), real = clock_us(CLOCK_REALTIME);
    uint64_t by_tsc = ticks_to_us(tsc - clocks.first_tsc), by_mono = mono - clocks.first_mono;
    uint64_t apart = by_tsc > by_mono ? by_tsc - by_mono : by_mono - by_tsc;

    if (tsc < clocks.tsc)
        complain("TSC backwards", clocks.tsc, tsc);
    if (mono < clocks.mono)
        complain("CLOCK_MONOTONIC backwards", clocks.mono, mono);
    if (real < clocks.real)
        complain("CLOCK_REALTIME backwards", clocks.real, real);
    if (apart > by_mono / US_PER_S * DRIFT_PPM + DRIFT_SLACK_US)
        complain("TSC against CLOCK_MONOTONIC", by_mono, by_tsc);
    clocks.tsc = tsc;
    clocks.mono = mono;
    clocks.real = real;
}

static void gap_note(uint64_t ticks, uint64_t now)
{
    if (ticks > clocks.gap) {
        clocks.gap = ticks;
        clocks.gap_at = now;
    }
    if (ticks > clocks.largest)
        clocks.largest = ticks;
}

/* The program is there: what lies between this pulse and the one before is a gap, a page's time at least. */
static void pulse(void)
{
    uint64_t now = __rdtsc();

    if (clocks.seen && now > clocks.seen)
        gap_note(now - clocks.seen, now);
    clocks.seen = now;
}

/* Until CLOCK_MONOTONIC shows `due`, if it does not do so already; what it took too long is a gap. */
static void wait_sleeping(uint64_t due)
{
    struct timespec t = { (time_t)(due / US_PER_S), (long)(due % US_PER_S * NS_PER_US) };
    uint64_t begin = clock_us(CLOCK_MONOTONIC), now;

    pulse();
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    now = clock_us(CLOCK_MONOTONIC);
    clocks.seen = __rdtsc();
    if (begin < due)
        gap_note(now > due ? (now - due) * tsc_khz / 1000 : 0, clocks.seen);
}

/* The same without sleeping: looks at the TSC all the time. */
static void wait_spinning(uint64_t due)
{
    uint64_t last = __rdtsc();

    for (unsigned i = 0; i % 64 != 0 || clock_us(CLOCK_MONOTONIC) < due; i++) {
        uint64_t now = __rdtsc();

        if (now < last)
            complain("TSC backwards", last, now);
        else
            gap_note(now - last, now);
        last = now;
    }
    clocks.seen = last;
}

static void report(uint64_t number)
{
    printf("workload: %" PRIu64 " written %" PRIu64 " checked %" PRIu64 " wrong %" PRIu64 " tsc %" PRIu64
           " mono_us %" PRIu64 " gap_us %" PRIu64 " at %" PRIu64 " largest %" PRIu64 "\n",
           number, written, checked, wrong, clocks.tsc, clocks.mono, ticks_to_us(clocks.gap), clocks.gap_at,
           ticks_to_us(clocks.largest));
    clocks.gap = 0;
}

/* ---- the program ---- */

static bool read_option(const char *text)
{
    static const struct { const char *name; uint64_t *value; } numbers[] = {
        { "pages=", &options.pages }, { "rate=", &options.rate }, { "check=", &options.check },
        { "period=", &options.period }, { "report=", &options.report }, { "count=", &options.count },
    };

    if (strcmp(text, "spin") == 0)
        return options.spin = true;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strncmp(text, numbers[i].name, strlen(numbers[i].name)) == 0) {
            *numbers[i].value = strtoull(text + strlen(numbers[i].name), NULL, 0);
            return true;
        }
    printf("workload: what is %s?\n", text);
    return false;
}

static int print_ticks(void)
{
    uint64_t now = __rdtsc();
    char line[4096] = "", *start = NULL;
    FILE *file = fopen("/proc/cmdline", "r");

    if (file && fgets(line, sizeof(line), file))
        start = strstr(line, "ticks.start=");
    printf("guest: shell at tick %" PRIu64 " start %" PRIu64 "\n", now,
           start ? (uint64_t)strtoull(start + strlen("ticks.start="), NULL, 0) : 0);
    return 0;
}

/* One page of FLAT_PAGES and one letter each FLAT_PERIOD_US; the clock decides, so that no tick is lost to the printing. */
static _Noreturn void flat(void)
{
    enum { FLAT_PAGES = 256, FLAT_PERIOD_US = 10000 };
    static uint8_t pages[FLAT_PAGES][PAGE];
    uint64_t due = clock_us(CLOCK_MONOTONIC);

    setvbuf(stdout, NULL, _IONBF, 0);
    for (uint64_t tick = 0;; tick++) {
        pages[tick % FLAT_PAGES][tick % PAGE]++;
        putchar((int)('a' + tick % 26));
        if (tick % 26 == 25)
            putchar('\n');
        due += FLAT_PERIOD_US;
        wait_sleeping(due);
    }
}

static void prepare(void)
{
    memory = mmap(NULL, options.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    generation = calloc(options.pages, sizeof(*generation));
    if (memory == MAP_FAILED || !generation) {
        printf("workload: no memory for %" PRIu64 " pages\n", options.pages);
        exit(1);
    }
    tsc_khz = find_tsc_khz();
    for (uint64_t i = 0; i < options.pages; i++)
        page_write(i);
    clocks.first_tsc = __rdtsc();
    clocks.first_mono = clock_us(CLOCK_MONOTONIC);
}

int main(int argc, char **argv)
{
    uint64_t due, next_report, lines = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "ticks") == 0)
        return print_ticks();
    if (argc == 2 && strcmp(argv[1], "flat") == 0)
        flat();
    if (argc == 2 && strcmp(argv[1], "probes") == 0)
        return probes_run(find_tsc_khz());
    for (int i = 1; i < argc; i++)
        if (!read_option(argv[i]))
            return 1;
    if (options.pages == 0 || options.period == 0)
        return 1;
    prepare();
    printf("workload: %" PRIu64 " pages, TSC %" PRIu64 " kHz\n", options.pages, tsc_khz);
    due = clocks.first_mono;
    next_report = due + options.report * 1000;
    for (uint64_t turn = 0; options.count == 0 || lines < options.count; turn++) {
        due += options.period;
        work(turn);
        (options.spin ? wait_spinning : wait_sleeping)(due);
        clocks_check();
        if (clocks.mono >= next_report) {
            report(++lines);
            next_report += options.report * 1000;
        }
        if (clocks.mono > due + 10 * options.period)
            due = clocks.mono;      /* after a gap: do not make up for every period that was missed */
        if (clocks.mono > next_report)
            next_report = clocks.mono + options.report * 1000;
    }
    printf("workload: %s\n", wrong ? "FAIL" : "pass");
    return wrong != 0;
}
