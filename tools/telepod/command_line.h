/* The line that is sent to a pod, from the words that the operator typed at the shell. */
#ifndef TELEPOD_TOOLS_COMMAND_LINE_H
#define TELEPOD_TOOLS_COMMAND_LINE_H

#include <stdbool.h>

#define COMMAND_LINE_MAX 1024       /* bytes: what a pod accepts */
#define COMMAND_LINE_ROOM (COMMAND_LINE_MAX + 1)

/*
 * Words are quoted where they must be. One word alone is taken as a whole command line; it is what people paste. False: the
 * line is empty or too long, and it was said.
 */
bool command_line_build(char out[COMMAND_LINE_ROOM], char *const *words, int count);

#endif
