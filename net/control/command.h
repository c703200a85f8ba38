/*
 * One command line, decoded: every word, type and range is checked here, so that a handler (handlers.h) sees only
 * commands that make sense, and nothing is done before all of the line is understood. Pure; any bytes are welcome.
 *
 *   line      = verb { argument | option }, separated by blanks; printable ASCII, at most COMMAND_LINE_MAX bytes
 *   option    = key=value, or the key of a flag alone behind the arguments that the verb needs
 *   "..."     = text with blanks; in it \n \r \t \" \\ and \xHH (not \x00) stand for one byte
 */
#ifndef TELEPOD_COMMAND_H
#define TELEPOD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "net/control/words.h"

#define COMMAND_ARGUMENTS_MAX 2
#define COMMAND_DEFAULT_PEER_PORT 7001

enum command_verb {
    COMMAND_HELP, COMMAND_LIST, COMMAND_START, COMMAND_STOP, COMMAND_HALT, COMMAND_PAUSE, COMMAND_RESUME, COMMAND_CONSOLE,
    COMMAND_TELEPORT, COMMAND_IMAGES, COMMAND_UPLOAD, COMMAND_REMOVE, COMMAND_STATS, COMMAND_LOG, COMMAND_SHUTDOWN,
    COMMAND_SELFTEST, COMMAND_VERBS
};

enum command_option {
    OPTION_FORCE, OPTION_RAW, OPTION_ATTACH, OPTION_FOLLOW, OPTION_INPUT, OPTION_POSITION, OPTION_IMAGE, OPTION_INITRD,
    OPTION_DISK, OPTION_DISK_SIZE, OPTION_MEMORY, OPTION_CMDLINE, OPTION_VCPUS, OPTION_DEVICES, OPTION_MAC, OPTION_CPU,
    OPTION_CONSOLE, OPTION_PAUSED, OPTION_AUDIT, OPTION_DOWNTIME, OPTION_ROUNDS, OPTION_GIVEUP, OPTION_TIMEOUT,
    OPTION_DOUBT, OPTION_CUT, OPTION_CRC32C, COMMAND_OPTIONS
};

struct command_value {
    const char *text;      /* the decoded word, in command->words; NULL: not given */
    uint64_t number;       /* of a number, size or flag (0, 1), the index of a choice, bits of a set, a MAC's 48 bits */
};

/* Points into itself: not to be copied. */
struct command {
    enum command_verb verb;
    uint32_t argument_count;
    struct command_value arguments[COMMAND_ARGUMENTS_MAX];
    struct command_value options[COMMAND_OPTIONS];
    uint32_t peer_address;                 /* network byte order; of a verb with a peer argument */
    uint16_t peer_port;
    char error[WORDS_ERROR_MAX];           /* what is wrong with the line, in words; empty: nothing */
    struct words words;                    /* the line, taken apart */
};

/*
 * Decodes `size` bytes of `line` (no terminator needed, no line end in it). OK; or ERR_RANGE (too long), ERR_NOT_FOUND
 * (no such verb), ERR_INVALID, with out->error set and nothing else in *out of use.
 */
enum err command_parse(struct command *out, const char *line, size_t size);

/* True if the flag was given and is not 0. */
bool command_flag(const struct command *command, enum command_option flag);
/* The number of an option, or `otherwise` if it was not given. */
uint64_t command_number(const struct command *command, enum command_option option, uint64_t otherwise);

/* The MAC that a `mac` option gave. */
void command_mac(const struct command *command, uint8_t out[GUEST_MAC_BYTES]);

/* For `help`: "teleport NAME PEER[:PORT] [audit] [downtime=US] ..." and one sentence. False: no such verb. */
bool command_describe(enum command_verb verb, char *synopsis, size_t size, const char **help);

#endif
