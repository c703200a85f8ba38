/*
 * A command line as words: blanks separate, quotes and escapes are decoded, key=value is taken apart. The grammar is at
 * the top of command.h. Pure; any bytes are welcome.
 */
#ifndef TELEPOD_WORDS_H
#define TELEPOD_WORDS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

#define COMMAND_LINE_MAX 1024
#define WORDS_MAX 40
#define WORDS_ERROR_MAX 192

struct word {
    const char *text;  /* NUL-terminated; of key=value, the key */
    const char *value; /* behind the '='; NULL: no option */
    bool quoted;       /* it has a quoted part, so it is no flag */
};

/* Points into itself: not to be copied. */
struct words {
    uint32_t count;
    struct word list[WORDS_MAX];
    char text[2 * COMMAND_LINE_MAX];
};

/* ERR_RANGE (the line is too long) or ERR_INVALID, with a sentence in `error`; OK: it is empty. */
enum err words_split(struct words *out, const char *line, size_t size, char error[WORDS_ERROR_MAX]);

/* A sentence about a line, in printable ASCII whatever it repeats of it. */
void words_format_error(char error[WORDS_ERROR_MAX], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
