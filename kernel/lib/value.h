/*
 * The values that telepod.ini's keys and the operator's options can have: each function decodes one kind from a
 * NUL-terminated string, checks its range, and writes its result only when it returns true.
 */
#ifndef TELEPOD_VALUE_H
#define TELEPOD_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, min <= *out <= max. */
bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Exactly eight hexadecimal digits. */
bool value_hex32(const char *text, uint32_t *out);
/* Digits and one of K, M, G: bytes; min <= *out <= max. */
bool value_size(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Letters, digits, '-', '_' and '.', starting with a letter; 1 to size - 1 characters. */
bool value_name(const char *text, char *out, size_t size);
/* The same characters, starting with a letter or a digit. */
bool value_file_name(const char *text, char *out, size_t size);
/* 0 to size - 1 characters of any text. */
bool value_text(const char *text, char *out, size_t size);
/* The index of `text` in a list of `count` words. */
bool value_word(const char *text, const char *const *words, uint32_t count, uint32_t *out);
/* "none", or words of the list behind one another, with a comma and blanks between them: bit n of *out stands for word n. */
bool value_set(const char *text, const char *const *words, uint32_t count, uint32_t *out);
/* aa:bb:cc:dd:ee:ff of one station: not all zero, and no group address (IEEE 802, bit 0 of the first byte). */
bool value_mac(const char *text, uint8_t out[6]);
/* a.b.c.d of a host (first byte 1 to 223 and not 127), in network byte order. */
bool value_ipv4(const char *text, uint32_t *out);
/* a.b.c.d/length with a length of 1 to 30 that leaves the address a host's; both in network byte order. */
bool value_ipv4_net(const char *text, uint32_t *address, uint32_t *netmask);

#endif
