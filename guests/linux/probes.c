/*
 * Linux's end of the probes of guests/net_echo.c: answers each datagram on UDP port 7777 with what the program's own clock
 * has seen. It wakes once a millisecond, or for a probe, and reads the TSC: an interval in which it did not run shows as a gap
 * between two reads that follow each other, up to a millisecond too long; the longest since the last probe that asked for a
 * new count is told. It has a real-time priority, so that other programs do not make gaps; interrupts do. The answer has the
 * format of the question (tools/lab/probe.py).
 */
#define _GNU_SOURCE
#include "guests/linux/probes.h"

#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <x86intrin.h>

#define PORT 7777
#define MAGIC 0x31524250u           /* "PBR1" */
#define NEW_COUNT 1u                /* flag: forget the longest gap after this answer */
#define WAKE_NS 1000000
#define PRIORITY 50

struct probe {                      /* little-endian */
    uint32_t magic, number, flags, reserved;
    uint64_t tsc, tsc_hz, gap_begin, gap_end, answers;
};
_Static_assert(sizeof(struct probe) == 56, "tools/lab/probe.py");

static uint64_t gap_begin, gap_end, answers;

static void watch_time(void)
{
    static uint64_t last;
    uint64_t now = __rdtsc();

    if (last && now - last > gap_end - gap_begin) {
        gap_begin = last;
        gap_end = now;
    }
    last = now;
}

static void answer(int fd, uint64_t tsc_khz)
{
    struct probe probe;
    struct sockaddr_in from;
    socklen_t size = sizeof(from);

    if (recvfrom(fd, &probe, sizeof(probe), MSG_DONTWAIT, (struct sockaddr *)&from, &size) != sizeof(probe) ||
        probe.magic != MAGIC)
        return;
    probe.tsc_hz = tsc_khz * 1000;
    probe.gap_begin = gap_begin;
    probe.gap_end = gap_end;
    probe.answers = ++answers;
    if (probe.flags & NEW_COUNT)
        gap_begin = gap_end = 0;
    probe.tsc = __rdtsc();
    sendto(fd, &probe, sizeof(probe), 0, (struct sockaddr *)&from, size);
}

int probes_run(uint64_t tsc_khz)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    const struct sched_param priority = { .sched_priority = PRIORITY };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (sched_setscheduler(0, SCHED_FIFO, &priority))
        perror("workload: probes without real-time priority");
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here))) {
        perror("workload: probes");
        return 1;
    }
    printf("workload: probes on UDP port %d, TSC %lu kHz\n", PORT, (unsigned long)tsc_khz);
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        const struct timespec wake = { .tv_nsec = WAKE_NS };

        ppoll(&ready, 1, &wake, NULL);
        watch_time();
        answer(fd, tsc_khz);
    }
}
