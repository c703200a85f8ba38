/*
 * The pod's log: one line a message, "[seconds.micros] room: text", to every console (serial COM1, port 0xE9 where Bochs
 * offers it, framebuffer) and into a ring that the `log` command reads. Any CPU, any thread; also from interrupt handlers.
 * Formats are newlib's integer formats (no floating point).
 */
#ifndef TELEPOD_LOG_H
#define TELEPOD_LOG_H

#include <stddef.h>
#include <stdint.h>

void log_info(const char *room, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a guest makes us say, as often as it likes: never waits. A busy serial line then lacks it, and so does the screen. */
void log_lossy(const char *room, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(const char *room, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies the log's text from position *position on (0: the oldest kept), at most `size` bytes; returns the count and
   advances *position. Positions count all bytes ever logged. */
size_t log_read(uint64_t *position, char *buffer, size_t size);

/* Our bug: prints the message, registers and a backtrace with symbol names on every console, stops all CPUs. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define KERNEL_ASSERT(x) do { if (!(x)) panic("assertion failed: %s, %s:%d", #x, __FILE__, __LINE__); } while (0)

/* For whoever handles an NMI (the trap handler; vmx, when an NMI ended guest mode): if another CPU panics, never returns.
   Otherwise the NMI is nobody's, and is counted. */
void panic_handle_nmi(void);

struct trap_frame;
/* The panic of an exception: as panic(), with the interrupted registers. */
void panic_trap(const struct trap_frame *frame, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#endif
