/*
 * Guarantees: a message is one whole line in the ring and on the consoles, whatever other CPUs log at the same time; it
 * is cut at LINE_MAX and never lost (but for log_lossy, on COM1 and the screen). The ring keeps the last RING_SIZE bytes.
 */
#include "kernel/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "kernel/console.h"
#include "kernel/lib/util.h"
#include "kernel/spinlock.h"
#include "kernel/time.h"

#define RING_SIZE (64 * 1024UL)
#define LINE_MAX 320 /* bytes, with prefix and newline */

static char ring[RING_SIZE];
static uint64_t written; /* bytes ever logged */
static struct spinlock lock = SPINLOCK_INIT;

static void ring_append(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ring[written++ % RING_SIZE] = text[i];
}

/* The part of a line that vsnprintf reports may be longer than the buffer. */
static size_t clip(int length, size_t room)
{
    if (length < 0)
        return 0;
    return MIN((size_t)length, room - 1);
}

static void log_line(void (*write)(const char *, size_t), const char *room, const char *severity, const char *format,
                     va_list args)
{
    char line[LINE_MAX];
    uint64_t us = time_to_us(time_now());
    size_t used;

    used = clip(snprintf(line, sizeof(line), "[%4lu.%06lu] %s: %s", us / US_PER_S, us % US_PER_S, room, severity),
                sizeof(line));
    used += clip(vsnprintf(line + used, sizeof(line) - used, format, args), sizeof(line) - used);
    used = MIN(used, sizeof(line) - 2);
    /* It may repeat what a peer or a file said: it stays one line, and no terminal obeys it. */
    for (size_t i = 0; i < used; i++)
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
    line[used++] = '\n';
    spinlock_acquire(&lock);
    ring_append(line, used);
    write(line, used);
    spinlock_release(&lock);
}

void log_info(const char *room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(console_write, room, "", format, args);
    va_end(args);
}

void log_lossy(const char *room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(console_write_lossy, room, "", format, args);
    va_end(args);
}

void log_error(const char *room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(console_write, room, "error: ", format, args);
    va_end(args);
}

size_t log_read(uint64_t *position, char *buffer, size_t size)
{
    size_t count = 0;

    spinlock_acquire(&lock);
    if (*position + RING_SIZE < written)
        *position = written - RING_SIZE;
    while (count < size && *position < written)
        buffer[count++] = ring[(*position)++ % RING_SIZE];
    spinlock_release(&lock);
    return count;
}
