/* Uploads: see upload.h. */
#include "tools/telepod/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define CASTAGNOLI 0x82f63b78u  /* RFC 3720, appendix B.4, reflected */
#define BYTES_PER_MIB 1048576.0
#define PROGRESS_S 0.2

static bool complain(const struct upload *upload, const char *what)
{
    fprintf(stderr, "telepod: %s: %s\n", upload->path, what);
    return false;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t size)
{
    static uint32_t table[256];
    static bool made;

    for (uint32_t i = 0; !made && i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? CASTAGNOLI : 0);
    }
    made = true;
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return ~crc;
}

/* 1 to CHUNK bytes; 0: the end; -1: said why. */
static ssize_t read_chunk(const struct upload *upload, uint8_t chunk[CHUNK])
{
    ssize_t count;

    do {
        count = read(upload->file, chunk, CHUNK);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        complain(upload, strerror(errno));
    return count;
}

bool upload_open(struct upload *upload, const char *path)
{
    uint8_t chunk[CHUNK];
    struct stat info;
    ssize_t count;

    *upload = (struct upload){ .path = path, .file = open(path, O_RDONLY | O_CLOEXEC) };
    if (upload->file < 0 || fstat(upload->file, &info) < 0)
        return complain(upload, strerror(errno));
    if (!S_ISREG(info.st_mode) || !info.st_size)
        return complain(upload, S_ISREG(info.st_mode) ? "it is empty" : "expected a file");
    while ((count = read_chunk(upload, chunk)) > 0) {
        upload->crc = crc32c(upload->crc, chunk, (size_t)count);
        upload->size += (uint64_t)count;
    }
    if (count < 0)
        return false;
    return lseek(upload->file, 0, SEEK_SET) == 0 || complain(upload, strerror(errno));
}

void upload_close(struct upload *upload)
{
    if (upload->file >= 0)
        close(upload->file);
    upload->file = -1;
}

const char *upload_name(const struct upload *upload)
{
    const char *slash = strrchr(upload->path, '/');

    return slash ? slash + 1 : upload->path;
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_progress(const struct upload *upload, uint64_t sent, double began)
{
    double seconds = seconds_now() - began;

    fprintf(stderr, "\r%s: %.1f of %.1f MiB, %.2f MiB/s ", upload_name(upload), (double)sent / BYTES_PER_MIB,
            (double)upload->size / BYTES_PER_MIB, seconds > 0 ? (double)sent / BYTES_PER_MIB / seconds : 0);
}

bool upload_send(const struct upload *upload, struct connection *c)
{
    bool watched = isatty(STDERR_FILENO), good = true;
    double began = seconds_now(), shown = began;
    uint8_t chunk[CHUNK];
    uint64_t sent = 0;

    while (good && sent < upload->size) {
        ssize_t count = read_chunk(upload, chunk);

        if (count <= 0)
            return count < 0 ? false : complain(upload, "it has become shorter meanwhile");
        if ((uint64_t)count > upload->size - sent)
            count = (ssize_t)(upload->size - sent);
        good = connection_send(c, chunk, (size_t)count);
        sent += good ? (uint64_t)count : 0;
        if (watched && seconds_now() - shown > PROGRESS_S) {
            shown = seconds_now();
            show_progress(upload, sent, began);
        }
    }
    if (watched) {
        show_progress(upload, sent, began);
        fputc('\n', stderr);
    }
    return good;
}
