/* The JSON writer: see json.h for what it guarantees. */
#include "kernel/lib/json.h"

#include <stdio.h>
#include <string.h>

void json_init(struct json *j, char *buffer, size_t size)
{
    *j = (struct json){ .buffer = buffer, .size = size };
    if (size)
        buffer[0] = '\0';
}

static void put(struct json *j, const char *text, size_t length)
{
    if (j->overflow || length >= j->size - j->used) {
        j->overflow = true;
        return;
    }
    memcpy(j->buffer + j->used, text, length);
    j->used += length;
    j->buffer[j->used] = '\0';
}

static void put_text(struct json *j, const char *text)
{
    put(j, text, strlen(text));
}

static void put_quoted(struct json *j, const char *bytes, size_t size)
{
    put_text(j, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            put(j, (char[]){ '\\', (char)c }, 2);
        else if (c == '\n')
            put_text(j, "\\n");
        else if (c >= 0x20 && c < 0x7f)
            put(j, (const char *)&c, 1);
        else
            put(j, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
    }
    put_text(j, "\"");
}

/* The comma, and the key if there is one: what stands before every value. */
static void begin_value(struct json *j, const char *key)
{
    if (j->comma)
        put_text(j, ",");
    j->comma = true;
    if (key) {
        put_quoted(j, key, strlen(key));
        put_text(j, ":");
    }
}

static void open_scope(struct json *j, const char *key, const char *bracket)
{
    begin_value(j, key);
    put_text(j, bracket);
    j->comma = false;
}

static void close_scope(struct json *j, const char *bracket)
{
    put_text(j, bracket);
    j->comma = true;
}

void json_object_begin(struct json *j, const char *key) { open_scope(j, key, "{"); }
void json_object_end(struct json *j) { close_scope(j, "}"); }
void json_array_begin(struct json *j, const char *key) { open_scope(j, key, "["); }
void json_array_end(struct json *j) { close_scope(j, "]"); }

void json_bytes(struct json *j, const char *key, const char *bytes, size_t size)
{
    begin_value(j, key);
    put_quoted(j, bytes, size);
}

void json_string(struct json *j, const char *key, const char *value)
{
    json_bytes(j, key, value, strlen(value));
}

static void put_number(struct json *j, const char *key, const char *format, unsigned long long value)
{
    char text[32];
    begin_value(j, key);
    put(j, text, (size_t)snprintf(text, sizeof text, format, value));
}

void json_u64(struct json *j, const char *key, uint64_t value) { put_number(j, key, "%llu", value); }
void json_i64(struct json *j, const char *key, int64_t value) { put_number(j, key, "%lld", (unsigned long long)value); }
void json_hex(struct json *j, const char *key, uint64_t value) { put_number(j, key, "\"0x%llx\"", value); }

void json_bool(struct json *j, const char *key, bool value)
{
    begin_value(j, key);
    put_text(j, value ? "true" : "false");
}
