/*
 * Guarantees what crc32c.h says. A 4 KiB page costs one CRC32 instruction a quadword and a loop step every 256 bytes.
 */
#include "kernel/lib/crc32c.h"
#include <string.h>

#define WORD sizeof(uint64_t)

/* Eight bytes at any address. */
struct word {
    uint64_t value;
} __attribute__((packed, may_alias));

static inline uint64_t crc_word(uint64_t crc, const uint8_t *p)
{
    return __builtin_ia32_crc32di(crc, ((const struct word *)p)->value);
}

#define BLOCK_WORDS 32
#define BLOCK (BLOCK_WORDS * WORD)

/* BLOCK_WORDS steps without a branch. Misaligned addresses are fine for the instruction. */
static inline uint64_t crc_block(uint64_t crc, const uint8_t *p)
{
#pragma GCC unroll 32
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        crc = crc_word(crc, p + i * WORD);
    return crc;
}

uint32_t crc32c_update(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t c = (uint32_t)~crc;

    for (; n >= BLOCK; p += BLOCK, n -= BLOCK)
        c = crc_block(c, p);
    for (; n >= WORD; p += WORD, n -= WORD)
        c = crc_word(c, p);
    for (; n; p++, n--)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    return ~(uint32_t)c;
}

uint32_t crc32c_copy(uint32_t crc, void *restrict dst, const void *restrict src, size_t n)
{
    memcpy(dst, src, n);
    return crc32c_update(crc, dst, n);
}
