#include "guests/lib/format.h"
#include <stdbool.h>
#include <stdint.h>

#define DIGITS_MAX 20       /* of a 64-bit number, in decimal */

static void put_number(format_put *put, uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[DIGITS_MAX];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > count; width--)
        put(fill);
    while (count)
        put(digits[--count]);
}

static void put_string(format_put *put, const char *s)
{
    while (*s)
        put(*s++);
}

static void put_signed(format_put *put, int64_t value, unsigned width, char fill)
{
    if (value < 0)
        put('-');
    put_number(put, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, fill);
}

void format(format_put *put, const char *text, va_list arguments)
{
    for (; *text; text++) {
        unsigned width = 0;
        char fill = ' ';
        bool is_long = false;

        if (*text != '%') {
            put(*text);
            continue;
        }
        if (*++text == '0')
            fill = *text++;
        for (; *text >= '0' && *text <= '9'; text++)
            width = width * 10 + (unsigned)(*text - '0');
        if (*text == 'l') {
            is_long = true;
            text++;
        }
        switch (*text) {
        case 's':
            put_string(put, va_arg(arguments, const char *));
            break;
        case 'c':
            put((char)va_arg(arguments, int));
            break;
        case 'd':
            put_signed(put, is_long ? va_arg(arguments, long) : va_arg(arguments, int), width, fill);
            break;
        case 'u':
        case 'x':
            put_number(put, is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned),
                       *text == 'u' ? 10 : 16, width, fill);
            break;
        case '\0':
            return;
        default:
            put(*text);
        }
    }
}
