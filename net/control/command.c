/* Guarantees what command.h says, by tables: a verb's arguments and options, an option's type and range. */
#include "net/control/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/guest_config.h"
#include "kernel/lib/value.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/pod_config.h"
#include "kernel/lib/util.h"

#define SHOWN_MAX 40            /* characters of a word that an error repeats */
#define MEMORY_MIN LARGE_PAGE_SIZE
#define MEMORY_MAX (512 * GIB)
#define US_PER_HOUR 3600000000UL
#define MS_PER_HOUR 3600000UL

/* ---- what there is ------------------------------------------------------------------------------------------------ */

enum value_type { TYPE_FLAG, TYPE_NUMBER, TYPE_SIZE, TYPE_TEXT, TYPE_FILE, TYPE_CONSOLE, TYPE_DEVICES, TYPE_MAC, TYPE_CRC };

static const struct option {
    const char *key;
    enum value_type type;
    uint64_t min, max;          /* of numbers and sizes; of texts, max is the room with its NUL */
    const char *unit;           /* as the help shows the value */
} options[] = {
    [OPTION_FORCE] = { "force", TYPE_FLAG, 0, 0, NULL },
    [OPTION_RAW] = { "raw", TYPE_FLAG, 0, 0, NULL },
    [OPTION_FOLLOW] = { "follow", TYPE_NUMBER, 0, 3600, "SECONDS" },
    [OPTION_INPUT] = { "input", TYPE_TEXT, 0, COMMAND_LINE_MAX, "\"TEXT\"" },
    [OPTION_POSITION] = { "position", TYPE_NUMBER, 0, UINT64_MAX, "BYTES" },
    [OPTION_ATTACH] = { "attach", TYPE_FLAG, 0, 0, NULL },
    [OPTION_IMAGE] = { "image", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_INITRD] = { "initrd", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_DISK] = { "disk", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_DISK_SIZE] = { "disk_size", TYPE_SIZE, MEMORY_MIN, MEMORY_MAX, "64M" },
    [OPTION_MEMORY] = { "memory", TYPE_SIZE, MEMORY_MIN, MEMORY_MAX, "32M" },
    [OPTION_CMDLINE] = { "cmdline", TYPE_TEXT, 0, GUEST_CMDLINE_MAX, "\"TEXT\"" },
    [OPTION_VCPUS] = { "vcpus", TYPE_NUMBER, 1, GUEST_VCPUS_MAX, "N" },
    [OPTION_DEVICES] = { "devices", TYPE_DEVICES, 0, 0, "net,entropy,..." },
    [OPTION_MAC] = { "mac", TYPE_MAC, 0, 0, "aa:bb:cc:dd:ee:ff" },
    [OPTION_CPU] = { "cpu", TYPE_NUMBER, 0, 255, "INDEX" },
    [OPTION_CONSOLE] = { "console", TYPE_CONSOLE, 0, 0, "log|com2" },
    [OPTION_PAUSED] = { "paused", TYPE_FLAG, 0, 0, NULL },
    [OPTION_AUDIT] = { "audit", TYPE_FLAG, 0, 0, NULL },
    [OPTION_DOWNTIME] = { "downtime", TYPE_NUMBER, 0, US_PER_HOUR, "US" },
    [OPTION_ROUNDS] = { "rounds", TYPE_NUMBER, 1, 64, "N" },
    [OPTION_GIVEUP] = { "giveup", TYPE_FLAG, 0, 0, NULL },
    [OPTION_TIMEOUT] = { "timeout", TYPE_NUMBER, 1, MS_PER_HOUR, "MS" },
    [OPTION_DOUBT] = { "doubt", TYPE_NUMBER, 0, MS_PER_HOUR, "MS" },
    [OPTION_CUT] = { "cut", TYPE_TEXT, 0, 16, "STEP" },
    [OPTION_CRC32C] = { "crc32c", TYPE_CRC, 0, 0, "HEX" },
};
_Static_assert(ARRAY_SIZE(options) == COMMAND_OPTIONS, "each option is described");

enum argument_type { ARGUMENT_NONE, ARGUMENT_NAME, ARGUMENT_PEER, ARGUMENT_NUMBER, ARGUMENT_WORD, ARGUMENT_FILE, ARGUMENT_BYTES };

static const struct verb {
    const char *name;
    enum argument_type arguments[COMMAND_ARGUMENTS_MAX];
    uint32_t arguments_min;
    uint64_t allowed;           /* BIT(enum command_option) */
    const char *help;
} verbs[] = {
    [COMMAND_HELP] = { "help", { 0 }, 0, 0, "this list" },
    [COMMAND_LIST] = { "list", { 0 }, 0, 0, "the guests, and the recipes that can be started" },
    [COMMAND_START] = { "start", { ARGUMENT_NAME }, 1,
                        BIT(OPTION_IMAGE) | BIT(OPTION_INITRD) | BIT(OPTION_DISK) | BIT(OPTION_DISK_SIZE) |
                            BIT(OPTION_MEMORY) | BIT(OPTION_CMDLINE) | BIT(OPTION_VCPUS) | BIT(OPTION_DEVICES) |
                            BIT(OPTION_MAC) | BIT(OPTION_CPU) | BIT(OPTION_CONSOLE) | BIT(OPTION_PAUSED),
                        "starts a guest by its recipe in telepod.ini or from any files that the pod has, or a halted one "
                        "again" },
    [COMMAND_STOP] = { "stop", { ARGUMENT_NAME }, 1, BIT(OPTION_FORCE),
                       "destroys a guest; force: one in doubt, because it runs on the peer" },
    [COMMAND_PAUSE] = { "pause", { ARGUMENT_NAME }, 1, 0, "holds a guest" },
    [COMMAND_RESUME] = { "resume", { ARGUMENT_NAME }, 1, BIT(OPTION_FORCE),
                         "lets a paused guest go on; force: one in doubt, because it does not run on the peer" },
    [COMMAND_CONSOLE] = { "console", { ARGUMENT_NAME }, 1,
                          BIT(OPTION_RAW) | BIT(OPTION_ATTACH) | BIT(OPTION_FOLLOW) | BIT(OPTION_INPUT) | BIT(OPTION_POSITION),
                          "a guest's serial output and input; raw, attach: the session becomes the serial line" },
    [COMMAND_TELEPORT] = { "teleport", { ARGUMENT_NAME, ARGUMENT_PEER }, 2,
                           BIT(OPTION_AUDIT) | BIT(OPTION_DOWNTIME) | BIT(OPTION_ROUNDS) | BIT(OPTION_GIVEUP) |
                               BIT(OPTION_TIMEOUT) | BIT(OPTION_DOUBT) | BIT(OPTION_CUT),
                           "moves a guest, running, paused or halted, to a peer" },
    [COMMAND_IMAGES] = { "images", { 0 }, 0, 0, "the files that guests can be started from" },
    [COMMAND_UPLOAD] = { "upload", { ARGUMENT_FILE, ARGUMENT_BYTES }, 2, BIT(OPTION_CRC32C),
                         "takes a file: its bytes follow behind the event \"send\"" },
    [COMMAND_REMOVE] = { "remove", { ARGUMENT_FILE }, 1, 0, "forgets a file; guests that were started from it go on" },
    [COMMAND_STATS] = { "stats", { ARGUMENT_NAME }, 0, 0, "counters of the pod, or of one guest" },
    [COMMAND_LOG] = { "log", { ARGUMENT_NUMBER }, 0, 0, "the pod's log, from a position on" },
    [COMMAND_SHUTDOWN] = { "shutdown", { 0 }, 0, BIT(OPTION_FORCE),
                           "stops all guests and powers off; force: also with teleports under way or in doubt" },
    [COMMAND_SELFTEST] = { "selftest", { ARGUMENT_WORD }, 0, 0, "for the lab: the kernel's own tests, or those of that name" },
};
_Static_assert(ARRAY_SIZE(verbs) == COMMAND_VERBS, "each verb is described");
_Static_assert(COMMAND_OPTIONS <= 64, "options fit the mask");
_Static_assert(WORDS_MAX >= 1 + COMMAND_ARGUMENTS_MAX + COMMAND_OPTIONS, "a whole command fits");

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

static enum err decode_option(struct command *out, const struct option *option, struct command_value *value)
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
        return fail(out, ERR_INVALID, "%s: expected a multiple of 2M like 64M, up to 512G", option->key);
    case TYPE_FILE:
        if (value_file_name(value->text, file, sizeof(file)))
            return OK;
        return fail(out, ERR_INVALID, "%s: expected a file's name", option->key);
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
static uint32_t find_option(const struct verb *verb, const char *key)
{
    uint32_t i = 0;

    while (i < COMMAND_OPTIONS && !(verb->allowed & BIT(i) && !strcmp(options[i].key, key)))
        i++;
    return i;
}

static uint32_t arguments_max(const struct verb *verb)
{
    uint32_t count = 0;

    while (count < COMMAND_ARGUMENTS_MAX && verb->arguments[count] != ARGUMENT_NONE)
        count++;
    return count;
}

static enum err take_option(struct command *out, const struct verb *verb, uint32_t index, const char *text)
{
    struct command_value *value = &out->options[index];

    if (value->text)
        return fail(out, ERR_INVALID, "%s: given twice to %s", options[index].key, verb->name);
    value->text = text;
    return decode_option(out, &options[index], value);
}

static enum err take(struct command *out, const struct verb *verb, const struct word *word)
{
    struct command_value *value;
    uint32_t index = word->quoted && !word->value ? COMMAND_OPTIONS : find_option(verb, word->text);
    bool flag = index < COMMAND_OPTIONS && options[index].type == TYPE_FLAG;

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
    const struct verb *verb;
    char synopsis[WORDS_ERROR_MAX];
    const char *help;
    enum err e;

    memset(out, 0, sizeof(*out));
    e = words_split(&out->words, line, size, out->error);
    if (e != OK)
        return e;
    if (!words->count || words->list[0].value)
        return fail(out, ERR_INVALID, "expected a command; help lists them");
    while (out->verb < COMMAND_VERBS && strcmp(verbs[out->verb].name, words->list[0].text))
        out->verb++;
    if (out->verb == COMMAND_VERBS)
        return fail(out, ERR_NOT_FOUND, "%.*s: no such command; help lists them", SHOWN_MAX, words->list[0].text);
    verb = &verbs[out->verb];
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

const char *command_verb_name(enum command_verb verb)
{
    return verbs[verb].name;
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
    used = (size_t)snprintf(synopsis, size, "%s", verbs[verb].name);
    for (uint32_t i = 0; i < arguments_max(&verbs[verb]) && used < size; i++)
        used += (size_t)snprintf(synopsis + used, size - used, i < verbs[verb].arguments_min ? " %s" : " [%s]",
                                 arguments[verbs[verb].arguments[i]]);
    for (uint32_t i = 0; i < COMMAND_OPTIONS && used < size; i++) {
        const char *equals = options[i].unit ? "=" : "", *unit = options[i].unit ? options[i].unit : "";

        if (verbs[verb].allowed & BIT(i))
            used += (size_t)snprintf(synopsis + used, size - used, " [%s%s%s]", options[i].key, equals, unit);
    }
    *help = verbs[verb].help;
    return true;
}
