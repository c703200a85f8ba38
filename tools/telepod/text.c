/* A guest's bytes in JSON: see text.h. */
#include "tools/telepod/text.h"

#include <string.h>

#define ESCAPED_NUL "u0000"
#define NUL_FOR_EYES "u003f"
#define NUL_KEPT "u0100"            /* no byte is written so */

static void replace_nul(char *line, const char *with)
{
    for (char *c = line; *c; c++) {
        if (*c != '\\' || !c[1])
            continue;
        if (!strncmp(c + 1, ESCAPED_NUL, strlen(ESCAPED_NUL)))
            memcpy(c + 1, with, strlen(with));
        c++;
    }
}

void text_mend_nul(char *line)
{
    replace_nul(line, NUL_FOR_EYES);
}

void text_keep_nul(char *line)
{
    replace_nul(line, NUL_KEPT);
}

/* UTF-8, RFC 3629: characters up to U+07FF have two bytes, 110xxxxx 10xxxxxx. The low eight bits are the guest's byte. */
size_t text_to_bytes(const char *utf8, char *out)
{
    const unsigned char *c = (const unsigned char *)utf8;
    size_t size = 0;

    for (; *c; c++) {
        if ((c[0] & 0xe0) == 0xc0 && (c[1] & 0xc0) == 0x80) {
            out[size++] = (char)((c[0] & 0x1f) << 6 | (c[1] & 0x3f));
            c++;
        } else {
            out[size++] = (char)*c;
        }
    }
    return size;
}
