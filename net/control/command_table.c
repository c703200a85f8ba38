/* What commands there are: see command_table.h. A new one is a line in each of the two enums of command.h, and here. */
#include "net/control/command_table.h"

#include "kernel/lib/addr.h"
#include "kernel/lib/pod_config.h"
#include "kernel/lib/util.h"

#define MEMORY_MIN LARGE_PAGE_SIZE
#define US_PER_HOUR 3600000000UL
#define MS_PER_HOUR 3600000UL

const struct command_option_kind command_options[COMMAND_OPTIONS] = {
    [OPTION_FORCE] = { "force", TYPE_FLAG, 0, 0, NULL },
    [OPTION_RAW] = { "raw", TYPE_FLAG, 0, 0, NULL },
    [OPTION_FOLLOW] = { "follow", TYPE_NUMBER, 0, 3600, "SECONDS" },
    [OPTION_INPUT] = { "input", TYPE_TEXT, 0, COMMAND_LINE_MAX, "\"TEXT\"" },
    [OPTION_POSITION] = { "position", TYPE_NUMBER, 0, UINT64_MAX, "BYTES" },
    [OPTION_ATTACH] = { "attach", TYPE_FLAG, 0, 0, NULL },
    [OPTION_IMAGE] = { "image", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_INITRD] = { "initrd", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_DISK] = { "disk", TYPE_FILE, 0, FILE_NAME_MAX, "FILE" },
    [OPTION_DISK_SIZE] = { "disk_size", TYPE_SIZE, MEMORY_MIN, GUEST_DISK_MAX, "64M" },
    [OPTION_MEMORY] = { "memory", TYPE_SIZE, MEMORY_MIN, GUEST_MEMORY_MAX, "32M" },
    [OPTION_CMDLINE] = { "cmdline", TYPE_TEXT, 0, GUEST_CMDLINE_MAX, "\"TEXT\"" },
    [OPTION_VCPUS] = { "vcpus", TYPE_NUMBER, 1, GUEST_VCPUS_MAX, "N" },
    [OPTION_DEVICES] = { "devices", TYPE_DEVICES, 0, 0, "net,entropy,..." },
    [OPTION_MAC] = { "mac", TYPE_MAC, 0, 0, "aa:bb:cc:dd:ee:ff" },
    [OPTION_CPU] = { "cpu", TYPE_CPU, 0, 255, "any|INDEX" },
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

const struct command_verb_kind command_verbs[COMMAND_VERBS] = {
    [COMMAND_HELP] = { "help", { 0 }, 0, 0, "this list" },
    [COMMAND_LIST] = { "list", { 0 }, 0, 0, "the guests, and the recipes that can be started" },
    [COMMAND_START] = { "start", { ARGUMENT_NAME }, 1,
                        BIT(OPTION_IMAGE) | BIT(OPTION_INITRD) | BIT(OPTION_DISK) | BIT(OPTION_DISK_SIZE) |
                            BIT(OPTION_MEMORY) | BIT(OPTION_CMDLINE) | BIT(OPTION_VCPUS) | BIT(OPTION_DEVICES) |
                            BIT(OPTION_MAC) | BIT(OPTION_CPU) | BIT(OPTION_CONSOLE) | BIT(OPTION_PAUSED),
                        "starts a guest by its recipe in telepod.ini or from any files that the pod has, or a halted one "
                        "again" },
    [COMMAND_STOP] = { "stop", { ARGUMENT_NAME }, 1, BIT(OPTION_FORCE),
                       "destroys a guest, its disk too; force: one in doubt, because it runs on the peer" },
    [COMMAND_HALT] = { "halt", { ARGUMENT_NAME }, 1, 0,
                       "switches a guest off: its disk stays, start boots it again, teleport moves it" },
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
_Static_assert(COMMAND_OPTIONS <= 64, "options fit the mask");
_Static_assert(WORDS_MAX >= 1 + COMMAND_ARGUMENTS_MAX + COMMAND_OPTIONS, "a whole command fits");
