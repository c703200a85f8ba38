/* Any bytes typed at a pod: no crash, and a command or an error that keep the promises of command.h and line.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "net/control/command.h"
#include "net/control/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void check_value(const struct command *c, const struct command_value *value)
{
    if (!value->text)
        return;
    require(value->text >= c->words.text || value->text[0] == '1');    /* a flag alone stands for 1 */
    require(strlen(value->text) <= COMMAND_LINE_MAX);
}

static void check_line(const char *line, size_t size)
{
    static struct command c;
    enum err e = command_parse(&c, line, size);

    require(memchr(c.error, 0, sizeof(c.error)) != NULL);
    require((e == OK) == (c.error[0] == '\0'));
    for (const char *text = c.error; *text; text++)
        require(*text >= ' ' && *text <= '~');
    if (e != OK)
        return;
    require(size && size <= COMMAND_LINE_MAX && c.verb < COMMAND_VERBS && c.argument_count <= COMMAND_ARGUMENTS_MAX);
    for (uint32_t i = 0; i < COMMAND_ARGUMENTS_MAX; i++) {
        require((c.arguments[i].text != NULL) == (i < c.argument_count));
        check_value(&c, &c.arguments[i]);
    }
    for (uint32_t i = 0; i < COMMAND_OPTIONS; i++)
        check_value(&c, &c.options[i]);
    require(c.verb != COMMAND_TELEPORT || (c.peer_address && c.peer_port));
}

/* The first byte chooses in what pieces the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line_reader reader;
    const char *bytes = (const char *)data + 1;
    size_t piece, left;

    memset(&reader, 0, sizeof(reader));
    if (!size)
        return 0;
    piece = 1 + data[0];
    for (left = size - 1; left;) {
        size_t taken, count = left < piece ? left : piece;
        enum line_event event = line_feed(&reader, bytes, count, &taken);

        require(taken && taken <= count && (event != LINE_PENDING || taken == count));
        if (event == LINE_COMPLETE) {
            require(reader.length && reader.length <= COMMAND_LINE_MAX && !memchr(reader.text, '\n', reader.length));
            check_line(reader.text, reader.length);
        }
        bytes += taken;
        left -= taken;
    }
    return 0;
}
