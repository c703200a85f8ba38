/*
 * lab.h: the laboratory's side of the cables, as tools/lab/library.py calls it: machines that share one virtual time, the segments
 * that they are on, and participants that are the laboratory's own. One laboratory a process.
 *
 * Time passes in lab_run() and nowhere else. Between two calls every machine stands still at the same instant, and whatever is
 * done to them is done at that instant: bytes typed, frames sent, a power cut.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_LAB_H
#define TELEPOD_TOOLS_LAB_CABLE_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/lab/cable/fabric.h"

enum lab_status {
    LAB_THERE,   /* `until` is reached */
    LAB_NEWS,    /* something came for the laboratory's own participants, or a machine ended */
    LAB_WAITING, /* a machine has not come to its grant for LAB_PATIENCE_MS of the host's time: call again, or ask what is wrong */
};
enum { LAB_PATIENCE_MS = 200 };

enum lab_machine_state { MACHINE_STARTING, MACHINE_RUNS, MACHINE_ENDED };

/* Of the shared memory, which the caller has made and hands to the machines: how large it has to be. */
size_t lab_shared_size(void);
/* 0, or -1: the descriptor cannot be mapped, there is no memory, or there is a laboratory already. */
int lab_open(int shared_fd, uint64_t seed, uint16_t first_record_port, uint16_t last_record_port);
/* Writes all that goes over the cables to a file, `snap` bytes of each frame. 0, or -1: errno. Before the first port. */
int lab_capture(const char *path, uint32_t snap);
void lab_close(void);

uint64_t lab_now(void);
/* Nanoseconds of virtual time between two meetings of all machines, as it is now. */
uint64_t lab_quantum(void);
/* Up to the whole microsecond at or behind `until_ns`. An enum lab_status. */
int lab_run(uint64_t until_ns, bool stop_at_news);
/* The first machine that lab_run() is waiting for, or -1. */
int lab_waits_for(void);

/* ---- machines: numbers are places in the shared memory ---- */

/* A place for a machine that is powered on now. `ips`: millions only. -1: too many. */
int lab_add_machine(uint64_t ips, uint32_t seed);
/* The machine is not there any more: a power cut, or its emulator has died. */
void lab_remove_machine(unsigned machine);
int lab_machine_state(unsigned machine);
/* Ticks since its power-on. */
uint64_t lab_machine_ticks(unsigned machine);
/* How many of these bytes are typed on a serial port (STREAM_COM1, STREAM_COM2); the others find no room yet. */
size_t lab_type(unsigned machine, unsigned stream, const uint8_t *bytes, size_t size);
/*
 * What machines have printed, in the order of its times: pieces of {u64 ns, u16 machine, u16 stream, u32 size, bytes}. Each byte
 * of a serial port is a piece of its own; the log comes in lines. Takes away what it returns: bytes of `room` that were filled.
 */
size_t lab_take_output(uint8_t *pieces, size_t room);

/* ---- segments and ports ---- */

int lab_add_segment(const struct link_profile *profile);
/* The port of a machine's card; of a host with a TCP/IP stack; of a participant that sends and takes frames by itself. -1: no. */
int lab_add_card(unsigned segment, unsigned machine, unsigned card, const char *name);
int lab_add_station(unsigned segment, const char *address, const char *mask, const uint8_t *mac, const char *name);
int lab_add_raw(unsigned segment, const char *name);
int lab_add_fault(const struct fault *fault);
const struct fault *lab_fault(unsigned index);
const struct fabric_counts *lab_counts(unsigned port);
bool lab_send(unsigned port, const uint8_t *bytes, uint32_t length);
/* Frames that came to raw ports: {u64 ns, u32 port, u32 size, bytes}; and what the switches saw on segments that are observed:
   the same, with the sender's port. As lab_take_output(). */
size_t lab_take_frames(uint8_t *pieces, size_t room);
void lab_observe(unsigned segment, bool on);
size_t lab_take_observed(uint8_t *pieces, size_t room);

#endif
