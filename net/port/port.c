/* lwIP's memory, clock and random numbers. */
#include "net/port/port.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/port/arena.h"
#include "net/port/lwip.h"
#include "net/port/port_hooks.h"
#include "net/port/port_netif.h"

#define ISN_TICK_US 4 /* RFC 9293, 3.4.1 */

static struct arena arena;
static uint64_t random_state;
static uint32_t isn_offset;

enum err port_init(void)
{
    struct hpa memory;
    enum err err;

    if (arena_size() > PAGE_SIZE << PAGE_ORDER_MAX)
        return ERR_RANGE;
    err = page_alloc(PAGE_ORDER_MAX, &memory);
    if (err != OK)
        return err;
    arena_init(&arena, hpa_to_virt(memory));
    random_state = time_now();
    isn_offset = port_random();
    return OK;
}

void *port_malloc(size_t size)
{
    return arena_alloc(&arena, size);
}

void port_free(void *memory)
{
    arena_free(&arena, memory);
}

void *port_calloc(size_t count, size_t size)
{
    void *memory = size && count > SIZE_MAX / size ? NULL : arena_alloc(&arena, count * size);

    return memory ? memset(memory, 0, count * size) : NULL;
}

uint32_t port_arena_in_use(void)
{
    return arena_in_use(&arena);
}

bool port_can_send_from(const void *data)
{
    return arena_contains(&arena, data);
}

/* Milliseconds; lwIP takes differences only, so that it may wrap. */
u32_t sys_now(void)
{
    return (u32_t)(time_to_us(time_now()) / US_PER_MS);
}

/* SplitMix64, seeded with the time of the boot and stirred with the time of each call: for port numbers and
   DHCP's transaction ids, not for secrets. */
uint32_t port_random(void)
{
    uint64_t z;

    random_state += 0x9e3779b97f4a7c15 + time_now();
    z = random_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)(z >> 32);
}

uint32_t port_tcp_isn(void)
{
    return isn_offset + (uint32_t)(time_to_us(time_now()) / ISN_TICK_US);
}
