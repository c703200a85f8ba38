/* capture.c: blocks are padded to 32 bits and in the host's byte order, which the section header shows. */
#include "tools/lab/cable/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_SECTION = 0x0A0D0D0A, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1A2B3C4D, VERSION_MAJOR = 1, LINKTYPE_ETHERNET = 1,
    OPTION_END = 0, OPTION_COMMENT = 1, OPTION_NAME = 2, OPTION_RESOLUTION = 9, NANOSECONDS = 9,
    OPTIONS_MAX = 256,
};

struct capture {
    FILE *file;
    uint32_t snap;
};

struct options {
    uint8_t bytes[OPTIONS_MAX];
    uint32_t size;
};

static uint32_t padded(uint32_t size)
{
    return (size + 3) & ~3u;
}

/* A value that does not fit is left out. */
static void add_option(struct options *options, uint16_t code, const void *value, size_t size)
{
    uint16_t head[2] = {code, (uint16_t)size};

    if (options->size + sizeof(head) + padded((uint32_t)size) > OPTIONS_MAX)
        return;
    memcpy(options->bytes + options->size, head, sizeof(head));
    if (size)
        memcpy(options->bytes + options->size + sizeof(head), value, size);
    options->size += (uint32_t)sizeof(head) + padded((uint32_t)size);
}

/* Head, body padded, options, and the length once more. */
static void write_block(struct capture *capture, uint32_t type, const void *head, uint32_t head_size, const void *body,
                        uint32_t body_size, struct options *options)
{
    static const uint8_t zeros[4];
    uint32_t frame[2];

    if (options->size)
        add_option(options, OPTION_END, NULL, 0);
    frame[0] = type;
    frame[1] = 3 * (uint32_t)sizeof(uint32_t) + head_size + padded(body_size) + options->size;
    fwrite(frame, sizeof(frame), 1, capture->file);
    fwrite(head, head_size, 1, capture->file);
    if (body_size)
        fwrite(body, body_size, 1, capture->file);
    fwrite(zeros, padded(body_size) - body_size, 1, capture->file);
    fwrite(options->bytes, options->size, 1, capture->file);
    fwrite(&frame[1], sizeof(frame[1]), 1, capture->file);
}

struct capture *capture_open(const char *path, uint32_t snap)
{
    struct capture *capture = malloc(sizeof(*capture));
    struct {
        uint32_t magic;
        uint16_t major, minor;
        int64_t length; /* not known */
    } __attribute__((packed)) head = {BYTE_ORDER_MAGIC, VERSION_MAJOR, 0, -1};

    if (!capture)
        return NULL;
    *capture = (struct capture){.file = fopen(path, "wbe"), .snap = snap};
    if (!capture->file) {
        free(capture);
        return NULL;
    }
    write_block(capture, BLOCK_SECTION, &head, sizeof(head), NULL, 0, &(struct options){.size = 0});
    return capture;
}

void capture_close(struct capture *capture)
{
    fclose(capture->file);
    free(capture);
}

void capture_interface(struct capture *capture, const char *name)
{
    struct {
        uint16_t link_type, reserved;
        uint32_t snap;
    } head = {LINKTYPE_ETHERNET, 0, capture->snap};
    struct options options = {.size = 0};

    add_option(&options, OPTION_NAME, name, strlen(name));
    add_option(&options, OPTION_RESOLUTION, &(uint8_t){NANOSECONDS}, 1);
    write_block(capture, BLOCK_INTERFACE, &head, sizeof(head), NULL, 0, &options);
}

void capture_frame(struct capture *capture, uint32_t interface, uint64_t when_ns, const uint8_t *bytes, uint32_t length,
                   const char *comment)
{
    uint32_t kept = length < capture->snap ? length : capture->snap;
    uint32_t head[5] = {interface, (uint32_t)(when_ns >> 32), (uint32_t)when_ns, kept, length};
    struct options options = {.size = 0};

    if (comment[0])
        add_option(&options, OPTION_COMMENT, comment, strlen(comment));
    write_block(capture, BLOCK_PACKET, head, sizeof(head), bytes, kept, &options);
}

bool capture_flush(struct capture *capture)
{
    return fflush(capture->file) == 0 && !ferror(capture->file);
}
