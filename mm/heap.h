/*
 * malloc, calloc, realloc, memalign, free, strdup and strndup of the kernel: blocks of 128 KiB to 2 MiB come
 * from mm/page.h and go back there, all others from newlib's allocator, whose heap grows by pages up to
 * HEAP_MAX_BYTES and does not shrink. They return NULL when memory runs out, which is logged once a second at
 * most; callers handle it. Any CPU.
 */
#ifndef TELEPOD_HEAP_H
#define TELEPOD_HEAP_H

#include <stddef.h>
#include <stdint.h>

uint64_t heap_used_bytes(void);      /* in blocks handed out and not freed */
uint64_t heap_block_count(void);     /* blocks handed out and not freed: to see leaks */
uint64_t heap_mapped_bytes(void);    /* pages that the heap's window holds: its peak */

#endif
