/* From words of the shell to a line for the pod: see command_line.h. */
#include "tools/telepod/command_line.h"

#include <stdio.h>
#include <string.h>

struct text {
    char *bytes;                /* COMMAND_LINE_ROOM of them */
    size_t used;
    bool overflow;
};

static void put(struct text *t, const char *bytes, size_t size)
{
    if (size > COMMAND_LINE_MAX - t->used) {
        t->overflow = true;
        return;
    }
    memcpy(t->bytes + t->used, bytes, size);
    t->used += size;
    t->bytes[t->used] = '\0';
}

static void put_escaped(struct text *t, const char *word)
{
    char escaped[8];

    put(t, "\"", 1);
    for (; *word; word++) {
        unsigned char c = (unsigned char)*word;

        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c >= ' ' && c <= '~')
            snprintf(escaped, sizeof(escaped), "%c", c);
        else
            snprintf(escaped, sizeof(escaped), "\\x%02x", c);
        put(t, escaped, strlen(escaped));
    }
    put(t, "\"", 1);
}

/* A word of the shell becomes a word of the pod's: quoted where it must be, with key= in front of the quotes. */
static void put_word(struct text *t, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t key = equals ? (size_t)(equals - word) + 1 : 0;
    bool plain = *word != '\0';

    for (const char *c = word; *c; c++)
        plain = plain && *c > ' ' && *c <= '~' && *c != '"' && *c != '\\';
    if (t->used)
        put(t, " ", 1);
    if (plain) {
        put(t, word, strlen(word));
        return;
    }
    put(t, word, key);
    put_escaped(t, word + key);
}

bool command_line_build(char out[COMMAND_LINE_ROOM], char *const *words, int count)
{
    struct text line = { .bytes = out };

    out[0] = '\0';
    if (count == 1)
        put(&line, words[0], strlen(words[0]));
    for (int i = 0; i < count && count > 1; i++)
        put_word(&line, words[i]);
    if (line.overflow)
        fprintf(stderr, "telepod: the command is longer than %d bytes\n", COMMAND_LINE_MAX);
    else if (!line.used)
        fputs("telepod: the command is empty\n", stderr);
    return !line.overflow && line.used;
}
