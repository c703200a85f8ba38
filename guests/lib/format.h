/* The little of printf that guests need: %s %c %d %u %x %lu %lx %%, with a width and leading zeros (%08x). Pure. */
#ifndef TELEPOD_GUESTS_FORMAT_H
#define TELEPOD_GUESTS_FORMAT_H

#include <stdarg.h>

typedef void format_put(char c);

/* Gives the text to `put`, byte by byte: no buffer, no limit. An unknown conversion is given as it stands. */
void format(format_put *put, const char *text, va_list arguments);

#endif
