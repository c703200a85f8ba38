/*
 * telepod: the operator's client. It sends one command to a pod and shows the replies. Exit status: 0 if and only if the
 * pod's final reply says ok; 1 if it says no; 2 if there was no such reply.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools/telepod/connection.h"
#include "tools/telepod/command_line.h"
#include "tools/telepod/field.h"
#include "tools/telepod/follow.h"
#include "tools/telepod/pods.h"
#include "tools/telepod/report.h"
#include "tools/telepod/show.h"
#include "tools/telepod/text.h"
#include "tools/telepod/upload.h"

#define DEFAULT_SILENCE_S 60
#define SILENCE_MAX_S 86400
#define MS_PER_S 1000

enum status { STATUS_OK = 0, STATUS_REFUSED = 1, STATUS_FAILED = 2 };

static const char usage[] =
    "usage: telepod [--json] [--timeout S] [--pod NAME=HOST:PORT]... HOST[:PORT] COMMAND...\n"
    "       telepod report FILE\n"
    "\n"
    "Sends one command to the pod and shows the reply; `telepod HOST help` lists the commands.\n"
    "`console NAME` in a terminal becomes the guest's serial line (Ctrl-] detaches), and follows the guest from pod to pod;\n"
    "so does `console NAME attach` anywhere. `upload FILE [NAME]` sends a file of this machine.\n"
    "`report` shows a saved flight record.\n"
    "  --json       the pod's own lines, one JSON object each\n"
    "  --timeout S  how long the pod may be silent (default 60)\n"
    "  --pod NAME=HOST:PORT  where that pod is reached from here, if not where other pods reach it; may be repeated\n"
    "  --pods FILE  lines of such NAME=HOST:PORT; the variable TELEPOD_PODS names a file, too\n"
    "Exit status: 0 the pod says ok, 1 it says no, 2 it says nothing sensible.\n";

struct client {
    bool json;
    int silence_s;
    const char *pod;
    int word_count;
    char **words;
    const struct upload *upload;    /* NULL: the command is another */
};

/* ---- what is wanted ------------------------------------------------------------------------------------------------ */

static const char *find_word(const struct client *client, const char *prefix)
{
    for (int i = 2; i < client->word_count; i++)
        if (!strncmp(client->words[i], prefix, strlen(prefix)))
            return client->words[i];
    return NULL;
}

/* `console NAME attach`, or `console NAME` typed at a terminal: the operator wants the serial line itself. */
static bool wants_console(const struct client *client)
{
    bool alone = client->word_count == 2 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !client->json;

    return client->word_count >= 2 && !strcmp(client->words[0], "console") && (alone || find_word(client, "attach"));
}

/* A pod that follows a console may rightly be silent for so long. */
static int followed_seconds(const struct client *client)
{
    static const char key[] = "follow=";

    for (int i = 0; i < client->word_count; i++) {
        const char *found = strstr(client->words[i], key);
        long seconds = found ? strtol(found + strlen(key), NULL, 10) : 0;

        if (seconds > 0 && seconds <= SILENCE_MAX_S)
            return (int)seconds;
    }
    return 0;
}

/* ---- the replies -------------------------------------------------------------------------------------------------- */

static cJSON *parse_line(const struct client *client, char *line)
{
    cJSON *json;

    if (client->json)
        puts(line);
    text_mend_nul(line);
    json = cJSON_ParseWithOpts(line, NULL, true);
    if (cJSON_IsObject(json) && (cJSON_IsBool(field(json, "ok")) || cJSON_IsString(field(json, "event"))))
        return json;
    fprintf(stderr, "telepod: %s: this is no pod: it says \"%.60s\"\n", client->pod, line);
    cJSON_Delete(json);
    return NULL;
}

static enum status finish(const struct client *client, struct connection *c, const cJSON *reply)
{
    char verb[16] = "";

    if (field_true(reply, "ok") && field_true(reply, "raw"))
        return connection_run_terminal(c) ? STATUS_OK : STATUS_FAILED;
    sscanf(client->words[0], "%15s", verb);
    if (!client->json)
        show_reply(verb, reply, stdout);
    return field_true(reply, "ok") ? STATUS_OK : STATUS_REFUSED;
}

/* An event of the command that runs. False: the command cannot go on. */
static bool take_event(const struct client *client, struct connection *c, const cJSON *event)
{
    if (client->upload && !strcmp(field_text(event, "event"), "send"))
        return upload_send(client->upload, c);
    if (!client->json)
        show_event(event, stdout);
    return true;
}

static enum status read_replies(const struct client *client, struct connection *c)
{
    for (;;) {
        char *line = connection_read_line(c);
        cJSON *json = line ? parse_line(client, line) : NULL;
        bool last = field(json, "ok") != NULL;
        enum status status = STATUS_OK;
        bool going = true;

        fflush(stdout);
        if (!json)
            return STATUS_FAILED;
        if (last)
            status = finish(client, c, json);
        else
            going = take_event(client, c, json);
        cJSON_Delete(json);
        if (last)
            return status;
        if (!going)
            return STATUS_FAILED;
    }
}

static enum status run_line(const struct client *client, const char *line)
{
    static struct connection connection;
    enum status status = STATUS_FAILED;

    if (!connection_open(&connection, client->pod, (client->silence_s + followed_seconds(client)) * MS_PER_S))
        return STATUS_FAILED;
    if (connection_send_line(&connection, line))
        status = read_replies(client, &connection);
    connection_close(&connection);
    return status;
}

static enum status run_console(const struct client *client)
{
    static const enum status statuses[] = { [FOLLOW_DONE] = STATUS_OK, [FOLLOW_REFUSED] = STATUS_REFUSED,
                                            [FOLLOW_FAILED] = STATUS_FAILED };
    static const char position_key[] = "position=";
    const char *position = find_word(client, position_key);
    const struct follow_options options = {
        .pod = client->pod, .guest = client->words[1], .silence_ms = client->silence_s * MS_PER_S, .json = client->json,
        .position = position ? strtoull(position + strlen(position_key), NULL, 10) : 0,
    };

    return statuses[follow_console(&options)];
}

/* upload FILE [NAME] */
static enum status run_upload(const struct client *client)
{
    struct client uploading = *client;
    char line[COMMAND_LINE_ROOM];
    struct upload upload;
    enum status status = STATUS_FAILED;

    if (client->word_count < 2 || client->word_count > 3) {
        fputs("telepod: usage: telepod HOST[:PORT] upload FILE [NAME]\n", stderr);
        return STATUS_FAILED;
    }
    uploading.upload = &upload;
    if (upload_open(&upload, client->words[1])) {
        char size[24], crc[24];
        const char *name = client->word_count == 3 ? client->words[2] : upload_name(&upload);
        char *words[] = { "upload", (char *)name, size, crc };

        snprintf(size, sizeof(size), "%llu", (unsigned long long)upload.size);
        snprintf(crc, sizeof(crc), "crc32c=%08x", upload.crc);
        if (command_line_build(line, words, 4))
            status = run_line(&uploading, line);
    }
    upload_close(&upload);
    return status;
}

static enum status run(const struct client *client)
{
    char line[COMMAND_LINE_ROOM];

    if (wants_console(client))
        return run_console(client);
    if (!strcmp(client->words[0], "upload"))
        return run_upload(client);
    return command_line_build(line, client->words, client->word_count) ? run_line(client, line) : STATUS_FAILED;
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

/* The index of the first word that is no option; -1: an option that makes no sense. */
static int read_options(struct client *client, int argc, char **argv)
{
    int i = 1;

    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        char *end = "?";

        if (!strcmp(argv[i], "--json")) {
            client->json = true;
        } else if (!strcmp(argv[i], "--timeout") && i + 1 < argc) {
            long seconds = strtol(argv[++i], &end, 10);

            if (*end || seconds < 1 || seconds > SILENCE_MAX_S)
                return -1;
            client->silence_s = (int)seconds;
        } else if (!strcmp(argv[i], "--pod") && i + 1 < argc) {
            if (!pods_add(argv[++i]))
                return -1;
        } else if (!strcmp(argv[i], "--pods") && i + 1 < argc) {
            if (!pods_read(argv[++i]))
                return -1;
        } else {
            return -1;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    struct client client = { .silence_s = DEFAULT_SILENCE_S };
    int first = read_options(&client, argc, argv);
    const char *pods = getenv("TELEPOD_PODS");

    signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(usage, stdout);
        return STATUS_OK;
    }
    if (first < 0 || argc - first < 2) {
        fputs(usage, stderr);
        return STATUS_FAILED;
    }
    if (!strcmp(argv[first], "report") && argc - first == 2)
        return report_file(argv[first + 1], stdout);
    if (pods && *pods && !pods_read(pods))
        return STATUS_FAILED;
    client.pod = argv[first];
    client.words = argv + first + 1;
    client.word_count = argc - first - 1;
    return run(&client);
}
