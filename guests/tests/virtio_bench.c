/*
 * virtio_bench: what a notification costs of a queue in which nothing is new, in TSC ticks (in Bochs: instructions) a turn,
 * loop included, as cpuid_bench has it:
 *
 *     virtio_kick instructions_per_exit X
 *
 * Option: n=10000 turns.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_bench";

void guest_main(void)
{
    static struct bed bed;
    uint64_t n = option_number("n", 10000, 1, UINT32_MAX), start;
    volatile uint16_t *doorbell;

    bed_open(&bed, VIRTIO_ID_ENTROPY);
    doorbell = bed.queues[0].doorbell;
    start = rdtsc();
    for (uint64_t i = 0; i < n; i++)
        *doorbell = 0;
    print("virtio_kick instructions_per_exit %lu\n", (rdtsc() - start + n / 2) / n);
}
