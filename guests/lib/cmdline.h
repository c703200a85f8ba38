/* The command line: words "key=value" between blanks. The last one of a key counts. Pure. */
#ifndef TELEPOD_GUESTS_CMDLINE_H
#define TELEPOD_GUESTS_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of `key` (not terminated: *length bytes), or NULL: the key is not there. */
const char *cmdline_find(const char *line, const char *key, size_t *length);

/* Decimal, or hexadecimal after 0x. *value is left alone where the key is absent. false: there, but not a number. */
bool cmdline_number(const char *line, const char *key, uint64_t *value);

/* The index of the value among `count` words; *index is left alone where the key is absent. false: none of them. */
bool cmdline_choice(const char *line, const char *key, const char *const *words, unsigned count, unsigned *index);

#endif
