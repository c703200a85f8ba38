#include "guests/lib/cmdline.h"

/* Does `text` begin with `word`? Returns the word's length, or 0. */
static size_t match(const char *text, const char *word)
{
    size_t n = 0;

    while (word[n] && text[n] == word[n])
        n++;
    return word[n] ? 0 : n;
}

const char *cmdline_find(const char *line, const char *key, size_t *length)
{
    const char *found = NULL;

    while (*line) {
        size_t n = match(line, key);
        const char *end = line;

        while (*end && *end != ' ')
            end++;
        if (n && line[n] == '=') {
            found = line + n + 1;
            *length = (size_t)(end - found);
        }
        line = *end ? end + 1 : end;
    }
    return found;
}

static int digit(char c, unsigned base)
{
    int lower = c | 0x20;       /* digits stay what they are */
    int value = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;

    return value < (int)base ? value : -1;
}

bool cmdline_number(const char *line, const char *key, uint64_t *value)
{
    size_t length = 0;
    const char *text = cmdline_find(line, key, &length);
    unsigned base = 10;
    uint64_t number = 0;

    if (!text)
        return true;
    if (length > 2 && match(text, "0x")) {
        base = 16;
        text += 2;
        length -= 2;
    }
    for (size_t i = 0; i < length; i++) {
        int d = digit(text[i], base);
        if (d < 0 || __builtin_mul_overflow(number, base, &number) || __builtin_add_overflow(number, d, &number))
            return false;
    }
    if (length)
        *value = number;
    return length != 0;
}

bool cmdline_choice(const char *line, const char *key, const char *const *words, unsigned count, unsigned *index)
{
    size_t length = 0;
    const char *text = cmdline_find(line, key, &length);

    if (!text)
        return true;
    for (unsigned i = 0; i < count; i++) {
        if (length && match(text, words[i]) == length) {
            *index = i;
            return true;
        }
    }
    return false;
}
