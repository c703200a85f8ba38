/*
 * Tests of the kernel by itself, in the running machine. They print one line each, and the last line tells the count.
 */
#ifndef TELEPOD_SELFTEST_H
#define TELEPOD_SELFTEST_H

#include <stdbool.h>

/* At every boot: stops with one sentence if the processor divides wrongly (an emulator is known that did). */
void selftest_division(void);

/* The `selftest` command. In a thread; takes about a second. True: all passed. */
bool selftest_run(void);

/* For the tests of the panic itself, by name: "panic", "stack", "null", "text". Does not return but for unknown names. */
void selftest_crash(const char *how);

#endif
