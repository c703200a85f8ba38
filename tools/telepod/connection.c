/* Connections: see connection.h. */
#include "tools/telepod/connection.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS_PER_S 1000
#define HOST_MAX 256

static bool complain(const struct connection *c, const char *what)
{
    fprintf(stderr, "telepod: %s: %s\n", c->name, what);
    return false;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* Splits HOST:PORT; "[::1]:7000" too. */
static bool split_name(const char *name, char host[HOST_MAX], const char **port)
{
    const char *colon = strrchr(name, ':'), *end = colon ? colon : name + strlen(name);

    if (*name == '[') {
        end = strchr(++name, ']');
        if (!end)
            return false;
        colon = end[1] == ':' ? end + 1 : NULL;
    }
    if (end == name || end - name >= HOST_MAX)
        return false;
    memcpy(host, name, (size_t)(end - name));
    host[end - name] = '\0';
    *port = colon ? colon + 1 : CONNECTION_DEFAULT_PORT;
    return true;
}

/* Waits for the socket, at most silence_ms. */
static bool wait_for(struct connection *c, short events)
{
    struct pollfd p = { .fd = c->socket, .events = events };
    int ready;

    do {
        ready = poll(&p, 1, c->silence_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* A connect that is bounded, unlike the blocking one. 0, or errno. */
static int connect_to(struct connection *c, const struct addrinfo *address)
{
    int error = 0;
    socklen_t size = sizeof(error);

    c->socket = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->socket < 0)
        return errno;
    if (connect(c->socket, address->ai_addr, address->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        error = errno;
    else if (!wait_for(c, POLLOUT))
        error = ETIMEDOUT;
    else if (getsockopt(c->socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error) {
        close(c->socket);
        c->socket = -1;
    }
    return error;
}

bool connection_open(struct connection *c, const char *name, int silence_ms)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    char host[HOST_MAX];
    const char *port;
    int error;

    c->socket = -1;
    c->name = name;
    c->silence_ms = silence_ms;
    c->used = c->taken = 0;
    if (!split_name(name, host, &port))
        return complain(c, "expected HOST:PORT");
    error = getaddrinfo(host, port, &hints, &found);
    if (error)
        return complain(c, gai_strerror(error));
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        error = connect_to(c, a);
        if (!error)
            break;
    }
    freeaddrinfo(found);
    return error ? complain(c, strerror(error)) : true;
}

void connection_close(struct connection *c)
{
    if (c->socket >= 0)
        close(c->socket);
    c->socket = -1;
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

bool connection_send(struct connection *c, const void *bytes, size_t size)
{
    const char *rest = bytes;

    while (size) {
        ssize_t sent = send(c->socket, rest, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            return complain(c, strerror(errno));
        if (sent < 0 && !wait_for(c, POLLOUT))
            return complain(c, "the pod does not take what is sent");
        if (sent > 0) {
            rest += sent;
            size -= (size_t)sent;
        }
    }
    return true;
}

bool connection_send_line(struct connection *c, const char *line)
{
    return connection_send(c, line, strlen(line)) && connection_send(c, "\n", 1);
}

/* More bytes into the buffer, which has room. */
static bool fill(struct connection *c)
{
    for (;;) {
        ssize_t count = recv(c->socket, c->buffer + c->used, CONNECTION_LINE_MAX - c->used, 0);

        if (count > 0) {
            c->used += (size_t)count;
            return true;
        }
        if (count == 0)
            return complain(c, "the pod closed the connection without a reply (is it still booting?)");
        if (errno != EAGAIN && errno != EINTR)
            return complain(c, strerror(errno));
        if (!wait_for(c, POLLIN)) {
            fprintf(stderr, "telepod: %s: no answer for %d s\n", c->name, c->silence_ms / MS_PER_S);
            return false;
        }
    }
}

/* Moves what was not given out to the buffer's start. */
static void compact(struct connection *c)
{
    memmove(c->buffer, c->buffer + c->taken, c->used - c->taken);
    c->used -= c->taken;
    c->taken = 0;
}

char *connection_take_line(struct connection *c)
{
    char *line = c->buffer + c->taken, *newline = memchr(line, '\n', c->used - c->taken);

    if (!newline)
        return NULL;
    *newline = '\0';
    c->taken = (size_t)(newline - c->buffer) + 1;
    return line;
}

bool connection_receive(struct connection *c)
{
    ssize_t count;

    compact(c);
    if (c->used == CONNECTION_LINE_MAX)
        return complain(c, "this is no pod: it sends a line without end");
    count = recv(c->socket, c->buffer + c->used, CONNECTION_LINE_MAX - c->used, 0);
    if (count == 0)
        return complain(c, "the pod closed the connection without a reply");
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? true : complain(c, strerror(errno));
    c->used += (size_t)count;
    return true;
}

char *connection_read_line(struct connection *c)
{
    size_t searched = 0;

    compact(c);
    for (;;) {
        char *newline = memchr(c->buffer + searched, '\n', c->used - searched);

        if (newline) {
            *newline = '\0';
            c->taken = (size_t)(newline - c->buffer) + 1;
            return c->buffer;
        }
        searched = c->used;
        if (c->used == CONNECTION_LINE_MAX) {
            complain(c, "this is no pod: it sends a line without end");
            return NULL;
        }
        if (!fill(c))
            return NULL;
    }
}
