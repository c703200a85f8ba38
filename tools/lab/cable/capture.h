/*
 * capture.h: a pcapng file (draft-ietf-opsawg-pcapng) of what went over the cables: an interface for every port, time stamps in
 * nanoseconds of virtual time, and a comment on every frame to which something was done.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_CAPTURE_H
#define TELEPOD_TOOLS_LAB_CABLE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

struct capture;

/* `snap`: how many bytes of a frame are kept. NULL: the file cannot be made; errno says why. */
struct capture *capture_open(const char *path, uint32_t snap);
void capture_close(struct capture *capture);

/* Interfaces are numbered from 0 in the order of these calls, which come before all frames. */
void capture_interface(struct capture *capture, const char *name);
void capture_frame(struct capture *capture, uint32_t interface, uint64_t when_ns, const uint8_t *bytes, uint32_t length,
                   const char *comment);
/* False: the disk is full, and the file is not whole. */
bool capture_flush(struct capture *capture);

#endif
