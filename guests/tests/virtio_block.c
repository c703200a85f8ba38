/*
 * virtio_block: the whole disk, written and read back with content that follows from sector and round, again and again. A
 * sector that a teleport loses, or that holds another round's content, is found.
 *
 *     virtio_block: SECTORS sectors
 *     virtio_block: round N ok            every sector holds what round N - 1 wrote, and was written anew
 *
 * Options: count=3 (rounds; 0: for ever), sectors=64 (a request), disk=1: what was found at the start may be anything; 0: it
 * must be zero.
 */
#include "guests/lib/guest.h"
#include "guests/lib/machine.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_block";

#define SECTOR 512
#define WORDS (SECTOR / sizeof(uint64_t))
#define SECTORS_MAX 256
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPPORTED = 2 };

static struct bed device;
static struct request {
    uint32_t type, reserved;
    uint64_t sector;
    volatile uint8_t status;
} request __attribute__((section(".bss.cold"), aligned(64)));
static uint64_t *const data = (uint64_t *)BED_BUFFERS;

/* Splits the data in two unequal pieces, so that the device has to join them. */
static uint8_t transfer(uint32_t type, uint64_t sector, uint32_t size)
{
    bool in = type != TYPE_OUT;
    uint32_t first = size > SECTOR ? size / 3 : size;
    struct bed_buffer chain[] = {
        { &request, 16, false },
        { data, first, in },
        { (char *)data + first, size - first, in },
        { (void *)&request.status, 1, true },
    };

    request.type = type;
    request.sector = sector;
    request.status = 0xEE;
    bed_request(&device, 0, chain, 4);
    return request.status;
}

static uint64_t word(uint64_t round, uint64_t sector, unsigned index)
{
    uint64_t x = (sector << 20 | round << 7 | index) * 0x9E3779B97F4A7C15ull;

    return round ? x ^ x >> 29 : 0;
}

static void check(uint64_t round, uint64_t sector, uint64_t count)
{
    if (transfer(TYPE_IN, sector, (uint32_t)count * SECTOR) != STATUS_OK)
        guest_fail("sector %lu cannot be read: status %u", sector, request.status);
    for (uint64_t i = 0; i < count * WORDS; i++)
        if (data[i] != word(round, sector + i / WORDS, i % WORDS))
            guest_fail("sector %lu of round %lu holds 0x%lx at word %lu, not 0x%lx", sector + i / WORDS, round, data[i],
                       i % WORDS, word(round, sector + i / WORDS, i % WORDS));
}

static void write(uint64_t round, uint64_t sector, uint64_t count)
{
    for (uint64_t i = 0; i < count * WORDS; i++)
        data[i] = word(round, sector + i / WORDS, i % WORDS);
    if (transfer(TYPE_OUT, sector, (uint32_t)count * SECTOR) != STATUS_OK)
        guest_fail("sector %lu cannot be written: status %u", sector, request.status);
}

static void expect_status(uint32_t type, uint64_t sector, uint32_t size, uint8_t status, const char *what)
{
    if (transfer(type, sector, size) != status)
        guest_fail("%s: status %u, not %u", what, request.status, status);
}

static void check_errors(uint64_t capacity)
{
    expect_status(TYPE_IN, capacity, SECTOR, STATUS_IOERR, "a read behind the end");
    expect_status(TYPE_OUT, capacity - 1, 2 * SECTOR, STATUS_IOERR, "a write across the end");
    expect_status(TYPE_OUT, ~0ull, SECTOR, STATUS_IOERR, "a write at the end of all numbers");
    expect_status(TYPE_OUT, ~0ull / SECTOR + 1, SECTOR, STATUS_IOERR, "a write whose offset wraps");
    expect_status(TYPE_IN, 0, SECTOR - 1, STATUS_IOERR, "part of a sector");
    expect_status(TYPE_FLUSH, 0, 0, STATUS_OK, "a flush");
    expect_status(77, 0, SECTOR, STATUS_UNSUPPORTED, "a request of no known type");
    expect_status(TYPE_GET_ID, 0, 20, STATUS_OK, "the disk's name");
}

void guest_main(void)
{
    uint64_t rounds = option_number("count", 3, 0, UINT32_MAX), step = option_number("sectors", 64, 1, SECTORS_MAX);
    uint64_t used = option_number("disk", 0, 0, 1), capacity;

    bed_open(&device, VIRTIO_ID_BLOCK);
    capacity = *(volatile uint64_t *)device.virtio.device;
    print("virtio_block: %lu sectors\n", capacity);
    for (uint64_t round = 1; round <= rounds || rounds == 0; round++) {
        for (uint64_t sector = 0; sector < capacity; sector += step) {
            uint64_t count = capacity - sector < step ? capacity - sector : step;

            if (round > 1 || !used)
                check(round - 1, sector, count);
            write(round, sector, count);
        }
        check_errors(capacity);
        print("virtio_block: round %lu ok\n", round);
    }
}
