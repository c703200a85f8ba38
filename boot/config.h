/*
 * telepod.ini, from text to struct pod_config: a pure function over any bytes. It either understands every
 * line or says, line by line, what it does not understand; it never guesses and never reads past the text.
 *
 * The file (keys in any order, each at most once in its section except `run`; `;` or `#` starts a comment
 * line, " ;" a comment behind a value; CRLF and a UTF-8 byte order mark are accepted, other bytes beyond
 * ASCII are not):
 *
 *   [pod]                          exactly one section
 *   name          = pod-a          default "pod"; letters, digits, '-', '_', '.', starts with a letter
 *   address       = dhcp           default; or a.b.c.d/length
 *   gateway       = a.b.c.d        default none; only with a static address, and in its network
 *   control_port  = 7000           default; 1 to 65535
 *   teleport_port = 7001           default; 1 to 65535, not the control port
 *   nic           = 0              default; 0 to 15
 *   lan           = 0              default: as nic; 0 to 15
 *   apicv         = yes            default; or no
 *   run           = teleport ...   a command to run after boot; repeatable up to POD_COMMANDS_MAX times
 *
 *   [guest clock]                  up to POD_GUESTS_MAX sections; names obey the rule of [pod] name
 *   image     = clock.elf          required: the name of a file under \telepod\, or of one that will be uploaded
 *   initrd    = initrd.img         default none; a file likewise
 *   disk      = root.img           default none; a file likewise: what the guest's disk holds at first
 *   disk_size = 64M                default the disk file's, rounded up; without a disk file the disk is all zero
 *   memory    = 32M                default; K, M or G behind the number, a multiple of 2M, at most 64G
 *   cpu       = any                default; or a host CPU's index, 0 to 255
 *   vcpus     = 1                  default; 1 to GUEST_VCPUS_MAX
 *   devices   = net, entropy       default none; of net, block, console, entropy. A disk brings block with it
 *   mac       = 02:00:00:00:00:01  default made from the pod's name and the guest's; no two guests have the same
 *   console   = log                default; or com2
 *   autostart = no                 default; or yes
 *   cmdline   = any printable text default empty
 */
#ifndef TELEPOD_BOOT_CONFIG_H
#define TELEPOD_BOOT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/pod_config.h"

#define CONFIG_TEXT_MAX 65536u  /* bytes of a telepod.ini */
#define CONFIG_LINE_MAX 640     /* characters of one line, its line end included */
#define CONFIG_ERRORS_MAX 16
#define CONFIG_SENTENCE_MAX 192

struct config_error {
    uint32_t line;                       /* from 1 */
    char sentence[CONFIG_SENTENCE_MAX];  /* printable ASCII: what is there, and what was expected */
};

/* Sorted by line. */
struct config_errors {
    uint32_t count;  /* how many were found; the list holds the first, and above its size there may be more */
    struct config_error list[CONFIG_ERRORS_MAX];
};

/*
 * Parses `size` bytes of `text` (no terminator needed). True: *out is complete, and *errors is empty. False:
 * *errors has one or more entries, and *out is all zero. Not reentrant, because the library's options are
 * globals.
 */
bool config_parse(const char *text, size_t size, struct pod_config *out, struct config_errors *errors);

#endif
