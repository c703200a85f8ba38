/*
 * Memory for lwIP's data: one piece, cut once into objects of a few sizes. An allocation takes the smallest
 * class that fits and never a bigger one, so that a flood of one kind (small received segments, say) cannot
 * take what another kind needs (acknowledgements, full frames). Both operations take the same few steps
 * however much is in use, and nothing is asked of the page allocator after the start: what is in use after a
 * teleport is what was in use before. Pure.
 */
#ifndef TELEPOD_NET_PORT_ARENA_H
#define TELEPOD_NET_PORT_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arena_class {
    ARENA_HEADERS = 0,   /* a frame without data: TCP acknowledgements, ARP */
    ARENA_SMALL_FRAME,   /* a small received frame, copied so that it does not hold a whole receive buffer */
    ARENA_MESSAGE,       /* DHCP messages, echo replies */
    ARENA_FRAME,         /* a full TCP segment with its headers */
    ARENA_CLASSES
};

struct arena_pool {
    void *free;          /* first free object; each holds the pointer to the next */
    uint8_t *base, *end;
    uint32_t object_size;   /* bytes */
    uint32_t in_use;
};

struct arena {
    struct arena_pool pools[ARENA_CLASSES];
    uint64_t failures;   /* allocations that found their class empty, or no class big enough */
};

/* Bytes that arena_init needs. */
size_t arena_size(void);
/* `memory`: arena_size() bytes, 64-byte aligned, the arena's from now on. */
void arena_init(struct arena *arena, void *memory);
/* 64-byte aligned. NULL: the class is used up, or size is above the biggest object. */
void *arena_alloc(struct arena *arena, size_t size);
/* `object` came from arena_alloc of this arena and was not freed since. */
void arena_free(struct arena *arena, void *object);
bool arena_contains(const struct arena *arena, const void *p);
uint32_t arena_in_use(const struct arena *arena);

#endif
