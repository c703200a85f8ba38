/*
 * A guest's bytes in a pod's JSON: each byte is one character of the string, U+0000 to U+00FF. cJSON would end a string at
 * U+0000, and gives UTF-8.
 */
#ifndef TELEPOD_TOOLS_TEXT_H
#define TELEPOD_TOOLS_TEXT_H

#include <stddef.h>

/* In a line of JSON, before it is parsed: NUL bytes become '?', for eyes. */
void text_mend_nul(char *line);
/* The same, but text_to_bytes can tell them from all others. */
void text_keep_nul(char *line);
/* The bytes of a string that was kept; `out` needs as much room as the string. Returns how many. */
size_t text_to_bytes(const char *utf8, char *out);

#endif
