/* The operator's terminal while it is a guest's console. Whatever ends the program, the terminal is as it was before. */
#ifndef TELEPOD_TOOLS_TERMINAL_H
#define TELEPOD_TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#define TERMINAL_DETACH 0x1d /* Ctrl-] */

/* Every key comes as it is typed, unchanged. False: standard input is no terminal. */
bool terminal_make_raw(void);
void terminal_restore(void);
/* A signal asks for the end. */
bool terminal_stopped(void);
/* All of it, or false. Waits as long as it takes. */
bool terminal_write(int fd, const char *bytes, size_t size);

#endif
