/*
 * virtio_entropy: random bytes that are none of the obvious failures: constant, repeated, short, or biased. Option: count=64
 * draws of 64 bytes.
 */
#include "guests/lib/guest.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_entropy";

#define DRAW 64
#define WORDS (DRAW / sizeof(uint64_t))

void guest_main(void)
{
    static struct bed device;
    uint64_t count = option_number("count", 64, 1, 1000), ones = 0, total = count * DRAW * 8;
    uint64_t *words = (uint64_t *)BED_BUFFERS;

    bed_open(&device, VIRTIO_ID_ENTROPY);
    for (uint64_t i = 0; i < count; i++) {
        struct bed_buffer chain[] = { { words + i * WORDS, 24, true }, { words + i * WORDS + 3, DRAW - 24, true } };
        uint32_t written = bed_request(&device, 0, chain, 2);

        if (written != DRAW)
            guest_fail("draw %lu has %u bytes, not %u", i, written, DRAW);
    }
    for (uint64_t i = 0; i < count * WORDS; i++) {
        for (uint64_t bits = words[i]; bits; bits &= bits - 1)
            ones++;
        for (uint64_t j = 0; j < i; j++)
            if (words[i] == words[j])
                guest_fail("words %lu and %lu are both 0x%lx", j, i, words[i]);
    }
    print("virtio_entropy: %lu of %lu bits are 1\n", ones, total);
    if (ones < total * 48 / 100 || ones > total * 52 / 100)
        guest_fail("the bits are biased");
}
