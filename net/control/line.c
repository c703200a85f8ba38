/* The line reader: see line.h. */
#include "net/control/line.h"

static void start(struct line_reader *reader)
{
    reader->length = 0;
    reader->too_long = false;
    reader->ended = false;
}

static void append(struct line_reader *reader, char c)
{
    if (reader->length == sizeof(reader->text))
        reader->too_long = true;
    else
        reader->text[reader->length++] = c;
}

enum line_event line_feed(struct line_reader *reader, const char *bytes, size_t size, size_t *taken)
{
    if (reader->ended)
        start(reader);
    for (*taken = 0; *taken < size;) {
        char c = bytes[(*taken)++];

        if (c != '\n' && c != '\r') {
            append(reader, c);
        } else if (reader->length) {
            reader->ended = true;
            return reader->too_long ? LINE_TOO_LONG : LINE_COMPLETE;
        }
    }
    return LINE_PENDING;
}
