/*
 * Guests' ports. A frame that a guest sends is put into its port's own bounded queue on whatever CPU the guest runs; the
 * net thread takes the queues in turn, TURN frames each, so that a guest which floods fills its own queue and nobody
 * else's. Ports open and close on CPU 0, where frames are delivered, so that after switch_port_close() nobody calls back.
 */
#include "net/switch.h"

#include <stdlib.h>
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/net_state.h"
#include "net/segment.h"

#define TURN 16u                       /* frames of one port before the next one's */
#define QUEUE_ORDER 6
_Static_assert(FRAME_QUEUE_SLOTS * sizeof(struct frame_slot) == PAGE_SIZE << QUEUE_ORDER, "one page run");

/* ---- life ------------------------------------------------------------------------------------------------------ */

struct opening {
    struct switch_port *port;
    enum err err;
};

static void open_here(void *arg)
{
    struct opening *opening = arg;
    struct segment *segment = net_guest_segment();

    opening->err = segment ? segment_add(segment, opening->port) : ERR_NOT_FOUND;
}

static struct switch_port *create(const char *name, const uint8_t mac[6])
{
    struct switch_port *port = calloc(1, sizeof(*port));
    struct hpa slots;

    if (!port)
        return NULL;
    if (page_alloc(QUEUE_ORDER, &slots) != OK) {
        free(port);
        return NULL;
    }
    port->queue.slots = hpa_to_virt(slots);
    strncpy(port->name, name, sizeof(port->name) - 1);
    memcpy(port->mac, mac, sizeof(port->mac));
    return port;
}

static void destroy(struct switch_port *port)
{
    page_free(virt_to_hpa(port->queue.slots), QUEUE_ORDER);
    free(port);
}

bool switch_is_wired(void)
{
    const struct segment *segment = net_guest_segment();

    return segment && segment->uplink;
}

enum err switch_port_open(struct switch_port **out, const char *name, const uint8_t mac[6],
                          void (*deliver)(void *context, const void *frame, uint32_t size), void *context)
{
    struct opening opening = { .port = create(name, mac) };

    if (!opening.port)
        return ERR_NO_MEMORY;
    opening.port->deliver = deliver;
    opening.port->context = context;
    cpu_call(cpu_by_index(0), open_here, &opening);
    if (opening.err != OK) {
        destroy(opening.port);
        return opening.err;
    }
    *out = opening.port;
    return OK;
}

static void close_here(void *arg)
{
    segment_remove(arg);
}

void switch_port_close(struct switch_port *port)
{
    if (!port)
        return;
    switch_port_set_state(port, false);
    cpu_call(cpu_by_index(0), close_here, port);
    destroy(port);
}

void switch_port_set_state(struct switch_port *port, bool forwarding)
{
    spinlock_acquire(&port->lock);
    port->forwarding = forwarding;
    if (!forwarding) {
        frame_queue_make_stale(&port->queue);
        port->announcements_left = 0;
    }
    spinlock_release(&port->lock);
    spinlock_acquire(&port->segment->lock);
    switch_table_set_forwarding(&port->segment->table, port->number, forwarding);
    spinlock_release(&port->segment->lock);
}

/* ---- from the guest -------------------------------------------------------------------------------------------- */

/* Under the port's lock. Checked before it takes room in the queue; the segment checks again, for all. */
static bool may_send(struct switch_port *port, const uint8_t *frame, uint32_t size)
{
    if (!port->forwarding || size < SWITCH_FRAME_MIN || size > SWITCH_FRAME_MAX)
        port->stats.dropped_other++;
    else if (memcmp(frame + sizeof(port->mac), port->mac, sizeof(port->mac)))
        port->stats.dropped_source++;
    else
        return true;
    return false;
}

bool switch_send(struct switch_port *port, const void *frame, uint32_t size)
{
    bool taken = false, was_empty, tell;

    spinlock_acquire(&port->lock);
    was_empty = frame_queue_is_empty(&port->queue);
    if (may_send(port, frame, size)) {
        taken = frame_queue_put(&port->queue, frame, size);
        port->stats.dropped_full += !taken;
    }
    tell = port->stats.dropped_source && !port->source_told;
    port->source_told |= tell;
    spinlock_release(&port->lock);
    if (tell)
        log_error("net", "%s: sends with addresses that are not its own; such frames are dropped", port->name);
    /* Whoever empties the queue looks again before it sleeps: only the first frame needs to wake it. */
    if (taken && was_empty)
        net_wake();
    return taken;
}

/* Under the port's lock, which is let go while the frame is forwarded: its slot stays until it is dropped. */
static bool forward_first(struct switch_port *port)
{
    const struct frame_slot *slot = frame_queue_first(&port->queue, &port->stats.dropped_other);

    if (!slot)
        return false;
    spinlock_release(&port->lock);
    segment_forward(port, slot->bytes, slot->size);
    spinlock_acquire(&port->lock);
    frame_queue_drop_first(&port->queue);
    return true;
}

/* true: there is more. */
static bool serve_port(struct switch_port *port)
{
    uint32_t count = 0;

    spinlock_acquire(&port->lock);
    while (count < TURN && forward_first(port))
        count++;
    spinlock_release(&port->lock);
    return count == TURN;
}

/* ---- announcements --------------------------------------------------------------------------------------------- */

/* The next announcement, if it is due: also decides when the one after it is. */
static bool take_announcement(struct switch_port *port, uint64_t now, struct switch_addresses *addresses)
{
    bool due;

    spinlock_acquire(&port->lock);
    due = port->announcements_left && now >= port->next_announcement;
    if (due) {
        uint32_t index = ANNOUNCE_TIMES - port->announcements_left--;

        *addresses = port->addresses;
        port->next_announcement = now + time_from_us(announce_pause_ms(index) * US_PER_MS);
    }
    spinlock_release(&port->lock);
    return due;
}

/* RARP, then gratuitous ARP, oldest address first: what is announced is learned anew, and the order stays. */
static void send_announcement(struct switch_port *port, const struct switch_addresses *addresses,
                              void (*send)(struct switch_port *port, const void *frame, uint32_t size))
{
    uint8_t frame[ANNOUNCE_FRAME_SIZE];

    announce_rarp(frame, port->mac);
    send(port, frame, sizeof(frame));
    for (uint32_t i = addresses->count; i-- > 0; ) {
        announce_arp(frame, port->mac, addresses->ipv4[i]);
        send(port, frame, sizeof(frame));
    }
}

static void announce_if_due(struct switch_port *port, uint64_t now)
{
    struct switch_addresses addresses;

    if (take_announcement(port, now, &addresses))
        send_announcement(port, &addresses, segment_forward);
}

static void send_to_wire(struct switch_port *port, const void *frame, uint32_t size)
{
    if (port->segment->uplink)
        uplink_send(port->segment->uplink, frame, size);
}

/*
 * The caller may hold the lock of the guest's devices, so that nothing can be delivered here: to the other ports it goes
 * from the net thread. The wire hears it at once: each millisecond now is one in which the guest is not found.
 */
void switch_port_announce(struct switch_port *port)
{
    struct switch_addresses addresses;
    bool begin;

    spinlock_acquire(&port->lock);
    begin = port->forwarding;
    addresses = port->addresses;
    if (begin) {
        port->announcements_left = ANNOUNCE_TIMES;
        port->next_announcement = time_now();
    }
    spinlock_release(&port->lock);
    if (!begin)
        return;
    if (cpu_this() == cpu_by_index(0))
        send_announcement(port, &addresses, send_to_wire);
    net_wake();
}

/* ---- the net thread's part, and what others ask ---------------------------------------------------------------- */

bool switch_serve(struct segment *segment)
{
    bool more = false;
    uint64_t now = time_now();

    for (uint32_t i = 0; segment->guest_count && i < SWITCH_PORTS_MAX; i++) {
        struct switch_port *port = segment->ports[i];

        if (!port)
            continue;
        if (port->announcements_left)
            announce_if_due(port, now);
        more |= serve_port(port);
    }
    return more;
}

uint32_t switch_port_addresses(const struct switch_port *port, uint32_t out[SWITCH_PORT_ADDRESSES_MAX])
{
    struct spinlock *lock = (struct spinlock *)&port->lock;    /* nothing that a caller could see changes */
    uint32_t count;

    spinlock_acquire(lock);
    count = port->addresses.count;
    memcpy(out, port->addresses.ipv4, count * sizeof(out[0]));
    spinlock_release(lock);
    return count;
}

void switch_port_set_addresses(struct switch_port *port, const uint32_t *addresses, uint32_t count)
{
    spinlock_acquire(&port->lock);
    port->addresses.count = 0;
    for (uint32_t i = MIN(count, (uint32_t)SWITCH_PORT_ADDRESSES_MAX); i-- > 0; )
        switch_addresses_add(&port->addresses, addresses[i]);
    spinlock_release(&port->lock);
}

void switch_port_get_stats(struct switch_port *port, struct switch_port_stats *out)
{
    spinlock_acquire(&port->lock);
    *out = port->stats;
    spinlock_release(&port->lock);
}

struct switch_port *switch_port_by_index(uint32_t index)
{
    struct segment *segment = net_guest_segment();

    for (uint32_t i = 0; segment && i < SWITCH_PORTS_MAX; i++)
        if (segment->ports[i] && index-- == 0)
            return segment->ports[i];
    return NULL;
}

const char *switch_port_name(const struct switch_port *port)
{
    return port->name;
}
