/*
 * dirtier: writes pages, and checks the truth of every page all the time.
 *
 * The models are the round-number oracle of KVM's dirty-log test and the moving edge of QEMU's migration
 * test. All that the memory must contain follows from one number, how many pages were written so far: the
 * pattern (pattern.h) says how often each page was hit, the truth (truth.h) what it then contains. A page
 * that a teleport forgets is a round behind; a page from the wrong place has the wrong number; a stale
 * counter makes all the others wrong.
 *
 * The first MiB (this program, its tables, the command line, the empty rest) must stay as it was found, but
 * for the hot page with stack and variables; random content lies from 1 MiB on; the rest is zero. The pages
 * of the set are the first ones from 1 MiB on. guests/README.md has the options and the lines that are
 * printed.
 */
#include "guests/dirtier/pattern.h"
#include "guests/dirtier/truth.h"
#include "guests/lib/guest.h"
#include "guests/lib/machine.h"
#include "guests/lib/serial.h"
#include "guests/lib/timer.h"

#define FIRST_PAGE 256              /* 1 MiB */
#define PAGES_PER_MIB 256
#define LETTERS 26
#define MISMATCHES_PRINTED 16
#define BURN_BATCH 64               /* pages between two looks at the clock */

const char guest_name[] = "dirtier";
extern const char image_hot_start[], image_hot_end[];       /* guest.ld */

enum mode { MODE_LETTERS, MODE_LINES, MODE_BURN, MODES };
static const char *const mode_words[MODES] = { "letters", "lines", "burn" };
static const char *const pattern_words[PATTERN_KINDS] = { "flat", "random", "sweep", "hot" };

static enum mode mode;
static struct pattern pattern;
static struct truth truth;
static uint64_t ram_pages, rate, hz, check_rate, report_ticks, last_tick, spoil;

static uint64_t pages_written;      /* the one number */
static uint64_t pages_checked, full_sweeps, mismatches, sweep_page;
static bool in_line;                /* letters stand on the present line */

/* What the pages of the first MiB were found to hold. Written once, so it is off the hot page. */
static uint64_t low_digests[FIRST_PAGE] __attribute__((section(".bss.cold"), aligned(PAGE_SIZE)));

static uint64_t *page_words(uint64_t page)
{
    return (uint64_t *)(page << PAGE_SHIFT);
}

/* In letters mode, a report is a line of its own that starts with '#', so that what remains is nothing but letters. */
static void report_begin(void)
{
    if (in_line)
        print("\n");
    in_line = false;
    print(mode == MODE_LETTERS ? "# dirtier: " : "dirtier: ");
}

static void report_status(void)
{
    report_begin();
    print("%s rounds=%lu written=%lu checked=%lu mismatches=%lu full_sweeps=%lu tsc_backwards=%lu tsc=%lu\n",
          mismatches || timer_backward_reads() ? "BAD" : "ok", pages_written / pattern.pages, pages_written,
          pages_checked, mismatches, full_sweeps, timer_backward_reads(), timer_now());
}

static void report_mismatch(uint64_t page, uint64_t round, unsigned index, uint64_t expected, uint64_t found)
{
    if (++mismatches > MISMATCHES_PRINTED)
        return;
    report_begin();
    print("MISMATCH page %lu expected 0x%lx found 0x%lx at offset %u (round %lu)\n", page, expected, found,
          index * 8, round);
}

/* The first MiB -------------------------------------------------------------------------------- */

static bool is_hot(uint64_t page)
{
    uint64_t address = page << PAGE_SHIFT;

    return address >= (uint64_t)image_hot_start && address < (uint64_t)image_hot_end;
}

static uint64_t digest(const uint64_t *words)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TRUTH_WORDS; i++)
        sum = (sum ^ words[i]) * 0x100000001B3;
    return sum;
}

/* The digests' own page is left out: were it stale, all the others would seem wrong. */
static bool is_low_exempt(uint64_t page)
{
    return is_hot(page) || page == (uint64_t)low_digests >> PAGE_SHIFT;
}

static void remember_low_pages(void)
{
    for (uint64_t page = 0; page < FIRST_PAGE; page++)
        low_digests[page] = digest(page_words(page));
}

static void check_low_page(uint64_t page)
{
    uint64_t found = digest(page_words(page));

    if (found != low_digests[page] && !is_low_exempt(page))
        report_mismatch(page, 0, 0, low_digests[page], found);
}

/* All the rest --------------------------------------------------------------------------------- */

static uint64_t round_of(uint64_t page)
{
    uint64_t place = page - FIRST_PAGE;

    return place < pattern.pages ? pattern_count(&pattern, pages_written, place) : 0;
}

static void compare(uint64_t page, uint64_t round, unsigned wrong)
{
    if (wrong != TRUTH_WORDS)
        report_mismatch(page, round, wrong, truth_word(&truth, page, round, wrong), page_words(page)[wrong]);
}

static void check_page(uint64_t page)
{
    uint64_t round;

    pages_checked++;
    if (page < FIRST_PAGE) {
        check_low_page(page);
        return;
    }
    round = round_of(page);
    compare(page, round, truth_check(&truth, page_words(page), page, round));
}

static void check_next_page(void)
{
    check_page(sweep_page);
    if (++sweep_page == ram_pages) {
        sweep_page = 0;
        full_sweeps++;
    }
}

static void check_all_pages(void)
{
    uint64_t before = mismatches;

    for (uint64_t page = 0; page < ram_pages; page++)
        check_page(page);
    report_begin();
    print("verified all %lu pages mismatches %lu\n", ram_pages, mismatches - before);
}

/* The page must be exactly one round behind, and then is not any more. */
static void write_next_page(void)
{
    uint64_t place = pattern_page(&pattern, pages_written);
    uint64_t page = FIRST_PAGE + place;
    uint64_t round = pattern_count(&pattern, pages_written, place);

    compare(page, round, truth_check_edge(&truth, page_words(page), page, round));
    truth_write(&truth, page_words(page), page, round);
    pages_written++;
}

/* The ticks ------------------------------------------------------------------------------------ */

static void put_letter(uint64_t tick)
{
    unsigned letter = (unsigned)((tick - 1) % LETTERS);

    serial_put((char)('a' + letter));
    in_line = letter != LETTERS - 1;
    if (!in_line)
        serial_put('\n');
}

static void say(uint64_t tick)
{
    if (mode == MODE_LETTERS) {
        put_letter(tick);
    } else if (tick % report_ticks == 0) {
        report_begin();
        print("round %lu pages_written %lu pages_checked %lu mismatches %lu tsc %lu\n",
              pages_written / pattern.pages, pages_written, pages_checked, mismatches, timer_now());
    }
}

static void obey(int command)
{
    if (command == '?')
        report_status();
    else if (command == 'v')
        check_all_pages();
}

/* Passes the time until the next tick: halted, or writing as fast as it goes. */
static void wait_for_tick(uint64_t tick)
{
    timer_arm(tick);
    if (mode == MODE_BURN) {
        while (timer_now() < timer_deadline(tick))
            for (unsigned i = 0; i < BURN_BATCH; i++)
                write_next_page();
    }
    timer_sleep();
}

static void read_options(void)
{
    ram_pages = guest_ram_size() >> PAGE_SHIFT;
    uint64_t room = ram_pages > FIRST_PAGE ? ram_pages - FIRST_PAGE : 0;

    mode = option_choice("mode", mode_words, MODES, MODE_LETTERS);
    truth.content_first = FIRST_PAGE;
    truth.content_pages = option_number("content", 4, 0, room / PAGES_PER_MIB) * PAGES_PER_MIB;
    pattern.kind = option_choice("pattern", pattern_words, PATTERN_KINDS, PATTERN_FLAT);
    pattern.pages = option_number("set", 256, 1, room);
    if (!pattern_valid(&pattern))
        guest_fail("pattern %s can't have a set of %lu pages (random: a power of two, hot: at least 8)",
                   pattern_words[pattern.kind], pattern.pages);
    rate = option_number("rate", 1, 0, UINT32_MAX);
    hz = option_number("hz", 100, 1, 10000);
    check_rate = option_number("check", 4, 0, UINT32_MAX);
    report_ticks = option_number("report", hz, 1, UINT32_MAX);
    last_tick = option_number("count", 0, 0, UINT64_MAX);
    spoil = option_number("spoil", 0, 0, ram_pages - 1);
}

void guest_main(void)
{
    read_options();
    for (uint64_t i = 0; i < truth.content_pages; i++)
        truth_lay_ground(&truth, page_words(FIRST_PAGE + i), FIRST_PAGE + i);
    timer_start(hz);
    report_begin();
    print("%lu pages, %lu random from page %u, set %lu, pattern %s, %lu a tick at %lu Hz, check %lu a tick\n",
          ram_pages, truth.content_pages, FIRST_PAGE, pattern.pages, pattern_words[pattern.kind], rate, hz,
          check_rate);
    remember_low_pages();
    if (spoil)
        page_words(spoil)[TRUTH_WORDS - 1] ^= 1;        /* who tests the test */
    for (uint64_t tick = 1; tick <= last_tick || last_tick == 0; tick++) {
        wait_for_tick(tick);
        for (uint64_t i = 0; i < rate; i++)
            write_next_page();
        for (uint64_t i = 0; i < check_rate; i++)
            check_next_page();
        say(tick);
        obey(serial_get());
    }
    check_all_pages();
    if (mismatches || timer_backward_reads())
        guest_fail("%lu mismatches, %lu times the TSC ran backwards", mismatches, timer_backward_reads());
}
