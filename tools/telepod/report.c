/* The report of a teleport: see report.h. */
#include "tools/telepod/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tools/telepod/field.h"
#include "tools/telepod/table.h"

#define US_PER_MS 1000.0
#define BYTES_PER_MB 1e6
#define BYTES_PER_KB 1e3
#define RECORD_FILE_MAX (1 << 20)
#define TEXT_MAX 32

static double ms(const cJSON *object, const char *key)
{
    return field_number(object, key) / US_PER_MS;
}

/* "812 B", "4.7 KB", "4.71 MB" */
static const char *bytes_text(double bytes, char out[TEXT_MAX])
{
    if (bytes < BYTES_PER_KB)
        snprintf(out, TEXT_MAX, "%.0f B", bytes);
    else if (bytes < BYTES_PER_MB)
        snprintf(out, TEXT_MAX, "%.1f KB", bytes / BYTES_PER_KB);
    else
        snprintf(out, TEXT_MAX, "%.2f MB", bytes / BYTES_PER_MB);
    return out;
}

void report_round(const cJSON *round, FILE *out)
{
    char sent[TEXT_MAX];

    fprintf(out, "round %-2.0f %8.0f pages (%.0f zero), %s in %.1f ms, %.2f MB/s; %.0f pages dirty after\n",
            field_number(round, "round"), field_number(round, "pages"), field_number(round, "zero_pages"),
            bytes_text(field_number(round, "bytes"), sent), ms(round, "duration_us"),
            field_number(round, "bytes_per_s") / BYTES_PER_MB, field_number(round, "dirty_after"));
    fflush(out);
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static void print_rounds(const cJSON *flight, struct table *t, FILE *out)
{
    static const char *const heads[] = { "round", "pages", "zero", "sent", "time", "rate", "dirty after" };
    const cJSON *floor = field(flight, "floor"), *round;
    char sent[TEXT_MAX];

    table_init(t, "rrrrrrr");
    table_row(t, heads);
    cJSON_ArrayForEach(round, field(flight, "rounds")) {
        table_new_row(t);
        table_cell(t, 0, "%.0f", field_number(round, "round"));
        table_cell(t, 1, "%.0f", field_number(round, "pages"));
        table_cell(t, 2, "%.0f", field_number(round, "zero_pages"));
        table_cell(t, 3, "%s", bytes_text(field_number(round, "bytes"), sent));
        table_cell(t, 4, "%.1f ms", ms(round, "duration_us"));
        table_cell(t, 5, "%.2f MB/s", field_number(round, "bytes_per_s") / BYTES_PER_MB);
        table_cell(t, 6, "%.0f", field_number(round, "dirty_after"));
    }
    if (field_number(floor, "residual_bytes") > 0) {
        table_new_row(t);
        table_cell(t, 0, "paused");
        table_cell(t, 1, "%.0f", field_number(floor, "residual_pages"));
        table_cell(t, 3, "%s", bytes_text(field_number(floor, "residual_bytes"), sent));
    }
    table_print(t, out);
}

static void print_phases(const cJSON *flight, struct table *t, FILE *out)
{
    static const char *const heads[] = { "phase", "pod", "start", "end", "took", "" };
    const cJSON *phase;

    table_init(t, "llrrrl");
    table_row(t, heads);
    cJSON_ArrayForEach(phase, field(flight, "phases")) {
        table_new_row(t);
        table_cell(t, 0, "%s", field_text(phase, "name"));
        table_cell(t, 1, "%s", field_text(phase, "pod"));
        table_cell(t, 2, "%.3f ms", ms(phase, "start_us"));
        table_cell(t, 3, "%.3f ms", ms(phase, "end_us"));
        table_cell(t, 4, "%.3f ms", ms(phase, "end_us") - ms(phase, "start_us"));
        table_cell(t, 5, "%s", field_true(phase, "in_downtime") ? "guest still" : "");
    }
    table_print(t, out);
}

/* ---- the sums ----------------------------------------------------------------------------------------------------- */

static void add_downtime(const cJSON *flight, struct table *t)
{
    const cJSON *floor = field(flight, "floor");
    const cJSON *measured = field(flight, "downtime_us");
    double downtime = field_number(flight, "downtime_us"), least = field_number(flight, "floor_us");
    char sent[TEXT_MAX];

    table_new_row(t);
    table_cell(t, 0, "downtime");
    if (measured) {
        table_cell(t, 1, "%.3f ms", downtime / US_PER_MS);
        table_cell(t, 2, "from the pause on %s to the guest's first entry on %s, or, if it sleeps, until it may",
                   field_text(flight, "source"), field_text(flight, "target"));
    } else {
        table_cell(t, 1, "-");
        table_cell(t, 2, "the guest did not stand still, or nobody measured it");
    }
    if (!field(flight, "floor_us"))
        return;
    table_new_row(t);
    table_cell(t, 0, "floor");
    table_cell(t, 1, "%.3f ms", least / US_PER_MS);
    table_cell(t, 2, "%s at %.2f MB/s, and 1.5 round trips of %.3f ms",
               bytes_text(field_number(floor, "residual_bytes"), sent), field_number(floor, "bytes_per_s") / BYTES_PER_MB,
               ms(floor, "round_trip_us"));
    if (least > 0 && measured) {
        table_new_row(t);
        table_cell(t, 0, "ratio");
        table_cell(t, 1, "%.2f", downtime / least);
        table_cell(t, 2, "downtime to floor");
    }
}

static void print_sums(const cJSON *flight, struct table *t, FILE *out)
{
    const cJSON *clock = field(flight, "clock"), *audit = field(flight, "audit");
    char sent[TEXT_MAX], memory[TEXT_MAX];

    table_init(t, "lrl");
    add_downtime(flight, t);
    table_new_row(t);
    table_cell(t, 0, "total");
    table_cell(t, 1, "%.3f ms", ms(flight, "total_us"));
    table_cell(t, 2, "by %s", field_text(clock, "axis")[0] ? field_text(clock, "axis") : "the source's clock");
    table_new_row(t);
    table_cell(t, 0, "sent");
    table_cell(t, 1, "%s", bytes_text(field_number(flight, "bytes"), sent));
    table_cell(t, 2, "%.0f pages, %.0f of them zero, for %s of memory", field_number(flight, "pages"),
               field_number(flight, "zero_pages"), bytes_text(field_number(flight, "memory_bytes"), memory));
    if (field_number(clock, "samples") > 0) {
        table_new_row(t);
        table_cell(t, 0, "clock error");
        table_cell(t, 1, "+-%.3f ms", ms(clock, "offset_error_us"));
        table_cell(t, 2, "of the target's times; %.0f exchanges, best round trip %.3f ms",
                   field_number(clock, "samples"), ms(clock, "round_trip_us"));
    }
    if (field_number(clock, "steps") > 0) {
        table_new_row(t);
        table_cell(t, 0, "clock steps");
        table_cell(t, 1, "%.3f ms", ms(clock, "step_us"));
        table_cell(t, 2, "the largest of %.0f by which the pods' clocks moved against each other; it is in the error",
                   field_number(clock, "steps"));
    }
    if (audit) {
        table_new_row(t);
        table_cell(t, 0, "audit");
        table_cell(t, 1, "%.0f", field_number(audit, "different"));
        table_cell(t, 2, "of %.0f frames differ between the pods", field_number(audit, "frames"));
    }
    table_print(t, out);
}

void report_flight(const cJSON *flight, FILE *out)
{
    struct table *t = malloc(sizeof(*t));
    const char *reason = field_text(flight, "reason"), *outcome = field_text(flight, "outcome");

    if (!t) {
        fputs("telepod: out of memory\n", stderr);
        return;
    }
    fprintf(out, "\n%s: %s, %s -> %s\n", field_text(flight, "guest"), outcome, field_text(flight, "source"),
            field_text(flight, "target")[0] ? field_text(flight, "target") : "(no answer)");
    if (reason[0])
        fprintf(out, "failed at %s: %s\n", field_text(flight, "failed_step"), reason);
    if (field_text(flight, "stop_reason")[0])
        fprintf(out, "pre-copy ended: %s\n", field_text(flight, "stop_reason"));
    if (cJSON_GetArraySize(field(flight, "rounds"))) {
        fputc('\n', out);
        print_rounds(flight, t, out);
    }
    if (cJSON_GetArraySize(field(flight, "phases"))) {
        fputc('\n', out);
        print_phases(flight, t, out);
    }
    fputc('\n', out);
    print_sums(flight, t, out);
    free(t);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

/* The whole file, NUL-terminated; NULL: said why. */
static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = file ? malloc(RECORD_FILE_MAX + 1) : NULL;
    size_t size;

    if (!text) {
        fprintf(stderr, "telepod: %s: %s\n", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    size = fread(text, 1, RECORD_FILE_MAX + 1, file);
    fclose(file);
    if (size > RECORD_FILE_MAX) {
        fprintf(stderr, "telepod: %s: longer than any flight record\n", path);
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

int report_file(const char *path, FILE *out)
{
    char *text = read_whole(path);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    const cJSON *flight = cJSON_IsObject(field(json, "flight")) ? field(json, "flight") : json;
    bool good = cJSON_IsArray(field(flight, "rounds")) && field_text(flight, "outcome")[0];

    if (good)
        report_flight(flight, out);
    else if (text)
        fprintf(stderr, "telepod: %s: this is no flight record\n", path);
    cJSON_Delete(json);
    free(text);
    return good ? 0 : 2;
}
