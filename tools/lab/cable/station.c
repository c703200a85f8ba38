/* station.c: lwIP's raw API, each connection with a buffer in each direction. */
#include "tools/lab/cable/station.h"

#include <stdlib.h>
#include <string.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip4_addr.h"
#include "lwip/netif.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

enum { NS_PER_MS = 1000000, BACKLOG = 16, MTU = 1500 };

/* Bytes in the order in which they came; `taken` of them are gone. */
struct buffer {
    uint8_t *bytes;
    size_t size, taken, room;
};

struct connection {
    bool used, listens, forgotten, ending, ended;
    struct tcp_pcb *pcb; /* NULL: closed or failed */
    unsigned status;
    int waiting[BACKLOG]; /* of a listener: connections that were not accepted yet */
    unsigned waiting_count;
    struct buffer in, out; /* out: what the stack has no room for yet */
    size_t unacknowledged;
};

static struct station_calls calls;
static uint64_t random_state, time_ns;
static struct netif hosts[STATIONS];
static unsigned host_ports[STATIONS], host_count;
static struct connection connections[STATION_CONNECTIONS];

/* Marsaglia's xorshift64*; not for secrets. */
uint32_t station_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 0x2545F4914F6CDD1D >> 32);
}

u32_t sys_now(void)
{
    return (u32_t)(time_ns / NS_PER_MS);
}

void station_time(uint64_t now)
{
    time_ns = now;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------- */

static size_t buffer_left(const struct buffer *buffer)
{
    return buffer->size - buffer->taken;
}

static bool buffer_add(struct buffer *buffer, const uint8_t *bytes, size_t size)
{
    if (buffer->taken == buffer->size)
        buffer->taken = buffer->size = 0;
    if (buffer->size + size > buffer->room) {
        size_t room = 2 * (buffer->size + size);
        uint8_t *more = realloc(buffer->bytes, room);

        if (!more)
            return false;
        buffer->bytes = more;
        buffer->room = room;
    }
    if (size)
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------------------------------ */

static err_t send_frame(struct netif *host, struct pbuf *p)
{
    uint8_t bytes[MTU + 2 * SIZEOF_ETH_HDR];
    u16_t length = pbuf_copy_partial(p, bytes, sizeof(bytes), 0);

    calls.send(calls.context, host_ports[host - hosts], bytes, length);
    return ERR_OK;
}

static err_t set_up(struct netif *host)
{
    host->name[0] = 'l';
    host->name[1] = 'b';
    host->mtu = MTU;
    host->hwaddr_len = ETH_HWADDR_LEN;
    host->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    host->output = etharp_output;
    host->linkoutput = send_frame;
    return ERR_OK;
}

void station_init(uint64_t seed, const struct station_calls *new_calls)
{
    random_state = seed * 2 + 1;
    calls = *new_calls;
    lwip_init();
}

bool station_add(unsigned port, const char *address, const char *mask, const uint8_t *mac)
{
    ip4_addr_t own, net, none = {0};
    struct netif *host = &hosts[host_count];

    if (host_count == STATIONS || !ip4addr_aton(address, &own) || !ip4addr_aton(mask, &net))
        return false;
    memcpy(host->hwaddr, mac, ETH_HWADDR_LEN);
    host_ports[host_count] = port;
    if (!netif_add(host, &own, &net, &none, NULL, set_up, ethernet_input))
        return false;
    netif_set_up(host);
    if (host_count++ == 0)
        netif_set_default(host);
    return true;
}

void station_receive(unsigned port, uint64_t now, const uint8_t *bytes, uint32_t length)
{
    station_time(now);
    for (unsigned i = 0; i < host_count; i++) {
        struct pbuf *p;

        if (host_ports[i] != port)
            continue;
        p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
        if (!p)
            return;
        pbuf_take(p, bytes, (u16_t)length);
        if (hosts[i].input(p, &hosts[i]) != ERR_OK)
            pbuf_free(p);
    }
}

uint64_t station_next(void)
{
    uint32_t ms = host_count ? sys_timeouts_sleeptime() : SYS_TIMEOUTS_SLEEPTIME_INFINITE;

    return ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? UINT64_MAX : (time_ns / NS_PER_MS + ms) * NS_PER_MS;
}

void station_run(uint64_t now)
{
    station_time(now);
    sys_check_timeouts();
}

/* ---- connections --------------------------------------------------------------------------------------------------------- */

static struct connection *connection_of(int number)
{
    return number >= 0 && number < STATION_CONNECTIONS && connections[number].used ? &connections[number] : NULL;
}

static struct connection *new_connection(void)
{
    for (unsigned i = 0; i < STATION_CONNECTIONS; i++) {
        if (!connections[i].used) {
            connections[i] = (struct connection){.used = true};
            return &connections[i];
        }
    }
    return NULL;
}

static void free_connection(struct connection *c)
{
    free(c->in.bytes);
    free(c->out.bytes);
    c->used = false;
}

/* The stack has freed the pcb, or takes nothing more from us for it. */
static void lose_pcb(struct connection *c)
{
    c->pcb = NULL;
    if (c->forgotten)
        free_connection(c);
}

static void detach(struct tcp_pcb *pcb)
{
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
}

/* Gives the stack what it has room for; the end of what is sent when all of it has gone. */
static void push(struct connection *c)
{
    while (c->pcb && buffer_left(&c->out) > 0) {
        size_t room = tcp_sndbuf(c->pcb), size = buffer_left(&c->out) < room ? buffer_left(&c->out) : room;

        if (size > UINT16_MAX)
            size = UINT16_MAX;
        if (!size || tcp_write(c->pcb, c->out.bytes + c->out.taken, (u16_t)size, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
        c->out.taken += size;
        c->unacknowledged += size;
    }
    if (!c->pcb)
        return;
    if (c->ending && !c->ended && buffer_left(&c->out) == 0) {
        if (c->forgotten) {
            struct tcp_pcb *pcb = c->pcb;

            detach(pcb);
            if (tcp_close(pcb) != ERR_OK)
                tcp_abort(pcb);
            lose_pcb(c);
            return;
        }
        c->ended = tcp_shutdown(c->pcb, 0, 1) == ERR_OK;
    }
    tcp_output(c->pcb);
}

/* What comes is acknowledged at once: a pod waits for that before it gives a session's place away. */
static err_t on_receive(void *argument, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct connection *c = argument;

    tcp_set_flags(pcb, TF_ACK_NOW);

    if (error != ERR_OK || c->forgotten) {
        if (p) {
            tcp_recved(pcb, p->tot_len);
            pbuf_free(p);
        }
        return ERR_OK;
    }
    if (!p)
        c->status |= STATION_PEER_ENDED;
    for (struct pbuf *q = p; q; q = q->next) {
        if (!buffer_add(&c->in, q->payload, q->len))
            return ERR_MEM;
    }
    if (p)
        pbuf_free(p);
    calls.news(calls.context);
    return ERR_OK;
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t size)
{
    struct connection *c = argument;

    (void)pcb;
    c->unacknowledged -= size < c->unacknowledged ? size : c->unacknowledged;
    push(c);
    calls.news(calls.context);
    return ERR_OK;
}

static void on_error(void *argument, err_t error)
{
    struct connection *c = argument;

    (void)error;
    if (!c)
        return;
    c->status |= STATION_FAILED;
    lose_pcb(c);
    calls.news(calls.context);
}

static void attach(struct connection *c, struct tcp_pcb *pcb)
{
    c->pcb = pcb;
    tcp_nagle_disable(pcb);
    tcp_arg(pcb, c);
    tcp_recv(pcb, on_receive);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error)
{
    struct connection *c = argument;

    (void)pcb, (void)error;
    c->status |= STATION_OPEN;
    push(c);
    calls.news(calls.context);
    return ERR_OK;
}

int station_connect(const char *address, uint16_t port)
{
    ip_addr_t to;
    struct tcp_pcb *pcb;
    struct connection *c;

    if (!ip4addr_aton(address, &to) || !(c = new_connection()))
        return -1;
    pcb = tcp_new();
    if (!pcb) {
        free_connection(c);
        return -1;
    }
    attach(c, pcb);
    if (tcp_connect(pcb, &to, port, on_connected) != ERR_OK) {
        detach(pcb);
        tcp_abort(pcb);
        free_connection(c);
        return -1;
    }
    return (int)(c - connections);
}

static err_t on_accept(void *argument, struct tcp_pcb *pcb, err_t error)
{
    struct connection *listener = argument, *c;

    if (error != ERR_OK || !pcb)
        return ERR_VAL;
    if (listener->waiting_count == BACKLOG || !(c = new_connection())) {
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    attach(c, pcb);
    c->status = STATION_OPEN;
    listener->waiting[listener->waiting_count++] = (int)(c - connections);
    calls.news(calls.context);
    return ERR_OK;
}

int station_listen(uint16_t port)
{
    struct tcp_pcb *pcb = tcp_new(), *listening;
    struct connection *c = new_connection();

    if (!pcb || !c || tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK || !(listening = tcp_listen_with_backlog(pcb, BACKLOG))) {
        if (pcb)
            tcp_close(pcb);
        if (c)
            free_connection(c);
        return -1;
    }
    c->listens = true;
    c->pcb = listening;
    tcp_arg(listening, c);
    tcp_accept(listening, on_accept);
    return (int)(c - connections);
}

int station_accept(int listener)
{
    struct connection *c = connection_of(listener);
    int first;

    if (!c || !c->waiting_count)
        return -1;
    first = c->waiting[0];
    memmove(c->waiting, c->waiting + 1, --c->waiting_count * sizeof(c->waiting[0]));
    return first;
}

unsigned station_status(int connection)
{
    struct connection *c = connection_of(connection);

    return c ? c->status : STATION_FAILED;
}

size_t station_readable(int connection)
{
    struct connection *c = connection_of(connection);

    return c ? buffer_left(&c->in) : 0;
}

size_t station_unsent(int connection)
{
    struct connection *c = connection_of(connection);

    return c && c->pcb ? buffer_left(&c->out) + c->unacknowledged : 0;
}

size_t station_read(int connection, uint8_t *bytes, size_t size)
{
    struct connection *c = connection_of(connection);

    if (!c)
        return 0;
    if (size > buffer_left(&c->in))
        size = buffer_left(&c->in);
    if (size)
        memcpy(bytes, c->in.bytes + c->in.taken, size);
    c->in.taken += size;
    for (size_t left = size; c->pcb && left > 0;) {
        u16_t part = left < UINT16_MAX ? (u16_t)left : UINT16_MAX;

        tcp_recved(c->pcb, part);
        left -= part;
    }
    return size;
}

bool station_write(int connection, const uint8_t *bytes, size_t size)
{
    struct connection *c = connection_of(connection);

    if (!c || !c->pcb || c->ending || !buffer_add(&c->out, bytes, size))
        return false;
    if (c->status & STATION_OPEN)
        push(c);
    return true;
}

void station_end(int connection)
{
    struct connection *c = connection_of(connection);

    if (!c)
        return;
    c->ending = true;
    if (c->status & STATION_OPEN)
        push(c);
}

static void close_listener(struct connection *c)
{
    while (c->waiting_count)
        station_close(c->waiting[--c->waiting_count], true);
    tcp_close(c->pcb);
    free_connection(c);
}

void station_close(int connection, bool abort)
{
    struct connection *c = connection_of(connection);

    if (!c)
        return;
    if (c->listens) {
        close_listener(c);
        return;
    }
    c->forgotten = true;
    if (!c->pcb) {
        free_connection(c);
        return;
    }
    if (abort || !(c->status & STATION_OPEN) || c->ended) {
        struct tcp_pcb *pcb = c->pcb;

        detach(pcb);
        if (abort || !c->ended || tcp_close(pcb) != ERR_OK)
            tcp_abort(pcb);
        lose_pcb(c);
        return;
    }
    c->ending = true;
    push(c);
}
