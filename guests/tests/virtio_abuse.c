/*
 * virtio_abuse: what a driver must not do, in every queue of every device that the machine has. After each misdeed the pod
 * must still answer, memory that was not offered must be as it was, and the device must work again after a reset.
 *
 *     virtio_abuse: device N queue Q: M misdeeds
 *     virtio_abuse: N devices survived
 *
 * Queues that wait for the world (receive) are abused the same way; their misdeed is found when something comes in, so
 * whoever runs this test sends frames and types meanwhile. Option: wait=0, milliseconds to wait for that, a misdeed.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/timer.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_abuse";

#define BUFFER (BED_BUFFERS + 0x1000ull)
#define INDIRECT (BED_BUFFERS + 0x4000ull)
#define CANARY (BED_BUFFERS + 0x8000ull)    /* up to the end of RAM: nobody may touch it */
#define CANARY_VALUE 0x5AFEC0DE5AFEC0DEull
#define FAR (1ull << 52)

static struct bed bed;
static uint64_t wait_ms, ram;

/* A chain that begins at descriptor 0, and what else is wrong. */
struct misdeed {
    const char *what;
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
    uint16_t head, jump;                    /* the head offered; added to the available index */
    void (*also)(unsigned queue);
};

static void fill_with_loops(unsigned queue)
{
    for (unsigned i = 0; i < VIRTQUEUE_SIZE; i++) {
        bed_describe(&bed, queue, i, BUFFER, 0xFFFFFFFF, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
                     (uint16_t)((i + 1) % VIRTQUEUE_SIZE));
        bed_offer(&bed, queue, (uint16_t)i);
    }
}

static void long_empty_chains(unsigned queue)
{
    for (unsigned i = 0; i < VIRTQUEUE_SIZE; i++) {
        bed_describe(&bed, queue, i, 0, 0, i + 1 < VIRTQUEUE_SIZE ? VIRTQ_DESC_F_NEXT : 0, (uint16_t)(i + 1));
        bed_offer(&bed, queue, 0);
    }
}

static void indirect_loop(unsigned queue)
{
    volatile struct virtq_desc *table = (volatile struct virtq_desc *)INDIRECT;

    (void)queue;
    table[0] = (struct virtq_desc){ INDIRECT, 32, VIRTQ_DESC_F_INDIRECT, 0 };
    table[1] = (struct virtq_desc){ BUFFER, 8, VIRTQ_DESC_F_NEXT, 1 };
}

static void random_rings(unsigned queue)
{
    volatile uint64_t *words = (volatile uint64_t *)&bed.queues[queue];
    uint64_t x = rdtsc() | 1;

    for (unsigned i = 0; i < __builtin_offsetof(struct virtqueue, used) / sizeof(uint64_t); i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        words[i] = x;
    }
}

#define NEXT VIRTQ_DESC_F_NEXT
#define WRITE VIRTQ_DESC_F_WRITE
#define INDIRECT_FLAG VIRTQ_DESC_F_INDIRECT

static const struct misdeed misdeeds[] = {
    { "a head outside the table", BUFFER, 64, 0, 0, VIRTQUEUE_SIZE, 0, 0 },
    { "a head far outside", BUFFER, 64, 0, 0, 0xFFFF, 0, 0 },
    { "a next outside the table", BUFFER, 64, NEXT, 0xFFFF, 0, 0, 0 },
    { "a loop", BUFFER, 64, NEXT, 0, 0, 0, 0 },
    { "a loop to write", BUFFER, 64, NEXT | WRITE, 0, 0, 0, 0 },
    { "an empty loop", BUFFER, 0, NEXT, 0, 0, 0, 0 },
    { "loops in all entries", BUFFER, 64, NEXT, 0, 0, 0, fill_with_loops },
    { "long empty chains in all entries", BUFFER, 0, 0, 0, 0, 0, long_empty_chains },
    { "a buffer beyond RAM to read", FAR, 64, 0, 0, 0, 0, 0 },
    { "a buffer beyond RAM to write", FAR, 64, WRITE, 0, 0, 0, 0 },
    { "a buffer of devices to write", 0xFEE00000, 64, WRITE, 0, 0, 0, 0 },
    { "a buffer of its own registers to read", 0xC0000000, 4096, 0, 0, 0, 0, 0 },
    { "an address that wraps", ~0ull - 7, 64, WRITE, 0, 0, 0, 0 },
    { "an address that wraps, to read", ~0ull - 7, 64, 0, 0, 0, 0, 0 },
    { "a length of 4 GiB to write", BUFFER, 0xFFFFFFFF, WRITE, 0, 0, 0, 0 },
    { "a length of 4 GiB to read", BUFFER, 0xFFFFFFFF, 0, 0, 0, 0, 0 },
    { "a length of nothing", BUFFER, 0, 0, 0, 0, 0, 0 },
    { "a length of nothing to write", BUFFER, 0, WRITE, 0, 0, 0, 0 },
    { "one byte to read", BUFFER, 1, 0, 0, 0, 0, 0 },
    { "one byte to write", BUFFER, 1, WRITE, 0, 0, 0, 0 },
    { "unknown flags", BUFFER, 64, 0xFFF8, 0, 0, 0, 0 },
    { "all flags", BUFFER, 64, 0xFFFF, 0, 0, 0, 0 },
    { "an indirect table beyond RAM", FAR, 64, INDIRECT_FLAG, 0, 0, 0, 0 },
    { "an indirect table that is no table", BUFFER, 17, INDIRECT_FLAG, 0, 0, 0, 0 },
    { "an indirect table of nothing", BUFFER, 0, INDIRECT_FLAG, 0, 0, 0, 0 },
    { "an indirect table of 4 GiB", INDIRECT, 0xFFFFFFF0, INDIRECT_FLAG, 0, 0, 0, indirect_loop },
    { "an indirect table in itself", INDIRECT, 32, INDIRECT_FLAG, 0, 0, 0, indirect_loop },
    { "an indirect loop", INDIRECT + 16, 16, INDIRECT_FLAG, 0, 0, 0, indirect_loop },
    { "an indirect table with a next", INDIRECT, 32, INDIRECT_FLAG | NEXT, 1, 0, 0, indirect_loop },
    { "an index that ran away", BUFFER, 64, 0, 0, 0, 0x7FFF, 0 },
    { "an index one too far", BUFFER, 64, WRITE, 0, 0, VIRTQUEUE_SIZE, 0 },
    { "an index that ran backwards", BUFFER, 64, 0, 0, 0, 0xFFFE, 0 },
    { "rings of noise", BUFFER, 64, 0, 0, 0, 0, random_rings },
};

/* Ring addresses: beyond RAM, in devices, unaligned, at the end of all numbers. */
static const uint64_t bad_rings[] = { FAR, 0xFEE00000, 0xC0000000, ~0xFFFull, ~0xFull, 0xFFFFF000 };

static void wait_a_while(void)
{
    uint64_t limit = rdtsc() + timer_tsc_hz() / 1000 * wait_ms;

    while (rdtsc() < limit)
        __asm__ volatile("pause");
}

static void check_canary(const char *what)
{
    for (volatile uint64_t *p = (volatile uint64_t *)CANARY; (uintptr_t)p < ram; p++)
        if (*p != CANARY_VALUE)
            guest_fail("memory at 0x%lx changed: %s", (uintptr_t)p, what);
}

/* All queues are kicked, the abused one last and twice. The pod must still answer: the status is a register of it. */
static void see_what_comes(unsigned queue)
{
    for (unsigned i = 0; i < bed.queue_count; i++)
        bed_kick(&bed, i);
    bed_kick(&bed, queue);
    wait_a_while();
    bed_kick(&bed, queue);
    if ((bed_status(&bed) & BED_STATUS_ALIVE) != BED_STATUS_ALIVE)
        guest_fail("status 0x%x", bed_status(&bed));
}

static void commit(uint16_t id, unsigned queue, const struct misdeed *misdeed)
{
    volatile struct virtq_avail *available;

    bed_open(&bed, id);
    available = &bed.queues[queue].avail;
    bed_describe(&bed, queue, 0, misdeed->address, misdeed->length, misdeed->flags, misdeed->next);
    if (misdeed->also)
        misdeed->also(queue);
    bed_offer(&bed, queue, misdeed->head);
    available->index = (uint16_t)(available->index + misdeed->jump);
    see_what_comes(queue);
}

static void use_bad_rings(uint16_t id, unsigned queue, unsigned which, uint64_t address)
{
    volatile struct virtio_common *common;
    uint64_t features = 0;

    if (!virtio_open(&bed.virtio, id, &features))
        guest_fail("virtio device %u refuses", id);
    common = bed.virtio.common;
    common->queue_select = (uint16_t)queue;
    common->queue_size = VIRTQUEUE_SIZE;
    common->queue_desc = which == 0 ? address : BUFFER;
    common->queue_driver = which == 1 ? address : BUFFER + 0x1000;
    common->queue_device = which == 2 ? address : BUFFER + 0x2000;
    ((volatile struct virtq_avail *)(BUFFER + 0x1000))->index = 1;
    common->queue_enable = 1;
    bed.queues[queue].doorbell =
        (volatile uint16_t *)(bed.virtio.notify + common->queue_notify_off * bed.virtio.notify_multiplier);
    virtio_start(&bed.virtio);
    see_what_comes(queue);
}

/* Every address of the register BAR, in every width, with ones and with zeros, running or not. */
static void touch_all_registers(uint16_t id)
{
    bed_open(&bed, id);
    volatile uint8_t *base = (volatile uint8_t *)bed.virtio.common;

    for (unsigned offset = 0; offset < 0x4000; offset += offset < 0x80 ? 1 : 61) {
        volatile uint8_t *at = base + offset;

        (void)*at, (void)*(volatile uint16_t *)at, (void)*(volatile uint32_t *)at, (void)*(volatile uint64_t *)at;
        *(volatile uint64_t *)at = ~0ull;
        *(volatile uint32_t *)at = 0;
        *(volatile uint16_t *)at = 0xFFFF;
        *at = 0x80;
    }
}

static void kick_what_is_not_set_up(uint16_t id)
{
    uint64_t features = 0;

    if (!virtio_open(&bed.virtio, id, &features))
        guest_fail("virtio device %u refuses", id);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 0x1000; i += 4)
            *(volatile uint16_t *)(bed.virtio.notify + i) = (uint16_t)i;
        virtio_start(&bed.virtio);              /* running, but without a queue; then reset */
        if (round == 1)
            virtio_reset(&bed.virtio);
    }
}

static void abuse(uint16_t id)
{
    unsigned queues = bed.queue_count;

    for (unsigned queue = 0; queue < queues; queue++) {
        for (unsigned i = 0; i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
            commit(id, queue, &misdeeds[i]);
            check_canary(misdeeds[i].what);
        }
        print("virtio_abuse: device %u queue %u: %lu misdeeds\n", id, queue, sizeof(misdeeds) / sizeof(misdeeds[0]));
        for (unsigned which = 0; which < 3; which++)
            for (unsigned i = 0; i < sizeof(bad_rings) / sizeof(bad_rings[0]); i++)
                use_bad_rings(id, queue, which, bad_rings[i]);
        check_canary("rings that are nowhere");
    }
    touch_all_registers(id);
    kick_what_is_not_set_up(id);
    check_canary("registers");
    bed_open(&bed, id);                         /* and it works again */
    print("virtio_abuse: device %u: survived\n", id);
}

void guest_main(void)
{
    unsigned devices = 0;

    wait_ms = option_number("wait", 0, 0, 10000);
    ram = guest_ram_size();
    for (volatile uint64_t *p = (volatile uint64_t *)CANARY; (uintptr_t)p < ram; p++)
        *p = CANARY_VALUE;
    for (uint16_t id = VIRTIO_ID_NET; id <= VIRTIO_ID_ENTROPY; id++)
        if (bed_try_open(&bed, id)) {
            abuse(id);
            devices++;
        }
    print("virtio_abuse: %u devices survived\n", devices);
}
