/* A console that follows its guest: see follow.h. */
#include "tools/telepod/follow.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tools/telepod/connection.h"
#include "tools/telepod/field.h"
#include "tools/telepod/pods.h"
#include "tools/telepod/terminal.h"
#include "tools/telepod/text.h"

#define INPUT_MAX 4096              /* bytes typed that no guest has taken yet */
#define ADDRESS_MAX 320
#define LINE_MAX_BYTES 256
#define HOPS_MAX 8                  /* pods in a row that only say "it is there": a circle */
#define CONNECT_TRIES 5
#define CONNECT_PAUSE_US 300000
#define BUSY_TRIES 20               /* a pod whose sessions are all taken: for so many pauses */

enum turn { TURN_ON, TURN_MOVED, TURN_AGAIN, TURN_DONE, TURN_REFUSED, TURN_FAILED };

struct follow {
    const struct follow_options *options;
    struct connection connection;
    char address[ADDRESS_MAX];      /* of the pod that it is connected to */
    uint64_t position;              /* behind the last byte that was shown */
    bool positioned;                /* something was shown: what is missing from here on is lost */
    char input[INPUT_MAX];          /* typed, and not yet in the guest's UART */
    size_t input_count;
    size_t sent;                    /* of these, given to this connection */
    uint64_t taken;                 /* by the guest, of what this connection was given */
    bool input_open, detached;
    unsigned hops, busy;
};

/* ---- the pod's lines ---------------------------------------------------------------------------------------------- */

static void show_output(struct follow *f, const cJSON *event)
{
    static char bytes[CONNECTION_LINE_MAX];
    size_t size = text_to_bytes(field_text(event, "text"), bytes), skipped = 0;
    uint64_t end = (uint64_t)field_number(event, "position"), start = end - size;

    if (f->positioned && start > f->position)
        fprintf(stderr, "\r\n(%llu bytes of the console are lost)\r\n", (unsigned long long)(start - f->position));
    if (f->positioned && start < f->position)
        skipped = end <= f->position ? size : (size_t)(f->position - start);
    if (!f->options->json && size > skipped)
        terminal_write(STDOUT_FILENO, bytes + skipped, size - skipped);
    if (end > f->position || !f->positioned)
        f->position = end;
    f->positioned = true;
}

/* The guest has them: they go with it. */
static void forget_input(struct follow *f, const cJSON *line)
{
    uint64_t taken = (uint64_t)field_number(line, "taken"), more = taken - f->taken;

    if (taken < f->taken || more > f->sent)
        return;
    f->taken = taken;
    f->sent -= more;
    f->input_count -= more;
    memmove(f->input, f->input + more, f->input_count);
}

static enum turn move_on(struct follow *f, const cJSON *moved)
{
    const char *pod = field_text(moved, "pod"), *known = pods_find(pod);

    if (known)
        snprintf(f->address, sizeof(f->address), "%s", known);
    else
        snprintf(f->address, sizeof(f->address), "%s:%.0f", field_text(moved, "address"),
                 field_number(moved, "control_port"));
    if (++f->hops > HOPS_MAX) {
        fprintf(stderr, "telepod: %s: no pod has it, and each says that it went on\n", f->options->guest);
        return TURN_FAILED;
    }
    fprintf(stderr, "\r\n(%s has moved to %s)\r\n", f->options->guest, pod);
    return TURN_MOVED;
}

static enum turn take_reply(struct follow *f, const cJSON *reply)
{
    const cJSON *moved = field(reply, "moved");

    if (field_true(reply, "ok"))
        forget_input(f, reply);
    if (cJSON_IsObject(moved))
        return move_on(f, moved);
    if (field_true(reply, "ok")) {
        fprintf(stderr, "\r\n(%s is stopped)\r\n", f->options->guest);
        return TURN_DONE;
    }
    if (!strcmp(field_text(reply, "code"), "busy") && f->busy++ < BUSY_TRIES)
        return TURN_AGAIN;
    fprintf(stderr, "telepod: %s (%s)\r\n", field_text(reply, "error"), field_text(reply, "code"));
    return TURN_REFUSED;
}

static enum turn take_line(struct follow *f, char *line)
{
    enum turn turn = TURN_ON;
    cJSON *json;

    if (f->options->json) {
        puts(line);
        fflush(stdout);
    }
    text_keep_nul(line);
    json = cJSON_ParseWithOpts(line, NULL, true);
    if (cJSON_IsBool(field(json, "ok"))) {
        turn = take_reply(f, json);
    } else if (!cJSON_IsObject(json) || !cJSON_IsString(field(json, "event"))) {
        fprintf(stderr, "telepod: %s: this is no pod: it says \"%.60s\"\r\n", f->address, line);
        turn = TURN_FAILED;
    } else if (!strcmp(field_text(json, "event"), "console")) {
        show_output(f, json);
    } else if (!strcmp(field_text(json, "event"), "input")) {
        forget_input(f, json);
    } else if (!strcmp(field_text(json, "event"), "attached")) {
        f->hops = f->busy = 0;
    }
    cJSON_Delete(json);
    return turn;
}

static enum turn take_lines(struct follow *f)
{
    enum turn turn = TURN_ON;
    char *line;

    if (!connection_receive(&f->connection))
        return TURN_FAILED;
    while (turn == TURN_ON && (line = connection_take_line(&f->connection)))
        turn = take_line(f, line);
    return turn;
}

/* ---- the operator's keys ------------------------------------------------------------------------------------------ */

static void read_keys(struct follow *f, bool raw)
{
    char *room = f->input + f->input_count, *detach;
    ssize_t count = read(STDIN_FILENO, room, sizeof(f->input) - f->input_count);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        f->input_open = false;
        return;
    }
    detach = raw ? memchr(room, TERMINAL_DETACH, (size_t)count) : NULL;
    f->detached = detach != NULL;
    f->input_count += detach ? (size_t)(detach - room) : (size_t)count;
}

/* As much as TCP takes. A connection that has broken is noticed by who reads from it. */
static void send_keys(struct follow *f)
{
    ssize_t sent = send(f->connection.socket, f->input + f->sent, f->input_count - f->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent > 0)
        f->sent += (size_t)sent;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The guest went there a moment ago, so the pod answers; but its sessions may all be taken for a moment. */
static bool connect_to_pod(struct follow *f)
{
    char line[LINE_MAX_BYTES];

    f->sent = 0;
    f->taken = 0;
    for (int i = 0; i < CONNECT_TRIES; i++) {
        if (i)
            usleep(CONNECT_PAUSE_US);
        if (!connection_open(&f->connection, f->address, f->options->silence_ms))
            continue;
        snprintf(line, sizeof(line), "console %s attach position=%llu", f->options->guest, (unsigned long long)f->position);
        if (connection_send_line(&f->connection, line))
            return true;
        connection_close(&f->connection);
    }
    return false;
}

/* One connection, until there is no more to be had from it. */
static enum turn stay(struct follow *f, bool raw)
{
    enum turn turn = TURN_ON;

    while (turn == TURN_ON && !f->detached && !terminal_stopped()) {
        bool room = f->input_open && f->input_count < sizeof(f->input);
        struct pollfd p[] = { { .fd = f->connection.socket, .events = POLLIN | (f->sent < f->input_count ? POLLOUT : 0) },
                              { .fd = room ? STDIN_FILENO : -1, .events = POLLIN } };
        int ready = poll(p, 2, f->input_open ? -1 : f->options->silence_ms);

        if (ready < 0 && errno != EINTR)
            return TURN_FAILED;
        if (ready == 0)
            return TURN_DONE;       /* nobody types, and nothing is printed */
        if (ready > 0 && p[1].revents)
            read_keys(f, raw);
        if (ready > 0 && (p[0].revents & POLLOUT))
            send_keys(f);
        if (ready > 0 && (p[0].revents & ~POLLOUT))
            turn = take_lines(f);
    }
    return turn == TURN_ON ? TURN_DONE : turn;
}

enum follow_end follow_console(const struct follow_options *options)
{
    static const enum follow_end ends[] = { [TURN_DONE] = FOLLOW_DONE, [TURN_REFUSED] = FOLLOW_REFUSED,
                                            [TURN_FAILED] = FOLLOW_FAILED };
    static struct follow f;
    enum turn turn = TURN_MOVED;
    bool raw = !options->json && terminal_make_raw();

    f = (struct follow){ .options = options, .position = options->position, .positioned = options->position > 0,
                         .input_open = true };
    snprintf(f.address, sizeof(f.address), "%s", options->pod);
    while (turn == TURN_MOVED || turn == TURN_AGAIN) {
        if (turn == TURN_AGAIN)
            usleep(CONNECT_PAUSE_US);
        if (!connect_to_pod(&f)) {
            turn = TURN_FAILED;
            break;
        }
        turn = stay(&f, raw);
        connection_close(&f.connection);
    }
    terminal_restore();
    return ends[turn];
}
