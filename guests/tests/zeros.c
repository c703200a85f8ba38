/*
 * zeros: what a guest's memory holds before the guest has written to it. Option: mode=fill|look.
 *
 *   fill   writes a pattern over all of RAM above 1 MiB, reads it back, and ends: so that the host's frames are full of it
 *   look   reads all of RAM that the pod did not load: anything but zero is another guest's
 */
#include "guests/lib/guest.h"
#include "guests/lib/machine.h"

#define PATTERN 0xa5c3f00d5eed0000
#define HIGH_START 0x100000             /* above the image, and the holes that a PC has below 1 MiB */
#define LOW_END COMMAND_LINE_ADDRESS
#define IMAGE_LIMIT 0xA0000

const char guest_name[] = "zeros";
extern char image_hot_end[];

static void fill(volatile uint64_t *word, volatile uint64_t *end)
{
    for (; word < end; word++)
        *word = PATTERN ^ (uint64_t)word;
}

static void check(volatile uint64_t *word, volatile uint64_t *end)
{
    for (; word < end; word++)
        if (*word != (PATTERN ^ (uint64_t)word))
            guest_fail("0x%lx at 0x%lx is not what was written", *word, (uint64_t)word);
}

static void look(volatile uint64_t *word, volatile uint64_t *end)
{
    for (; word < end; word++)
        if (*word)
            guest_fail("0x%lx at 0x%lx, where nobody has written", *word, (uint64_t)word);
}

void guest_main(void)
{
    static const char *const words[] = { "fill", "look" };
    unsigned mode = option_choice("mode", words, 2, 0);
    volatile uint64_t *high = (volatile uint64_t *)HIGH_START, *end = (volatile uint64_t *)guest_ram_size();

    print("zeros: %s, %lu MiB\n", words[mode], guest_ram_size() >> 20);
    if (mode == 0) {
        fill(high, end);
        check(high, end);
        return;
    }
    look((volatile uint64_t *)8, (volatile uint64_t *)LOW_END);     /* a null pointer is no place to look */
    look((volatile uint64_t *)image_hot_end, (volatile uint64_t *)IMAGE_LIMIT);
    look(high, end);
}
