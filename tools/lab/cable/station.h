/*
 * station.h: hosts of the laboratory's own on the cables, with the TCP/IP of lwIP, whose only clock is virtual time. What they
 * do is a function of the frames that come and of the calls between them: no socket, no thread and no timer of the host's.
 *
 * One stack a process: lwIP keeps its state in globals. Times are nanoseconds; all calls say or have been told what time it is.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_STATION_H
#define TELEPOD_TOOLS_LAB_CABLE_STATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATIONS = 4, STATION_CONNECTIONS = 1024 };

enum station_status {
    STATION_OPEN = 1,        /* connected */
    STATION_PEER_ENDED = 2,  /* the peer will send nothing more; what it sent can still be read */
    STATION_FAILED = 4,      /* refused, reset or timed out */
};

struct station_calls {
    void (*send)(void *context, unsigned port, const uint8_t *bytes, uint32_t length);
    void (*news)(void *context); /* something has come for a connection, or one has changed its state */
    void *context;
};

void station_init(uint64_t seed, const struct station_calls *calls);
/* A host at a port of the fabric. False: too many, or no address. `mac`: six bytes. */
bool station_add(unsigned port, const char *address, const char *mask, const uint8_t *mac);
/* A frame for the host at that port. */
void station_receive(unsigned port, uint64_t now, const uint8_t *bytes, uint32_t length);

/* When the stack wants to be called next, and the call. */
uint64_t station_next(void);
void station_run(uint64_t now);
/* The time, for all that is called below. */
void station_time(uint64_t now);

/* A connection, from 0 on; -1: no room, no such address, the port is taken, nobody waits to be accepted. */
int station_connect(const char *address, uint16_t port);
int station_listen(uint16_t port);
int station_accept(int listener);
unsigned station_status(int connection);
/* Bytes that have come and can be read; bytes that were written and are not acknowledged yet. */
size_t station_readable(int connection);
size_t station_unsent(int connection);
size_t station_read(int connection, uint8_t *bytes, size_t size);
/* False: the connection has failed, or there is no memory. */
bool station_write(int connection, const uint8_t *bytes, size_t size);
/* Sends nothing more; what was written goes out first. */
void station_end(int connection);
/* Forgets the connection: what was written still goes out (or, if `abort`, nothing does, and the peer is told by a reset). */
void station_close(int connection, bool abort);

#endif
