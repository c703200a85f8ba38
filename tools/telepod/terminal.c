/* The operator's terminal, and a raw console in it: see terminal.h and connection.h. */
#include "tools/telepod/terminal.h"
#include "tools/telepod/connection.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK 4096

static struct termios saved;
static bool is_raw;
static volatile sig_atomic_t stopped;

void terminal_restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    is_raw = false;
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

bool terminal_make_raw(void)
{
    const struct sigaction action = { .sa_handler = on_signal };
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved) < 0)
        return false;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    atexit(terminal_restore);
    raw = saved;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    fputs("(Ctrl-] detaches)\r\n", stderr);
    return is_raw;
}

bool terminal_stopped(void)
{
    return stopped;
}

bool terminal_write(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t count = write(fd, bytes, size);

        if (count < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };

            poll(&p, 1, -1);
        } else if (count < 0 && errno != EINTR) {
            return false;
        } else if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
    return true;
}

/* False: the end. */
static bool from_pod(struct connection *c)
{
    char bytes[CHUNK];
    ssize_t count = recv(c->socket, bytes, sizeof(bytes), 0);

    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    return count > 0 && terminal_write(STDOUT_FILENO, bytes, (size_t)count);
}

enum input { INPUT_MORE, INPUT_END, INPUT_DETACH };

static enum input from_operator(struct connection *c)
{
    char bytes[CHUNK];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));
    char *detach = count > 0 && is_raw ? memchr(bytes, TERMINAL_DETACH, (size_t)count) : NULL;

    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? INPUT_MORE : INPUT_END;
    if (detach)
        count = detach - bytes;
    if (count && !terminal_write(c->socket, bytes, (size_t)count))
        return INPUT_DETACH;
    return detach ? INPUT_DETACH : count ? INPUT_MORE : INPUT_END;
}

bool connection_run_terminal(struct connection *c)
{
    struct pollfd p[] = { { .fd = c->socket, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
    bool orderly = true;

    terminal_make_raw();
    orderly = terminal_write(STDOUT_FILENO, c->buffer + c->taken, c->used - c->taken);
    while (orderly && !terminal_stopped()) {
        int ready = poll(p, 2, p[1].fd < 0 ? c->silence_ms : -1);

        if (ready < 0 && errno != EINTR)
            orderly = false;
        if (ready == 0)
            break;
        if (ready > 0 && p[0].revents && !from_pod(c))
            break;
        if (ready > 0 && p[1].revents) {
            enum input input = from_operator(c);

            if (input == INPUT_DETACH)
                break;
            if (input == INPUT_END)
                p[1].fd = -1;       /* poll ignores it */
        }
    }
    terminal_restore();
    return orderly;
}
