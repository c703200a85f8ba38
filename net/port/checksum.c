#include "net/port/checksum.h"


#define WORD sizeof(uint64_t)
#define BLOCK_WORDS 16

/* a + b with the carry added back in. */
static uint64_t add_carry(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;

    return sum + (sum < a);
}

/* RFC 1071, 2 (C): wide sums are folded by adding their halves. */
static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16 & 0xffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16);
    return (uint16_t)((sum & 0xffffu) + (sum >> 16));
}

static uint64_t load_word(const uint8_t *from)
{
    uint64_t word;

    __builtin_memcpy(&word, from, sizeof(word));
    return word;
}

/* The compiler turns this into one ADD and a chain of ADC from memory: 0.18 instructions a byte. */
#define STEP(i) carry = __builtin_ia32_addcarryx_u64(carry, sum, load_word(from + (i) * WORD), &sum)
static uint64_t sum_block(unsigned long long sum, const uint8_t *from)
{
    unsigned char carry = 0;

    STEP(0); STEP(1); STEP(2); STEP(3); STEP(4); STEP(5); STEP(6); STEP(7);
    STEP(8); STEP(9); STEP(10); STEP(11); STEP(12); STEP(13); STEP(14); STEP(15);
    __builtin_ia32_addcarryx_u64(carry, sum, 0, &sum);
    return sum;
}
#undef STEP

uint16_t checksum_sum(const void *data, size_t size)
{
    const uint8_t *from = data;
    uint64_t sum = 0;

    for (; size >= BLOCK_WORDS * WORD; size -= BLOCK_WORDS * WORD, from += BLOCK_WORDS * WORD)
        sum = sum_block(sum, from);
    for (; size >= WORD; size -= WORD, from += WORD)
        sum = add_carry(sum, load_word(from));
    if (size & sizeof(uint32_t)) {
        uint32_t half;

        __builtin_memcpy(&half, from, sizeof(half));
        sum = add_carry(sum, half);
        from += sizeof(half);
    }
    if (size & sizeof(uint16_t)) {
        sum = add_carry(sum, (uint64_t)(from[0] | from[1] << 8));
        from += sizeof(uint16_t);
    }
    if (size & 1)
        sum = add_carry(sum, from[0]);
    return fold(sum);
}

uint16_t checksum_lwip(const void *data, int size)
{
    return size > 0 ? checksum_sum(data, (size_t)size) : 0;
}

uint16_t checksum_pseudo_header(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length)
{
    uint64_t sum = (uint64_t)source + destination;

    sum += (uint64_t)protocol << 8;           /* the word 0:protocol in network order, loaded little-endian */
    sum += __builtin_bswap16(length);
    return fold(sum);
}
