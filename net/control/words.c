/* The word splitter: see words.h. */
#include "net/control/words.h"

#include <stdio.h>
#include <string.h>

#define HEX_DIGITS 2

struct reader {
    struct words *out;
    const char *at, *end;
    char *free;        /* in out->text; a decoded word is never longer than what it was written as, plus its NUL */
    char *error;
};

void words_format_error(char error[WORDS_ERROR_MAX], const char *format, va_list args)
{
    vsnprintf(error, WORDS_ERROR_MAX, format, args);
    for (char *c = error; *c; c++)          /* it may repeat a word that was written with escapes */
        if (*c < ' ' || *c > '~')
            *c = '?';
}

static enum err fail(struct reader *r, enum err e, const char *format, ...) __attribute__((format(printf, 3, 4)));
static enum err fail(struct reader *r, enum err e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    words_format_error(r->error, format, args);
    va_end(args);
    return e;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum err check_bytes(struct reader *r, const char *line, size_t size)
{
    if (size > COMMAND_LINE_MAX)
        return fail(r, ERR_RANGE, "the line is longer than %d bytes", COMMAND_LINE_MAX);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)line[i];

        if ((c < ' ' || c > '~') && c != '\t')
            return fail(r, ERR_INVALID, "byte 0x%02x in column %u: a command is printable ASCII", c, (unsigned)i + 1);
    }
    return OK;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)((found - digits) & 0xf) : -1;
}

/* \xHH, with r->at on the first H. */
static enum err take_hex(struct reader *r)
{
    int value = 0;

    for (int i = 0; i < HEX_DIGITS; i++) {
        int digit = r->at < r->end ? hex_digit(*r->at) : -1;

        if (digit < 0)
            return fail(r, ERR_INVALID, "\\x needs two hexadecimal digits");
        value = value << 4 | digit;
        r->at++;
    }
    if (!value)
        return fail(r, ERR_INVALID, "\\x00 cannot be written");
    *r->free++ = (char)value;
    return OK;
}

/* What stands behind a backslash. */
static enum err take_escape(struct reader *r)
{
    static const char letters[] = "nrt\"\\", bytes[] = "\n\r\t\"\\";
    const char *found = r->at < r->end ? strchr(letters, *r->at) : NULL;

    if (r->at == r->end)
        return fail(r, ERR_INVALID, "the line ends in the middle of an escape");
    if (found) {
        r->at++;
        *r->free++ = bytes[found - letters];
        return OK;
    }
    if (*r->at != 'x')
        return fail(r, ERR_INVALID, "\\%c is no escape: use \\n \\r \\t \\\" \\\\ or \\xHH", *r->at);
    r->at++;
    return take_hex(r);
}

/* "...", with r->at behind the opening quote. */
static enum err take_quoted(struct reader *r)
{
    while (r->at < r->end) {
        char c = *r->at++;
        enum err e = OK;

        if (c == '"')
            return OK;
        if (c == '\\')
            e = take_escape(r);
        else
            *r->free++ = c;
        if (e != OK)
            return e;
    }
    return fail(r, ERR_INVALID, "a quote is not closed");
}

static enum err take_word(struct reader *r)
{
    struct word *word = &r->out->list[r->out->count];

    if (r->out->count == WORDS_MAX)
        return fail(r, ERR_INVALID, "more than %d words", WORDS_MAX);
    *word = (struct word){ .text = r->free };
    while (r->at < r->end && !is_blank(*r->at)) {
        char c = *r->at++;
        enum err e = OK;

        if (c == '"') {
            word->quoted = true;
            e = take_quoted(r);
        } else if (c == '=' && !word->value && !word->quoted) {
            *r->free++ = '\0';
            word->value = r->free;
        } else {
            *r->free++ = c;
        }
        if (e != OK)
            return e;
    }
    *r->free++ = '\0';
    r->out->count++;
    return OK;
}

static enum err split(struct reader *r)
{
    for (;;) {
        enum err e;

        while (r->at < r->end && is_blank(*r->at))
            r->at++;
        if (r->at == r->end)
            return OK;
        e = take_word(r);
        if (e != OK)
            return e;
    }
}

enum err words_split(struct words *out, const char *line, size_t size, char error[WORDS_ERROR_MAX])
{
    struct reader reader = { .out = out, .at = line, .end = line + size, .free = out->text, .error = error };
    enum err e = check_bytes(&reader, line, size);

    out->count = 0;
    error[0] = e ? error[0] : '\0';
    return e ? e : split(&reader);
}
