/* Split virtqueues: chains, indirect tables, the rings' wrap, and every way in which a driver can break one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "tests/fakes/guest_dma.h"

#define DESCRIPTORS 0x1000
#define AVAILABLE 0x2000
#define USED 0x3000
#define INDIRECT 0x4000
#define BUFFER 0x8000
#define SIZE 8

static struct virtqueue queue;
static struct virtqueue_chain chain;

static int setup(void **state)
{
    (void)state;
    memset(guest_dma_ram, 0, sizeof(guest_dma_ram));
    virtqueue_reset(&queue);
    queue.descriptors = DESCRIPTORS;
    queue.available = AVAILABLE;
    queue.used = USED;
    queue.size = SIZE;
    queue.enabled = 1;
    return 0;
}

static void describe(unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    guest_dma_describe(DESCRIPTORS, index, address, length, flags, next);
}

static enum virtqueue_result waiting(void)
{
    uint16_t count;

    return virtqueue_waiting(&queue, &guest_dma, &count);
}

static enum virtqueue_result peek(void)
{
    memset(&chain, 0x5a, sizeof(chain));
    return virtqueue_peek(&queue, &guest_dma, &chain);
}

static void test_reset(void **state)
{
    (void)state;
    virtqueue_reset(&queue);
    assert_int_equal(queue.size, VIRTQUEUE_SIZE_MAX);
    assert_int_equal(queue.vector, VIRTIO_NO_VECTOR);
    assert_int_equal(queue.enabled, 0);
    assert_true(virtqueue_valid(&queue));
}

static void test_valid(void **state)
{
    static const struct { uint64_t descriptors, available, used; uint16_t size; bool valid; } cases[] = {
        { 0x1000, 0x2000, 0x3000, 256, true },  { 0x1010, 0x2002, 0x3004, 1, true },
        { 0x1008, 0x2000, 0x3000, 8, false },   { 0x1000, 0x2001, 0x3000, 8, false },
        { 0x1000, 0x2000, 0x3002, 8, false },   { 0x1000, 0x2000, 0x3000, 0, false },
        { 0x1000, 0x2000, 0x3000, 3, false },   { 0x1000, 0x2000, 0x3000, 512, false },
        { 0x1000, 0x2000, 0x3000, 32768, false }, { ~15ull, 0x2000, 0x3000, 8, false },
        { 0x1000, ~1ull, 0x3000, 8, false },    { 0x1000, 0x2000, ~3ull, 8, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        queue.descriptors = cases[i].descriptors;
        queue.available = cases[i].available;
        queue.used = cases[i].used;
        queue.size = cases[i].size;
        assert_int_equal(virtqueue_valid(&queue), cases[i].valid);
    }
}

static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(waiting(), VIRTQUEUE_EMPTY);
}

static void test_chain(void **state)
{
    static const char text[] = "0123456789abcdef";
    char got[16];

    (void)state;
    describe(3, BUFFER, 4, DESCRIPTOR_NEXT, 5);
    describe(5, BUFFER + 0x100, 6, DESCRIPTOR_NEXT, 0);
    describe(0, BUFFER + 0x200, 0, DESCRIPTOR_NEXT, 1); /* an empty one is passed over */
    describe(1, BUFFER + 0x300, 16, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 2);
    describe(2, BUFFER + 0x400, 1, DESCRIPTOR_WRITE, 77);
    guest_dma_offer(&queue, 3);
    memcpy(guest_dma_ram + BUFFER, text, 4);
    memcpy(guest_dma_ram + BUFFER + 0x100, text + 4, 6);
    assert_int_equal(waiting(), VIRTQUEUE_CHAIN);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    assert_int_equal(chain.head, 3);
    assert_int_equal(chain.descriptors, 5);
    assert_int_equal(chain.readable, 2);
    assert_int_equal(chain.writable, 2);
    assert_int_equal(chain.readable_bytes, 10);
    assert_int_equal(chain.writable_bytes, 17);

    assert_true(virtqueue_copy_from(&chain, &guest_dma, 0, got, 10));
    assert_memory_equal(got, text, 10);
    assert_true(virtqueue_copy_from(&chain, &guest_dma, 3, got, 3));
    assert_memory_equal(got, text + 3, 3);
    assert_true(virtqueue_copy_from(&chain, &guest_dma, 10, got, 0));
    assert_false(virtqueue_copy_from(&chain, &guest_dma, 0, got, 11));
    assert_false(virtqueue_copy_from(&chain, &guest_dma, UINT32_MAX, got, 1));

    assert_true(virtqueue_copy_to(&chain, &guest_dma, 14, "xyz", 3));
    assert_memory_equal(guest_dma_ram + BUFFER + 0x30e, "xy", 3);
    assert_memory_equal(guest_dma_ram + BUFFER + 0x400, "z", 2);
    assert_false(virtqueue_copy_to(&chain, &guest_dma, 15, "xyz", 3));
    assert_false(virtqueue_copy_to(&chain, &guest_dma, UINT32_MAX, "xyz", 3));
}

static void test_complete(void **state)
{
    (void)state;
    describe(4, BUFFER, 16, DESCRIPTOR_WRITE, 0);
    queue.progress = 7;
    guest_dma_offer(&queue, 4);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    assert_int_equal(waiting(), VIRTQUEUE_CHAIN); /* looked at, not taken */
    assert_true(virtqueue_complete(&queue, &guest_dma, &chain, 12));
    assert_int_equal(waiting(), VIRTQUEUE_EMPTY);
    assert_int_equal(guest_dma_word(USED + 2), 1);
    assert_int_equal(guest_dma_long(USED + 4), 4);
    assert_int_equal(guest_dma_long(USED + 8), 12);
    assert_int_equal(queue.progress, 0);
    assert_true(virtqueue_wants_interrupt(&queue, &guest_dma));
    guest_dma_set_word(AVAILABLE, 1);
    assert_false(virtqueue_wants_interrupt(&queue, &guest_dma));
}

/* Both indices run freely past 65535, and the entries go round and round. */
static void test_wrap(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SIZE; i++)
        describe(i, BUFFER + i, 1, 0, 0);
    for (unsigned turn = 0; turn < 70000; turn++) {
        unsigned batch = turn % SIZE + 1;
        uint16_t count = 0;

        for (unsigned i = 0; i < batch; i++)
            guest_dma_offer(&queue, (uint16_t)((turn + i) % SIZE));
        assert_int_equal(virtqueue_waiting(&queue, &guest_dma, &count), VIRTQUEUE_CHAIN);
        assert_int_equal(count, batch);
        for (unsigned i = 0; i < batch; i++) {
            uint16_t slot = queue.next_used % SIZE;

            assert_int_equal(peek(), VIRTQUEUE_CHAIN);
            assert_int_equal(chain.head, (turn + i) % SIZE);
            assert_true(virtqueue_complete(&queue, &guest_dma, &chain, i));
            assert_int_equal(guest_dma_long(USED + 4 + 8u * slot), chain.head);
        }
        assert_int_equal(waiting(), VIRTQUEUE_EMPTY);
        assert_int_equal(guest_dma_word(USED + 2), guest_dma_word(AVAILABLE + 2));
    }
}

static void test_indirect(void **state)
{
    (void)state;
    describe(0, BUFFER, 8, DESCRIPTOR_NEXT, 6); /* plain ones may come before the indirect one */
    describe(6, INDIRECT, 3 * 16, DESCRIPTOR_INDIRECT | DESCRIPTOR_WRITE, 0);
    guest_dma_describe(INDIRECT, 0, BUFFER + 0x100, 8, DESCRIPTOR_NEXT, 2);
    guest_dma_describe(INDIRECT, 2, BUFFER + 0x200, 8, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 1);
    guest_dma_describe(INDIRECT, 1, BUFFER + 0x300, 8, DESCRIPTOR_WRITE, 0);
    guest_dma_offer(&queue, 0);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    assert_int_equal(chain.readable, 2);
    assert_int_equal(chain.writable, 2);
    assert_int_equal(chain.segments[1].address, BUFFER + 0x100);
    assert_int_equal(chain.segments[3].address, BUFFER + 0x300);
}

/* An indirect table may be longer than the queue, and a chain may fill all of it. */
static void test_longest_indirect(void **state)
{
    (void)state;
    describe(0, INDIRECT, VIRTQUEUE_SIZE_MAX * 16, DESCRIPTOR_INDIRECT, 0);
    for (unsigned i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
        guest_dma_describe(INDIRECT, i, BUFFER, 1, DESCRIPTOR_NEXT, (uint16_t)(i + 1));
    guest_dma_describe(INDIRECT, VIRTQUEUE_SIZE_MAX - 2, BUFFER, 1, 0, 0);
    guest_dma_offer(&queue, 0);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    assert_int_equal(chain.readable, VIRTQUEUE_SIZE_MAX - 1);
    guest_dma_describe(INDIRECT, VIRTQUEUE_SIZE_MAX - 2, BUFFER, 1, DESCRIPTOR_NEXT, 0);
    assert_int_equal(peek(), VIRTQUEUE_BROKEN);
}

/* ---- what a driver must not do: broken, and nothing else happens ---- */

/* Chain 0 of these descriptors, and one at INDIRECT. */
static const struct {
    const char *what;
    struct virtqueue_descriptor first, second, indirect;
    uint16_t head;
} broken[] = {
    { "head outside the table", { BUFFER, 1, 0, 0 }, { 0 }, { 0 }, SIZE },
    { "head far outside", { BUFFER, 1, 0, 0 }, { 0 }, { 0 }, 0xffff },
    { "next outside the table", { BUFFER, 1, DESCRIPTOR_NEXT, SIZE }, { 0 }, { 0 }, 0 },
    { "next far outside", { BUFFER, 1, DESCRIPTOR_NEXT, 0xffff }, { 0 }, { 0 }, 0 },
    { "a loop of one", { BUFFER, 1, DESCRIPTOR_NEXT, 0 }, { 0 }, { 0 }, 0 },
    { "a loop of one, empty", { BUFFER, 0, DESCRIPTOR_NEXT, 0 }, { 0 }, { 0 }, 0 },
    { "a loop of two", { BUFFER, 1, DESCRIPTOR_NEXT, 1 }, { BUFFER, 1, DESCRIPTOR_NEXT, 0 }, { 0 }, 0 },
    { "to read after to write", { BUFFER, 1, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 1 }, { BUFFER, 1, 0, 0 }, { 0 }, 0 },
    { "more than 4 GiB", { BUFFER, UINT32_MAX, DESCRIPTOR_NEXT, 1 }, { BUFFER, 1, 0, 0 }, { 0 }, 0 },
    { "an address that wraps", { ~0ull, 2, 0, 0 }, { 0 }, { 0 }, 0 },
    { "indirect with next", { INDIRECT, 16, DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT, 1 }, { BUFFER, 1, 0, 0 }, { BUFFER, 1, 0, 0 }, 0 },
    { "indirect of length 0", { INDIRECT, 0, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { BUFFER, 1, 0, 0 }, 0 },
    { "indirect of an odd length", { INDIRECT, 17, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { BUFFER, 1, 0, 0 }, 0 },
    { "indirect outside RAM", { GUEST_DMA_SIZE, 16, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { 0 }, 0 },
    { "indirect at the edge of RAM", { GUEST_DMA_SIZE - 8, 16, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { 0 }, 0 },
    { "indirect that wraps", { ~15ull, 32, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { 0 }, 0 },
    { "indirect in indirect", { INDIRECT, 16, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { INDIRECT, 16, DESCRIPTOR_INDIRECT, 0 }, 0 },
    { "indirect next outside its table", { INDIRECT, 16, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { BUFFER, 1, DESCRIPTOR_NEXT, 1 }, 0 },
    { "indirect to read after to write", { BUFFER, 1, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 1 },
      { INDIRECT, 16, DESCRIPTOR_INDIRECT, 0 }, { BUFFER, 1, 0, 0 }, 0 },
    { "an indirect loop", { INDIRECT, 16, DESCRIPTOR_INDIRECT, 0 }, { 0 }, { BUFFER, 0, DESCRIPTOR_NEXT, 0 }, 0 },
};

static void test_broken_chains(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct virtqueue before;

        setup(state);
        memcpy(guest_dma_ram + DESCRIPTORS, &broken[i].first, 16);
        memcpy(guest_dma_ram + DESCRIPTORS + 16, &broken[i].second, 16);
        memcpy(guest_dma_ram + INDIRECT, &broken[i].indirect, 16);
        guest_dma_offer(&queue, broken[i].head);
        before = queue;
        if (peek() != VIRTQUEUE_BROKEN)
            fail_msg("not noticed: %s", broken[i].what);
        assert_memory_equal(&queue, &before, sizeof(queue));
    }
}

/* Only the rings' own memory is checked by the walk: buffers outside RAM show when they are used. */
static void test_buffers_outside(void **state)
{
    char byte = 1;

    (void)state;
    describe(0, GUEST_DMA_SIZE - 1, 2, DESCRIPTOR_NEXT, 1);
    describe(1, 1ull << 60, 2, DESCRIPTOR_WRITE, 0);
    guest_dma_offer(&queue, 0);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    assert_true(virtqueue_copy_from(&chain, &guest_dma, 0, &byte, 1));
    assert_false(virtqueue_copy_from(&chain, &guest_dma, 1, &byte, 1));
    assert_false(virtqueue_copy_to(&chain, &guest_dma, 0, &byte, 1));
}

static void test_rings_outside(void **state)
{
    (void)state;
    describe(0, BUFFER, 1, 0, 0);
    guest_dma_offer(&queue, 0);
    queue.descriptors = GUEST_DMA_SIZE;
    assert_int_equal(peek(), VIRTQUEUE_BROKEN);
    setup(state);
    queue.available = GUEST_DMA_SIZE - 2; /* flags inside, index outside */
    assert_int_equal(waiting(), VIRTQUEUE_BROKEN);
    queue.available = GUEST_DMA_SIZE - 4; /* entries outside */
    guest_dma_set_word(GUEST_DMA_SIZE - 2, 1);
    assert_int_equal(waiting(), VIRTQUEUE_CHAIN);
    assert_int_equal(peek(), VIRTQUEUE_BROKEN);
    setup(state);
    guest_dma_offer(&queue, 0);
    assert_int_equal(peek(), VIRTQUEUE_CHAIN);
    queue.used = GUEST_DMA_SIZE;
    assert_false(virtqueue_complete(&queue, &guest_dma, &chain, 0));
    assert_int_equal(queue.next_used, 0);
    assert_int_equal(queue.next_available, 0);
    queue.available = GUEST_DMA_SIZE;
    assert_false(virtqueue_wants_interrupt(&queue, &guest_dma));
}

static void test_index_abuse(void **state)
{
    (void)state;
    guest_dma_set_word(AVAILABLE + 2, SIZE);
    assert_int_equal(waiting(), VIRTQUEUE_CHAIN);
    guest_dma_set_word(AVAILABLE + 2, SIZE + 1);
    assert_int_equal(waiting(), VIRTQUEUE_BROKEN);
    guest_dma_set_word(AVAILABLE + 2, 32768);
    assert_int_equal(waiting(), VIRTQUEUE_BROKEN);
    guest_dma_set_word(AVAILABLE + 2, 0xffff); /* one back */
    assert_int_equal(waiting(), VIRTQUEUE_BROKEN);
}

static void test_state(void **state)
{
    static const struct { size_t offset; uint16_t value; } wrong[] = {
        { offsetof(struct virtqueue, size), 0 },   { offsetof(struct virtqueue, size), 6 },
        { offsetof(struct virtqueue, size), 512 }, { offsetof(struct virtqueue, enabled), 2 },
        { offsetof(struct virtqueue, used), 0x3001 }, { offsetof(struct virtqueue, descriptors), 0x1001 },
    };
    uint8_t wire[128];
    char why[160];
    size_t size = section_wire_size(&virtqueue_section);
    struct virtqueue copy = { 0 };

    (void)state;
    queue.next_available = 0xfffe;
    queue.next_used = 0xfffd;
    queue.progress = 99;
    queue.vector = 2;
    section_save(&virtqueue_section, &queue, wire);
    assert_int_equal(section_load(&virtqueue_section, &copy, wire, size, why, sizeof(why)), OK);
    assert_memory_equal(&copy, &queue, sizeof(copy));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct virtqueue bad = queue;

        memcpy((uint8_t *)&bad + wrong[i].offset, &wrong[i].value, 2);
        section_save(&virtqueue_section, &bad, wire);
        assert_int_equal(section_load(&virtqueue_section, &copy, wire, size, why, sizeof(why)), ERR_INVALID);
        assert_memory_equal(&copy, &queue, sizeof(copy));
    }
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset), T(test_valid), T(test_empty), T(test_chain), T(test_complete), T(test_wrap), T(test_indirect),
        T(test_longest_indirect), T(test_broken_chains), T(test_buffers_outside), T(test_rings_outside),
        T(test_index_abuse), T(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
