/*
 * Writes one JSON object (RFC 8259) on one line into a buffer of the caller. Text that does not fit is dropped whole and
 * noted in `overflow`; the buffer is always NUL-terminated. Strings are escaped; bytes that are no printable ASCII become
 * \u00XX, so that nothing a guest or a peer sends can break a line. Pure.
 */
#ifndef TELEPOD_JSON_H
#define TELEPOD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *buffer;
    size_t size, used;
    bool overflow;
    bool comma;      /* the next member needs a comma before it */
};

void json_init(struct json *j, char *buffer, size_t size);
/* key NULL: an element of an array, or the outermost value. */
void json_object_begin(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array_begin(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_string(struct json *j, const char *key, const char *value);
void json_bytes(struct json *j, const char *key, const char *bytes, size_t size);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_hex(struct json *j, const char *key, uint64_t value);   /* as a string "0x..." : exact in every reader */
void json_bool(struct json *j, const char *key, bool value);

#endif
