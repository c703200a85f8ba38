/* Events and replies for human eyes: see show.h. What a guest printed cannot control the terminal. */
#include "tools/telepod/show.h"

#include <stdlib.h>
#include <string.h>
#include "tools/telepod/field.h"
#include "tools/telepod/report.h"
#include "tools/telepod/table.h"

#define US_PER_S 1e6
#define PAGES_PER_MIB 256.0
#define KIB_PER_MIB 1024.0
#define DELETE 0x7f

/* Newlines and tabs stay, carriage returns go, any other control byte becomes '?'. */
static void print_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= ' ' && c != DELETE)
            fputc(c, out);
        else if (c == '\n' || c == '\t')
            fputc(c, out);
        else if (c != '\r')
            fputc('?', out);
    }
    fflush(out);
}

void show_event(const cJSON *event, FILE *out)
{
    const char *name = field_text(event, "event");

    if (!strcmp(name, "round"))
        report_round(field(event, "round"), out);
    else if (!strcmp(name, "console") || !strcmp(name, "log"))
        print_text(field_text(event, "text"), out);
    else
        fprintf(out, "(%s)\n", name);
}

/* ---- replies ------------------------------------------------------------------------------------------------------ */

static void show_help(const cJSON *reply, struct table *t, FILE *out)
{
    const cJSON *command;

    (void)t;
    cJSON_ArrayForEach(command, field(reply, "commands"))
        fprintf(out, "%s\n    %s\n", field_text(command, "usage"), field_text(command, "help"));
}

/* The texts or numbers of an array, with commas. */
static void join(const cJSON *array, char *out, size_t size)
{
    const cJSON *item;
    size_t used = 0;

    *out = '\0';
    cJSON_ArrayForEach(item, array) {
        const char *comma = used ? ", " : "";

        if (cJSON_IsString(item) && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", comma, item->valuestring);
        else if (cJSON_IsNumber(item) && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%.0f", comma, item->valuedouble);
    }
}

static void list_machine(const cJSON *guest, struct table *t)
{
    char text[TABLE_CELL_MAX];

    if (field_number(guest, "disk_mib") > 0)
        table_cell(t, 3, "%.0f MiB", field_number(guest, "disk_mib"));
    table_cell(t, 4, "%.0f", field_number(guest, "vcpus"));
    join(field(guest, "cpus"), text, sizeof(text));
    table_cell(t, 5, "%s", text);
    table_cell(t, 6, "%s", field_text(guest, "devices"));
    table_cell(t, 7, "%s", field_text(guest, "mac"));
    join(field(guest, "addresses"), text, sizeof(text));
    table_cell(t, 8, "%s", text);
}

static void show_images(const cJSON *reply, struct table *t, FILE *out)
{
    static const char *const heads[] = { "file", "bytes", "from", "" };
    const cJSON *image;

    table_init(t, "lrll");
    table_row(t, heads);
    cJSON_ArrayForEach(image, field(reply, "images")) {
        bool ready = !strcmp(field_text(image, "state"), "ready");

        table_new_row(t);
        table_cell(t, 0, "%s", field_text(image, "name"));
        table_cell(t, 1, "%.0f", field_number(image, "bytes"));
        table_cell(t, 2, "%s", field_text(image, "from"));
        table_cell(t, 3, "%s", ready ? "" : field_text(image, "state"));
    }
    if (t->rows > 1)
        table_print(t, out);
    fprintf(out, "%.1f MiB of memory are free on %s\n", field_number(reply, "free_kib") / KIB_PER_MIB, field_text(reply, "pod"));
}

static void show_upload(const cJSON *reply, struct table *t, FILE *out)
{
    (void)t;
    fprintf(out, "%s: %.0f bytes, CRC32C %s\n", field_text(reply, "image"), field_number(reply, "bytes"),
            field_text(reply, "crc32c"));
}

static void show_list(const cJSON *reply, struct table *t, FILE *out)
{
    static const char *const heads[] = { "guest", "state", "memory", "disk", "vCPUs", "on CPUs", "devices", "MAC",
                                         "addresses", "exits", "guest time", "" };
    const cJSON *guest, *recipe;

    table_init(t, "llrrrllllrrl");
    table_row(t, heads);
    cJSON_ArrayForEach(guest, field(reply, "guests")) {
        table_new_row(t);
        table_cell(t, 0, "%s", field_text(guest, "name"));
        table_cell(t, 1, "%s%s", field_text(guest, "state"), field_true(guest, "teleporting") ? " (teleporting)" : "");
        table_cell(t, 2, "%.0f MiB", field_number(guest, "memory_mib"));
        list_machine(guest, t);
        table_cell(t, 9, "%.0f", field_number(guest, "exits"));
        table_cell(t, 10, "%.3f s", field_number(guest, "guest_us") / US_PER_S);
        table_cell(t, 11, "%s", field_text(guest, "reason"));
    }
    if (t->rows > 1)
        table_print(t, out);
    else
        fprintf(out, "no guests on %s\n", field_text(reply, "pod"));
    if (cJSON_GetArraySize(field(reply, "recipes"))) {
        fputs("can be started:", out);
        cJSON_ArrayForEach(recipe, field(reply, "recipes"))
            fprintf(out, " %s", cJSON_IsString(recipe) ? recipe->valuestring : "?");
        fputc('\n', out);
    }
}

static void add_row(struct table *t, const char *name, const char *key, const cJSON *object)
{
    table_new_row(t);
    table_cell(t, 0, "%s", name);
    table_cell(t, 1, "%.0f", field_number(object, key));
}

static void show_guest_stats(const cJSON *guest, struct table *t, FILE *out)
{
    const cJSON *exits;

    fprintf(out, "%s: %s, %.3f s in guest mode, %.0f exits\n", field_text(guest, "name"), field_text(guest, "state"),
            field_number(guest, "guest_us") / US_PER_S, field_number(guest, "exits_total"));
    table_init(t, "lr");
    cJSON_ArrayForEach(exits, field(guest, "exits"))
        add_row(t, exits->string, exits->string, field(guest, "exits"));
    table_print(t, out);
}

static void show_net_stats(const cJSON *net, struct table *t, FILE *out)
{
    static const char *const counters[] = {
        "interrupts", "rx_frames", "rx_bytes", "rx_dropped", "tx_frames", "tx_bytes", "tx_dropped",
        "tcp_retransmissions", "pbufs", "tcp_pcbs", "streams",
    };

    fprintf(out, "net: %s, %s, %s, %.0f Mbit/s\n", field_text(net, "driver"), field_text(net, "address"),
            field_text(net, "mac"), field_number(net, "link_mbit"));
    table_init(t, "lr");
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        add_row(t, counters[i], counters[i], net);
    table_print(t, out);
}

static void show_pod_stats(const cJSON *reply, struct table *t, FILE *out)
{
    const cJSON *pages = field(reply, "pages"), *heap = field(reply, "heap"), *item;

    fprintf(out, "pod %s: up %.3f s, TSC %.3f MHz (measured by %s), VT-x: %s\n", field_text(reply, "pod"),
            field_number(reply, "uptime_us") / US_PER_S, field_number(reply, "tsc_hz") / US_PER_S,
            field_text(reply, "tsc_hz_measured_by"), field_text(reply, "vmx"));
    fprintf(out, "memory: %.1f of %.1f MiB free, %.0f free blocks of 2 MiB; heap: %.0f bytes in %.0f blocks; %.0f threads\n",
            field_number(pages, "free") / PAGES_PER_MIB, field_number(pages, "total") / PAGES_PER_MIB,
            field_number(pages, "free_large"), field_number(heap, "bytes"), field_number(heap, "blocks"),
            field_number(reply, "threads"));
    cJSON_ArrayForEach(item, field(reply, "cpus"))
        fprintf(out, "cpu %.0f: %.0f interrupts, idle %.3f s\n", field_number(item, "index"),
                field_number(item, "interrupts"), field_number(item, "idle_us") / US_PER_S);
    show_net_stats(field(reply, "net"), t, out);
    cJSON_ArrayForEach(item, field(reply, "guests"))
        show_guest_stats(item, t, out);
}

static void show_stats(const cJSON *reply, struct table *t, FILE *out)
{
    if (field(reply, "guest"))
        show_guest_stats(field(reply, "guest"), t, out);
    else
        show_pod_stats(reply, t, out);
}

static void show_nothing(const cJSON *reply, struct table *t, FILE *out)
{
    (void)reply;
    (void)t;
    (void)out;
}

static void show_state(const cJSON *reply, struct table *t, FILE *out)
{
    (void)t;
    if (field_text(reply, "guest")[0])
        fprintf(out, "%s: %s\n", field_text(reply, "guest"), field_text(reply, "state"));
    else
        fputs("ok\n", out);
}

static void show_teleport(const cJSON *reply, struct table *t, FILE *out)
{
    (void)t;
    report_flight(field(reply, "flight"), out);
}

static const struct {
    const char *verb;
    void (*show)(const cJSON *reply, struct table *t, FILE *out);
} shows[] = {
    { "help", show_help },   { "list", show_list },       { "stats", show_stats },
    { "images", show_images }, { "upload", show_upload },
    { "log", show_nothing }, { "console", show_nothing }, { "teleport", show_teleport },
};

void show_reply(const char *verb, const cJSON *reply, FILE *out)
{
    void (*show)(const cJSON *, struct table *, FILE *) = show_state;
    struct table *t = malloc(sizeof(*t));

    for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++)
        if (!strcmp(shows[i].verb, verb))
            show = shows[i].show;
    if (!t)
        fputs("telepod: out of memory\n", stderr);
    else if (field_true(reply, "ok"))
        show(reply, t, out);
    else if (field(reply, "flight"))
        report_flight(field(reply, "flight"), out);
    fflush(out);
    if (!field_true(reply, "ok"))
        fprintf(stderr, "telepod: %s (%s)\n", field_text(reply, "error"), field_text(reply, "code"));
    free(t);
}
