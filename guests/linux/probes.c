/*
 * Linux's end of the probes of guests/net_echo.c: answers each datagram on UDP port 7777 with the longest interval in which this
 * processor took no timer interrupt, by its TSC, since the last probe that asked for a new count. The answer has the format of the
 * question (tools/lab/probe.py).
 *
 * The kernel's own watch is used for that, its perf software clock: a timer that fires once a millisecond and writes the time
 * (CLOCK_MONOTONIC_RAW, which is the TSC in nanoseconds) into a ring that we read (perf_event_open(2)). It fires in the middle of other programs' system calls as well. A program that
 * looks at the TSC by itself cannot: in Debian's kernel (PREEMPT_VOLUNTARY) even one with a real-time priority waits until
 * another's fork, exec or exit has left the kernel. How long this one had to wait is told beside it, as the longest time between
 * two of its own looks.
 */
#define _GNU_SOURCE
#include "guests/linux/probes.h"

#include <linux/perf_event.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PORT 7777
#define MAGIC 0x31524250u           /* "PBR1" */
#define NEW_COUNT 1u                /* flag: forget the longest gap after this answer */
#define WAKE_MS 2
#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define TICK_NS NS_PER_MS
#define PRIORITY 50
#define PAGE 4096u
#define RING_PAGES 16u              /* a power of two; 16 bytes a tick: four seconds */
#define RING_SIZE (RING_PAGES * PAGE)

struct probe {                      /* little-endian */
    uint32_t magic, number, flags, program_us;
    uint64_t tsc, tsc_hz, gap_begin, gap_end, answers;
};
_Static_assert(sizeof(struct probe) == 56, "tools/lab/probe.py");

/* The longest interval between two instants that follow each other. */
struct watch {
    uint64_t last, begin, end;
};

static struct watch ticks, looks;
static struct perf_event_mmap_page *ring;
static uint64_t answers;

static void watch_instant(struct watch *watch, uint64_t tsc)
{
    if (watch->last && tsc - watch->last > watch->end - watch->begin) {
        watch->begin = watch->last;
        watch->end = tsc;
    }
    watch->last = tsc;
}

static bool open_ring(void)
{
    struct perf_event_attr attr = { .size = sizeof(attr), .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
                                    .sample_period = TICK_NS, .sample_type = PERF_SAMPLE_TIME,
                                    .use_clockid = 1, .clockid = CLOCK_MONOTONIC_RAW };
    long fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

    if (fd < 0)
        return false;
    ring = mmap(NULL, PAGE + RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    return ring != MAP_FAILED;
}

/* Is the kernel's clock the TSC? */
static bool has_tsc_clock(void)
{
    char name[16] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

    if (file && fgets(name, sizeof(name), file))
        name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
    return strcmp(name, "tsc") == 0;
}

static uint64_t ring_word(uint64_t position)
{
    uint64_t word;
    memcpy(&word, (const char *)ring + PAGE + position % RING_SIZE, sizeof(word));   /* records are 8-byte aligned: none is cut */
    return word;
}

/* Each record: a header of 8 bytes with its size, and, of a tick, the time. */
static void read_ticks(uint64_t tsc_khz)
{
    uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE), tail = ring->data_tail;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);   /* after the last of the ticks, and by which TSC */
    uint64_t tsc = __rdtsc(), time = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;

    while (tail < head) {
        uint64_t word = ring_word(tail);
        struct perf_event_header header;
        memcpy(&header, &word, sizeof(header));
        if (header.type == PERF_RECORD_SAMPLE)
            watch_instant(&ticks, tsc - (time - ring_word(tail + sizeof(header))) * tsc_khz / NS_PER_MS);
        tail += header.size;
    }
    __atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
}

static void answer(int fd, uint64_t tsc_khz)
{
    struct probe probe;
    struct sockaddr_in from;
    socklen_t size = sizeof(from);

    if (recvfrom(fd, &probe, sizeof(probe), MSG_DONTWAIT, (struct sockaddr *)&from, &size) != sizeof(probe) ||
        probe.magic != MAGIC)
        return;
    read_ticks(tsc_khz);
    probe.tsc_hz = tsc_khz * 1000;
    probe.gap_begin = ticks.begin;
    probe.gap_end = ticks.end;
    probe.program_us = (uint32_t)((looks.end - looks.begin) * 1000 / tsc_khz);
    probe.answers = ++answers;
    if (probe.flags & NEW_COUNT)
        ticks.begin = ticks.end = looks.begin = looks.end = 0;
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
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) || !open_ring()) {
        perror("workload: probes");
        return 1;
    }
    if (!has_tsc_clock())
        printf("workload: probes: the kernel's clock is not the TSC; gaps are by another one\n");
    printf("workload: probes on UDP port %d, TSC %lu kHz\n", PORT, (unsigned long)tsc_khz);
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };

        poll(&ready, 1, WAKE_MS);
        watch_instant(&looks, __rdtsc());
        answer(fd, tsc_khz);
    }
}
