/*
 * Bytes without their zeros: most of a machine's state is zero, and its guest stands still while it travels.
 *
 * The bytes are taken as little-endian words of 64 bits. A word that is not zero goes out as one byte, and then as many of
 * its bytes as there are up to its highest that is not zero. Of the first byte, bits 7:4 count the zero words before it,
 * and bits 3:0 (1 to 8) the bytes that follow. Bits 3:0 = 0 stand for zero words alone: sixteen for each that bits 7:4
 * count, and sixteen more. Zeros at the end leave nothing. Pure.
 */
#ifndef TELEPOD_SQUEEZE_H
#define TELEPOD_SQUEEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that so many words become; squeeze() may write up to there. */
#define SQUEEZE_BYTES_MAX(words) ((words) * (sizeof(uint64_t) + 1))

/* Returns the bytes written. */
size_t squeeze(const uint64_t *words, size_t count, uint8_t *out);
/* Fills words[count]. false: no squeeze() of so many words made these bytes; words[] is then anything. */
bool unsqueeze(const uint8_t *bytes, size_t size, uint64_t *words, size_t count);

#endif
