/* A file on its way to a pod: announced with its size and checksum, and sent when the pod asks for it. */
#ifndef TELEPOD_TOOLS_UPLOAD_H
#define TELEPOD_TOOLS_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include "tools/telepod/connection.h"

struct upload {
    const char *path;
    int file;
    uint64_t size;              /* bytes */
    uint32_t crc;               /* CRC32C of all of them */
};

/* Opens the file and reads it once, for its checksum. False: said why. */
bool upload_open(struct upload *upload, const char *path);
void upload_close(struct upload *upload);
/* The name that a pod will know it by, if none was given: the last part of the path. */
const char *upload_name(const struct upload *upload);
/*
 * Sends its bytes, and shows how far it is if standard error is a terminal. False: it could not be read or sent to its end,
 * and it was said why; the pod may still have a word about it.
 */
bool upload_send(const struct upload *upload, struct connection *c);

#endif
