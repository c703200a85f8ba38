/*
 * TCP connections for threads: calls block the calling thread (never the CPU) and are bounded by a deadline
 * (TSC; UINT64_MAX: none). Bytes arrive in order or not at all; what was accepted by stream_write is sent
 * without further calls. Only for threads on the network's CPU. A stream is owned by one thread at a time.
 */
#ifndef TELEPOD_STREAM_H
#define TELEPOD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"

struct stream;
struct stream_listener;

/* address in network byte order, port in host order. ERR_TIMEOUT, ERR_CLOSED (refused, reset), ERR_NO_MEMORY.
   */
enum err stream_connect(struct stream **out, uint32_t address, uint16_t port, uint64_t deadline);
enum err stream_listen(struct stream_listener **out, uint16_t port);
enum err stream_accept(struct stream_listener *listener, struct stream **out, uint64_t deadline);
void stream_listener_close(struct stream_listener *listener);

/* Reads 1..size bytes, as many as there are; *got = 0 with OK: the peer closed its side. */
enum err stream_read_some(struct stream *stream, void *buffer, size_t size, size_t *got, uint64_t deadline);
/* Reads exactly size bytes. ERR_CLOSED: the end came before. */
enum err stream_read(struct stream *stream, void *buffer, size_t size, uint64_t deadline);

/*
 * Copies all of data into TCP's send queue, waiting while it is full. With `push` false the bytes may wait
 * for more to fill a segment; true sends at once. After an error the stream is dead: close it.
 */
enum err stream_write(struct stream *stream, const void *data, size_t size, bool push, uint64_t deadline);
/* Waits until the peer's TCP has acknowledged all that was written. */
enum err stream_drain(struct stream *stream, uint64_t deadline);
/* Bytes written and not yet acknowledged. */
size_t stream_unacknowledged(const struct stream *stream);
bool stream_is_dead(const struct stream *stream);
/* Would a read return without a wait: are there bytes, or has the stream ended? */
bool stream_has_input(const struct stream *stream);

void stream_close(struct stream *stream);   /* orderly (FIN); frees it; NULL is fine */
void stream_abort(struct stream *stream);   /* RST; frees it */

uint32_t stream_live_count(void);

#endif
