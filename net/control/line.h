/*
 * From a stream of bytes to lines: CR, LF or both end a line, empty lines are skipped, a line that is too long is told
 * once and dropped whole. Memory is bounded whatever comes. Pure.
 */
#ifndef TELEPOD_LINE_H
#define TELEPOD_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include "net/control/command.h"

enum line_event {
    LINE_PENDING,    /* all bytes are taken, and no line has ended */
    LINE_COMPLETE,   /* text[0 .. length) is a line, until the next call; not empty */
    LINE_TOO_LONG,   /* a line of more than COMMAND_LINE_MAX bytes has ended, and is lost */
};

struct line_reader {
    char text[COMMAND_LINE_MAX];
    size_t length;
    bool too_long;
    bool ended;      /* the line in text was given out: the next byte starts a new one */
};

/* Takes bytes up to the next line's end and says what happened; *taken (<= size) of them are used up. */
enum line_event line_feed(struct line_reader *reader, const char *bytes, size_t size, size_t *taken);

#endif
