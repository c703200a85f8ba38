/* Names of pods: see pods.h. */
#include "tools/telepod/pods.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PODS_MAX 64
#define POD_TEXT_MAX 320

static struct pod {
    char name[POD_TEXT_MAX];
    const char *address;        /* in name, behind its end */
} pods[PODS_MAX];
static unsigned pod_count;

bool pods_add(const char *text)
{
    struct pod *pod = &pods[pod_count];
    char *equals;

    if (pod_count == PODS_MAX || strlen(text) >= sizeof(pod->name))
        return false;
    strcpy(pod->name, text);
    equals = strchr(pod->name, '=');
    if (!equals || equals == pod->name || !equals[1])
        return false;
    *equals = '\0';
    pod->address = equals + 1;
    pod_count++;
    return true;
}

bool pods_read(const char *path)
{
    char line[POD_TEXT_MAX];
    unsigned number = 0;
    bool good = true;
    FILE *file = fopen(path, "r");

    if (!file) {
        fprintf(stderr, "telepod: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (good && fgets(line, sizeof(line), file)) {
        number++;
        line[strcspn(line, "\r\n")] = '\0';
        good = !line[0] || line[0] == '#' || pods_add(line);
    }
    fclose(file);
    if (!good)
        fprintf(stderr, "telepod: %s, line %u: expected NAME=HOST:PORT\n", path, number);
    return good;
}

const char *pods_find(const char *name)
{
    for (unsigned i = 0; i < pod_count; i++)
        if (!strcmp(pods[i].name, name))
            return pods[i].address;
    return NULL;
}
