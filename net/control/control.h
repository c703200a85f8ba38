/*
 * The operator's interface: one interpreter for COM1, TCP sessions and the commands of telepod.ini. Each command line gets
 * one JSON object a line as its reply, with "ok" and, if false, "code" and "error"; a long command sends lines with "event"
 * before. README.md lists the commands. All threads live on the network's CPU.
 *
 * Whatever bytes come, the session goes on: a line that is not understood gets an error.
 */
#ifndef TELEPOD_CONTROL_H
#define TELEPOD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/lib/err.h"

#define CONTROL_SESSIONS_MAX 8      /* over TCP, at a time */

/*
 * Starts listening on COM1 and on config.control_port, starts the guests with autostart and then runs config.commands,
 * in order, in a thread of its own. To be called on the network's CPU after vmx_init and net_init, whatever they returned.
 * `info` must stay. ERR_NO_MEMORY: some of that could not be started; the log says what.
 */
enum err control_init(const struct boot_info *info);

/*
 * A room's self-test, for `selftest NAME`: true if all passed. One that measures sets *value, and the reply tells it. `name`
 * must stay. ERR_NO_MEMORY: the table is full.
 */
typedef bool control_selftest(uint64_t *value);
enum err control_register_selftest(const char *name, control_selftest *fn);

#endif
