#include "net/port/arena.h"

#include "kernel/lib/util.h"

/*
 * Sizes include lwIP's struct pbuf (24 bytes) and room for Ethernet, IPv4 and TCP headers (56): a segment of
 * 1460 bytes needs 1540. Counts: four full send queues of 180 segments, and some; a page run of 2 MiB holds
 * it all.
 */
static const struct {
    uint32_t object_size, count;
} classes[ARENA_CLASSES] = {
    [ARENA_HEADERS]     = { 128, 512 },
    [ARENA_SMALL_FRAME] = { 192, 512 },
    [ARENA_MESSAGE]     = { 640, 64 },
    [ARENA_FRAME]       = { 1600, 1160 },
};

size_t arena_size(void)
{
    size_t size = 0;

    for (size_t i = 0; i < ARENA_CLASSES; i++)
        size += (size_t)classes[i].object_size * classes[i].count;
    return size;
}

static void pool_init(struct arena_pool *pool, uint8_t *base, uint32_t object_size, uint32_t count)
{
    *pool = (struct arena_pool){ .base = base, .end = base + (size_t)object_size * count };
    pool->object_size = object_size;
    /* Backwards, so that the first allocation takes the lowest object. */
    for (uint8_t *object = pool->end; object > base; ) {
        object -= object_size;
        *(void **)object = pool->free;
        pool->free = object;
    }
}

void arena_init(struct arena *arena, void *memory)
{
    uint8_t *base = memory;

    arena->failures = 0;
    for (size_t i = 0; i < ARENA_CLASSES; i++) {
        pool_init(&arena->pools[i], base, classes[i].object_size, classes[i].count);
        base = arena->pools[i].end;
    }
}

void *arena_alloc(struct arena *arena, size_t size)
{
    for (size_t i = 0; i < ARENA_CLASSES; i++) {
        struct arena_pool *pool = &arena->pools[i];
        void *object = pool->free;

        if (size > pool->object_size)
            continue;
        if (!object)
            break;
        pool->free = *(void **)object;
        pool->in_use++;
        return object;
    }
    arena->failures++;
    return NULL;
}

void arena_free(struct arena *arena, void *object)
{
    struct arena_pool *pool = arena->pools;

    while ((uint8_t *)object >= pool->end)
        pool++;
    *(void **)object = pool->free;
    pool->free = object;
    pool->in_use--;
}

bool arena_contains(const struct arena *arena, const void *p)
{
    const uint8_t *at = p;

    return at >= arena->pools[0].base && at < arena->pools[ARENA_CLASSES - 1].end;
}

uint32_t arena_in_use(const struct arena *arena)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < ARENA_CLASSES; i++)
        sum += arena->pools[i].in_use;
    return sum;
}
