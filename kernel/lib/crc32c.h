/*
 * CRC32C (Castagnoli; RFC 3720, appendix B.4), by the processor's CRC32 instruction in general-purpose registers:
 * SSE4.2 is needed, but no SSE register is touched. Pure.
 *
 * A checksum over several pieces: crc = crc32c_update(crc32c_update(0, a, n), b, m) is that of a and b in a row.
 */
#ifndef TELEPOD_CRC32C_H
#define TELEPOD_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_update(uint32_t crc, const void *data, size_t n);

/*
 * Copies n bytes to `dst` and returns the checksum of what was written there: also if another CPU changes the source
 * meanwhile, checksum and copy agree. No overlap.
 */
uint32_t crc32c_copy(uint32_t crc, void *restrict dst, const void *restrict src, size_t n);

#endif
