/* Guarantees what command.h says, by the tables of command_table.c. */
#include "net/control/command.h"
#include "net/control/command_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/guest_config.h"
#include "kernel/lib/value.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/pod_config.h"
#include "kernel/lib/util.h"

#define SHOWN_MAX 40            /* characters of a word that an error repeats */

static enum err fail(struct command *out, enum err e, const char *format, ...) __attribute__((format(printf, 3, 4)));
static enum err fail(struct command *out, enum err e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    words_format_error(out->error, format, args);
    va_end(args);
    return e;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

/* a.b.c.d or a.b.c.d:port */
static bool decode_peer(struct command *out, const char *text)
{
    char address[sizeof("255.255.255.255")];
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    uint64_t port = COMMAND_DEFAULT_PEER_PORT;

    if (length >= sizeof(address))
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    if (!value_ipv4(address, &out->peer_address))
        return false;
    if (colon && !value_number(colon + 1, 1, UINT16_MAX, &port))
        return false;
    out->peer_port = (uint16_t)port;
    return true;
}

static enum err decode_argument(struct command *out, enum argument_type type, struct command_value *value)
{
    char name[POD_NAME_MAX], file[FILE_NAME_MAX];

    if (type == ARGUMENT_NAME && !value_name(value->text, name, sizeof(name)))
        return fail(out, ERR_INVALID,
                    "%.*s: expected a guest's name: letters, digits, '-', '_', '.', a letter first, at most %d",
                    SHOWN_MAX, value->text, POD_NAME_MAX - 1);
    if (type == ARGUMENT_PEER && !decode_peer(out, value->text))
        return fail(out, ERR_INVALID, "%.*s: expected a peer: an IPv4 address a.b.c.d, and :PORT if it is not %d",
                    SHOWN_MAX, value->text, COMMAND_DEFAULT_PEER_PORT);
    if (type == ARGUMENT_NUMBER && !value_number(value->text, 0, UINT64_MAX, &value->number))
        return fail(out, ERR_INVALID, "%.*s: expected a number", SHOWN_MAX, value->text);
    if (type == ARGUMENT_BYTES && !value_number(value->text, 1, UINT64_MAX, &value->number))
        return fail(out, ERR_INVALID, "%.*s: expected a number of bytes, at least 1", SHOWN_MAX, value->text);
    if (type == ARGUMENT_FILE && !value_file_name(value->text, file, sizeof(file)))
        return fail(out, ERR_INVALID, "%.*s: expected a file's name: up to %d letters, digits, '-', '_' or '.', no folder",
                    SHOWN_MAX, value->text, FILE_NAME_MAX - 1);
    return OK;
}

static bool decode_mac(const char *text, uint64_t *number)
{
    uint8_t mac[GUEST_MAC_BYTES];

    if (!value_mac(text, mac))
        return false;
    *number = 0;
    memcpy(number, mac, sizeof(mac));
    return true;
}

static enum err decode_option(struct command *out, const struct command_option_kind *option, struct command_value *value)
{
    static const char *const consoles[] = { [GUEST_CONSOLE_LOG] = "log", [GUEST_CONSOLE_COM2] = "com2" };
    char file[FILE_NAME_MAX];
    uint32_t index = 0, devices;

    switch (option->type) {
    case TYPE_FLAG:
        if (value_number(value->text, 0, 1, &value->number))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected 0 or 1", option->key);
    case TYPE_NUMBER:
        if (value_number(value->text, option->min, option->max, &value->number))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected a number from %lu to %lu", option->key, option->min, option->max);
    case TYPE_SIZE:
        if (value_size(value->text, option->min, option->max, &value->number) &&
            value->number % LARGE_PAGE_SIZE == 0)
            return OK;
        return fail(out, ERR_INVALID, "%s: expected " GUEST_SIZE_RULE, option->key);
    case TYPE_FILE:
        if (value_file_name(value->text, file, sizeof(file)))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected a file's name", option->key);
    case TYPE_CPU:
        value->number = POD_CPU_ANY;
        if (!strcmp(value->text, "any") || value_number(value->text, option->min, option->max, &value->number))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected any, or a CPU's index from %lu to %lu", option->key, option->min,
                    option->max);
    case TYPE_CONSOLE:
        if (!value_word(value->text, consoles, ARRAY_SIZE(consoles), &index))
            return fail(out, ERR_INVALID, "%s: expected log or com2", option->key);
        value->number = index;
        return OK;
    case TYPE_DEVICES:
        if (!value_set(value->text, guest_device_names, GUEST_DEVICE_COUNT, &devices))
            return fail(out, ERR_INVALID, "%s: expected none, or some of net, block, console, entropy with commas",
                        option->key);
        value->number = devices;
        return OK;
    case TYPE_MAC:
        if (decode_mac(value->text, &value->number))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected a station's aa:bb:cc:dd:ee:ff", option->key);
    case TYPE_CRC:
        if (value_hex32(value->text, &index)) {
            value->number = index;
            return OK;
        }
        return fail(out, ERR_INVALID, "%s: expected eight hexadecimal digits", option->key);
    case TYPE_TEXT:
        break;
    }
    if (strlen(value->text) < option->max)
        return OK;
    return fail(out, ERR_INVALID, "%s: the text is longer than %lu bytes", option->key, option->max - 1);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The option of this verb with this key; COMMAND_OPTIONS: none. */
static uint32_t find_option(const struct command_verb_kind *verb, const char *key)
{
    uint32_t i = 0;

    while (i < COMMAND_OPTIONS && !(verb->allowed & BIT(i) && !strcmp(command_options[i].key, key)))
        i++;
    return i;
}

static uint32_t arguments_max(const struct command_verb_kind *verb)
{
    uint32_t count = 0;

    while (count < COMMAND_ARGUMENTS_MAX && verb->arguments[count] != ARGUMENT_NONE)
        count++;
    return count;
}

static enum err take_option(struct command *out, const struct command_verb_kind *verb, uint32_t index, const char *text)
{
    struct command_value *value = &out->options[index];

    if (value->text)
        return fail(out, ERR_INVALID, "%s: given twice to %s", command_options[index].key, verb->name);
    value->text = text;
    return decode_option(out, &command_options[index], value);
}

static enum err take(struct command *out, const struct command_verb_kind *verb, const struct word *word)
{
    struct command_value *value;
    uint32_t index = word->quoted && !word->value ? COMMAND_OPTIONS : find_option(verb, word->text);
    bool flag = index < COMMAND_OPTIONS && command_options[index].type == TYPE_FLAG;

    if (word->value && index == COMMAND_OPTIONS)
        return fail(out, ERR_INVALID, "%s has no option %.*s", verb->name, SHOWN_MAX, word->text);
    if (word->value)
        return take_option(out, verb, index, word->value);
    if (flag && out->argument_count >= verb->arguments_min)
        return take_option(out, verb, index, "1");
    if (out->argument_count == arguments_max(verb))
        return fail(out, ERR_INVALID, "%.*s: not understood behind %s", SHOWN_MAX, word->text, verb->name);
    value = &out->arguments[out->argument_count];
    value->text = word->text;
    return decode_argument(out, verb->arguments[out->argument_count++], value);
}

enum err command_parse(struct command *out, const char *line, size_t size)
{
    const struct words *words = &out->words;
    const struct command_verb_kind *verb;
    char synopsis[WORDS_ERROR_MAX];
    const char *help;
    enum err e;

    memset(out, 0, sizeof(*out));
    e = words_split(&out->words, line, size, out->error);
    if (e != OK)
        return e;
    if (!words->count || words->list[0].value)
        return fail(out, ERR_INVALID, "expected a command; help lists them");
    while (out->verb < COMMAND_VERBS && strcmp(command_verbs[out->verb].name, words->list[0].text))
        out->verb++;
    if (out->verb == COMMAND_VERBS)
        return fail(out, ERR_NOT_FOUND, "%.*s: no such command; help lists them", SHOWN_MAX, words->list[0].text);
    verb = &command_verbs[out->verb];
    for (uint32_t i = 1; i < words->count; i++) {
        e = take(out, verb, &words->list[i]);
        if (e != OK)
            return e;
    }
    if (out->argument_count < verb->arguments_min) {
        command_describe(out->verb, synopsis, sizeof(synopsis), &help);
        return fail(out, ERR_INVALID, "usage: %s", synopsis);
    }
    return OK;
}

bool command_flag(const struct command *command, enum command_option flag)
{
    return command->options[flag].text && command->options[flag].number;
}

uint64_t command_number(const struct command *command, enum command_option option, uint64_t otherwise)
{
    return command->options[option].text ? command->options[option].number : otherwise;
}

void command_mac(const struct command *command, uint8_t out[GUEST_MAC_BYTES])
{
    memcpy(out, &command->options[OPTION_MAC].number, GUEST_MAC_BYTES);
}

bool command_describe(enum command_verb verb, char *synopsis, size_t size, const char **help)
{
    static const char *const arguments[] = {
        [ARGUMENT_NONE] = "", [ARGUMENT_NAME] = "NAME", [ARGUMENT_PEER] = "PEER[:PORT]",
        [ARGUMENT_NUMBER] = "POSITION", [ARGUMENT_WORD] = "NAME", [ARGUMENT_FILE] = "FILE", [ARGUMENT_BYTES] = "BYTES",
    };
    size_t used;

    if ((unsigned)verb >= COMMAND_VERBS)
        return false;
    used = (size_t)snprintf(synopsis, size, "%s", command_verbs[verb].name);
    for (uint32_t i = 0; i < arguments_max(&command_verbs[verb]) && used < size; i++)
        used += (size_t)snprintf(synopsis + used, size - used, i < command_verbs[verb].arguments_min ? " %s" : " [%s]",
                                 arguments[command_verbs[verb].arguments[i]]);
    for (uint32_t i = 0; i < COMMAND_OPTIONS && used < size; i++) {
        const char *equals = command_options[i].unit ? "=" : "", *unit = command_options[i].unit ? command_options[i].unit : "";

        if (command_verbs[verb].allowed & BIT(i))
            used += (size_t)snprintf(synopsis + used, size - used, " [%s%s%s]", command_options[i].key, equals, unit);
    }
    *help = command_verbs[verb].help;
    return true;
}
