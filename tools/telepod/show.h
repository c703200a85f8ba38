/* What a pod's lines look like to a human: each line as it comes. With --json they are passed on as they are. */
#ifndef TELEPOD_TOOLS_SHOW_H
#define TELEPOD_TOOLS_SHOW_H

#include <cjson/cJSON.h>
#include <stdio.h>

/* An event of a command that still runs. Unknown events are shown by their name. */
void show_event(const cJSON *event, FILE *out);
/* The final reply to the command named `verb`. Errors go to stderr. */
void show_reply(const char *verb, const cJSON *reply, FILE *out);

#endif
