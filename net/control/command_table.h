/* The tables that a command line is decoded by: a verb's arguments and options, an option's type and range. Constant data. */
#ifndef TELEPOD_COMMAND_TABLE_H
#define TELEPOD_COMMAND_TABLE_H

#include <stdint.h>
#include "net/control/command.h"

enum value_type {
    TYPE_FLAG, TYPE_NUMBER, TYPE_SIZE, TYPE_TEXT, TYPE_FILE, TYPE_CONSOLE, TYPE_DEVICES, TYPE_MAC, TYPE_CRC, TYPE_CPU
};

struct command_option_kind {
    const char *key;
    enum value_type type;
    uint64_t min, max;          /* of numbers and sizes; of texts, max is the room with its NUL */
    const char *unit;           /* as the help shows the value; NULL: a flag */
};
extern const struct command_option_kind command_options[COMMAND_OPTIONS];

enum argument_type {
    ARGUMENT_NONE, ARGUMENT_NAME, ARGUMENT_PEER, ARGUMENT_NUMBER, ARGUMENT_WORD, ARGUMENT_FILE, ARGUMENT_BYTES
};

struct command_verb_kind {
    const char *name;
    enum argument_type arguments[COMMAND_ARGUMENTS_MAX];
    uint32_t arguments_min;
    uint64_t allowed;           /* BIT(enum command_option) */
    const char *help;
};
extern const struct command_verb_kind command_verbs[COMMAND_VERBS];

#endif
