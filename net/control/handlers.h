/*
 * What each command does. A handler gets a command that is decoded and in range (command.h), and ends with exactly one
 * reply; it blocks its session's thread as long as it takes, and no other session. A guest may disappear whenever a
 * handler waits: it looks the guest up again instead of keeping a pointer.
 */
#ifndef TELEPOD_HANDLERS_H
#define TELEPOD_HANDLERS_H

#include "boot/boot_info.h"
#include "net/control/command.h"
#include "net/control/session.h"

struct vm;

typedef void control_handler(struct session *session, const struct command *command);

control_handler handle_help, handle_list, handle_start, handle_stop, handle_halt, handle_pause, handle_resume,
    handle_console, handle_teleport, handle_images, handle_upload, handle_remove, handle_stats, handle_log, handle_shutdown,
    handle_selftest;

/* What the loader gave: configuration and files. */
const struct boot_info *control_boot_info(void);

/* The guest that the command's first argument names; NULL: an error was replied. */
struct vm *control_find_guest(struct session *session, const struct command *command);

#define CONTROL_ADDRESS_MAX 16
/* a.b.c.d; address in network byte order. Returns out. */
const char *control_format_address(uint32_t address, char out[CONTROL_ADDRESS_MAX]);

#endif
