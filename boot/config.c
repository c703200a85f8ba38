/*
 * telepod.ini on top of inih. inih splits lines into sections, keys and values; everything that is particular
 * to a pod stands in the tables of config_keys.c. Two things that inih cannot do alone are done in the reader
 * that feeds it:
 *
 *   - it does not tell when a section begins. So the reader hands out a second line behind every line of the
 *     file: an empty one, or, behind a section's heading, a key of our own that opens the section;
 *   - it returns the number of the first line that it could not split, and no others. So the text is parsed
 *     again with the lines known to be bad held back, until inih finds no more; the last pass is the one that
 *     counts, and it reports the bad lines where it meets them.
 */
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "boot/config.h"
#include "boot/config_keys.h"
#include "kernel/lib/value.h"
#include "kernel/lib/util.h"

#define GUEST_HEADING "guest "
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define LINES_PER_FILE_LINE 2 /* the line itself and the reader's own line behind it */

struct parser {
    const char *text;
    size_t size, position;
    uint32_t line;                      /* the line that inih holds, from 1 */
    bool behind_line;                   /* the reader's next line is one of its own */
    bool heading;                       /* ... and stands behind a section's heading */
    uint32_t bad_lines[CONFIG_ERRORS_MAX];  /* what inih could not split in the passes before */
    uint32_t bad_count;

    const struct config_section *section;  /* NULL: none yet, or a refused one, whose keys are passed over */
    uint32_t section_line, section_errors;
    uint32_t seen;                      /* bit n: the section's key n was there */
    bool refused, pod_seen;
    struct config_target target;
    struct config_errors *errors;
};

/* Errors keep the order of their lines, though a section's are found at its end. */
static void __attribute__((format(printf, 3, 4)))
report(struct parser *p, uint32_t line, const char *format, ...)
{
    struct config_errors *errors = p->errors;
    uint32_t kept = MIN(errors->count, CONFIG_ERRORS_MAX), at = kept;
    va_list args;

    errors->count++;
    while (at > 0 && errors->list[at - 1].line > line)
        at--;
    if (at == CONFIG_ERRORS_MAX)
        return;
    for (uint32_t i = MIN(kept, CONFIG_ERRORS_MAX - 1); i > at; i--)
        errors->list[i] = errors->list[i - 1];
    errors->list[at].line = line;
    va_start(args, format);
    vsnprintf(errors->list[at].sentence, CONFIG_SENTENCE_MAX, format, args);
    va_end(args);
}

/* Sections ---------------------------------------------------------------------------------------------- */

/* Checks what only a section's end can tell; no follow-up complaints where there are errors already. */
static void section_close(struct parser *p)
{
    const struct config_section *section = p->section;
    const char *wrong = NULL;

    p->section = NULL;
    if (!section)
        return;
    for (uint32_t i = 0; i < section->key_count; i++) {
        if (section->keys[i].occurrence == CONFIG_KEY_REQUIRED && !(p->seen & BIT(i)))
            report(p, p->section_line, "this section has no %s: expected %s", section->keys[i].name,
                   section->keys[i].expected);
    }
    if (p->errors->count == p->section_errors)
        wrong = section->finish(&p->target);
    if (wrong)
        report(p, p->section_line, "%s", wrong);
}

/* True with a new entry behind out->guests; false: the sentence has been reported. */
static bool guest_add(struct parser *p, const char *name)
{
    struct pod_config *out = p->target.pod;
    struct guest_config guest = config_default_guest;

    if (!value_name(name, guest.name, sizeof(guest.name))) {
        report(p, p->line, "[guest %.40s]: expected a name of " CONFIG_NAME_RULE, name);
        return false;
    }
    for (uint32_t i = 0; i < out->guest_count; i++) {
        if (strcmp(out->guests[i].name, guest.name) == 0) {
            report(p, p->line, "[guest %s] is there twice", guest.name);
            return false;
        }
    }
    if (out->guest_count == POD_GUESTS_MAX) {
        report(p, p->line, "[guest %s] is one too many: expected at most %d guests", guest.name,
               POD_GUESTS_MAX);
        return false;
    }
    p->target.guest = &out->guests[out->guest_count++];
    *p->target.guest = guest;
    return true;
}

static const struct config_section *section_find(struct parser *p, const char *name)
{
    if (strncmp(name, GUEST_HEADING, strlen(GUEST_HEADING)) == 0)
        return guest_add(p, name + strlen(GUEST_HEADING)) ? &config_section_guest : NULL;
    if (strcmp(name, "pod") != 0) {
        report(p, p->line, "[%.40s] is unknown: expected [pod] or [guest NAME]", name);
        return NULL;
    }
    if (p->pod_seen)
        report(p, p->line, "[pod] is there twice");
    return p->pod_seen ? NULL : &config_section_pod;
}

static void section_open(struct parser *p, const char *name)
{
    section_close(p);
    p->section = section_find(p, name);
    p->refused = p->section == NULL;
    p->pod_seen |= p->section == &config_section_pod;
    p->section_line = p->line;
    p->section_errors = p->errors->count;
    p->seen = 0;
}

/* The two ends of inih ---------------------------------------------------------------------------------- */

static void key_set(struct parser *p, const char *name, const char *value)
{
    const struct config_section *section = p->section;
    uint32_t i = 0;

    while (i < section->key_count && strcmp(section->keys[i].name, name) != 0)
        i++;
    if (i == section->key_count) {
        report(p, p->line, "%.40s is no key of this section", *name ? name : "an empty name");
        return;
    }
    if (section->keys[i].occurrence != CONFIG_KEY_REPEATABLE && (p->seen & BIT(i)))
        report(p, p->line, "%s is there twice in this section", name);
    else if (!section->keys[i].set(&p->target, value))
        report(p, p->line, "%s = %.40s: expected %s", name, value, section->keys[i].expected);
    p->seen |= (uint32_t)BIT(i);
}

/* inih's handler. Some builds of inih pass a line number behind these arguments; it is of no use here. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    struct parser *p = user;

    if (p->heading) {
        p->heading = false;
        section_open(p, section);
    } else if (p->section) {
        key_set(p, name, value);
    } else if (!p->refused) {
        report(p, p->line, "%.40s stands before the first [section]", name);
    }
    return 1;
}

/* Reports what makes a line unfit for inih; true: it is fit. `line` has no line end. */
static bool line_check(struct parser *p, const char *line, size_t length, size_t room)
{
    const char *closing = memchr(line, ']', length);
    size_t column = 0;

    while (column < length && ((line[column] >= ' ' && line[column] <= '~') || line[column] == '\t'))
        column++;
    if (column < length) {
        report(p, p->line, "byte 0x%02x in column %u: expected plain ASCII text", (unsigned char)line[column],
               (unsigned)column + 1);
        return false;
    }
    if (length >= room) {
        report(p, p->line, "%u characters are too long: expected at most %u", (unsigned)length,
               (unsigned)room - 1);
        return false;
    }
    for (uint32_t i = 0; i < p->bad_count; i++) {
        if (p->bad_lines[i] == p->line) {
            report(p, p->line, "%.*s: expected [section] or key = value", (int)MIN(length, 40), line);
            return false;
        }
    }
    if (length && line[0] == '[' && closing) {
        const char *rest = closing + 1, *end = line + length;

        while (rest < end && (*rest == ' ' || *rest == '\t'))
            rest++;
        if (rest < end && *rest != ';' && *rest != '#') {
            report(p, p->line, "%.*s: expected nothing behind [section]", (int)MIN(length, 40), line);
            return false;
        }
    }
    return true;
}

/* The next line of the file, without blanks before and line end behind it. */
static const char *line_next(struct parser *p, size_t *length)
{
    const char *line = p->text + p->position, *end = p->text + p->size;
    const char *newline = memchr(line, '\n', (size_t)(end - line));

    if (newline)
        end = newline;
    p->position = (size_t)(end - p->text) + (newline ? 1 : 0);
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    while (line < end && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *length = (size_t)(end - line);
    p->line++;
    return line;
}

/* inih's reader, with the contract of fgets(). */
static char *read_line(char *buffer, int size, void *stream)
{
    struct parser *p = stream;
    const char *line;
    size_t length;

    if (p->behind_line) {
        p->behind_line = false;
        strcpy(buffer, p->heading ? "a = heading" : "");
        return buffer;
    }
    if (p->position == p->size)
        return NULL;
    line = line_next(p, &length);
    p->behind_line = true;
    buffer[0] = '\0';
    if (line_check(p, line, length, (size_t)size - 1)) {
        memcpy(buffer, line, length);
        buffer[length] = '\0';
        p->heading = buffer[0] == '[';
    } else if (length && line[0] == '[') {
        section_close(p);
        p->refused = true;
    }
    return buffer;
}

/* One pass over the whole text; returns the line that inih could not split, 0: none. */
static uint32_t parse_pass(struct parser *p)
{
    size_t mark = strlen(BYTE_ORDER_MARK);
    int bad;

    *p->target.pod = config_default_pod;
    p->errors->count = 0;
    p->position = p->size >= mark && memcmp(p->text, BYTE_ORDER_MARK, mark) == 0 ? mark : 0;
    p->line = 0;
    p->behind_line = p->heading = p->refused = p->pod_seen = false;
    p->section = NULL;
    bad = ini_parse_stream(read_line, p, take_pair, p);
    section_close(p);
    if (!p->pod_seen)
        report(p, MAX(p->line, 1u), "there is no [pod] section");
    return bad > 0 ? ((uint32_t)bad + 1) / LINES_PER_FILE_LINE : 0;
}

bool config_parse(const char *text, size_t size, struct pod_config *out, struct config_errors *errors)
{
    struct parser parser = { .text = text, .size = size, .target.pod = out, .errors = errors };
    uint32_t bad;

    ini_allow_multiline = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = false;
    ini_use_stack = true;
    ini_max_line = CONFIG_LINE_MAX;
    memset(errors, 0, sizeof(*errors));
    if (size > CONFIG_TEXT_MAX) {
        report(&parser, 1, "the file has %lu bytes: expected at most %u", (unsigned long)size,
               CONFIG_TEXT_MAX);
    } else {
        while ((bad = parse_pass(&parser)) != 0 && parser.bad_count < CONFIG_ERRORS_MAX)
            parser.bad_lines[parser.bad_count++] = bad;
    }
    if (errors->count > 0)
        memset(out, 0, sizeof(*out));
    return errors->count == 0;
}
