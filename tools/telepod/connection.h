/*
 * A TCP connection to a pod's control port. Every wait has an end; a peer that sends what no pod sends is told apart from
 * one that is silent. Errors are sentences on stderr that begin with the pod's address.
 */
#ifndef TELEPOD_TOOLS_CONNECTION_H
#define TELEPOD_TOOLS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#define CONNECTION_LINE_MAX 65536   /* a pod's longest line is half of that */
#define CONNECTION_DEFAULT_PORT "7000"

struct connection {
    int socket;
    const char *name;               /* as the operator wrote it, for messages */
    int silence_ms;                 /* how long the pod may say nothing */
    size_t used, taken;             /* bytes in the buffer, and of them those that were given out */
    char buffer[CONNECTION_LINE_MAX + 1];
};

/* HOST or HOST:PORT. False: said why. */
bool connection_open(struct connection *c, const char *name, int silence_ms);
void connection_close(struct connection *c);
/* Sends all of it, waiting at most silence_ms for each piece. False: said why. */
bool connection_send(struct connection *c, const void *bytes, size_t size);
/* Sends the text and a newline. */
bool connection_send_line(struct connection *c, const char *line);
/* The next line without its newline, until the next call; NULL: none came, said why. */
char *connection_read_line(struct connection *c);
/* The next line that is wholly here, without waiting, until the next call; NULL: none. */
char *connection_take_line(struct connection *c);
/* What has come, without waiting, into the buffer. False: the pod has closed, or sends a line without end; said why. */
bool connection_receive(struct connection *c);
/*
 * The connection as a terminal: bytes go both ways until the pod closes it, or the operator types Ctrl-]. At the end of an
 * input that is no terminal, output goes on until the pod closes or is silent. True: an orderly end.
 */
bool connection_run_terminal(struct connection *c);

#endif
