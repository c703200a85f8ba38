/*
 * The net thread: the only one that runs lwIP's input and timers, and that takes frames from the guests' queues. It is
 * woken by a card's interrupt, by a guest's frame and by a tick; it serves cards and queues until nothing is left, and
 * arms the interrupts again. A flood of frames cannot take the CPU: after each POLL_BUDGET of a card, and one turn of each
 * guest's queue, the other threads run.
 */
#include "net/net.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "net/net_state.h"
#include "net/port/lwip.h"
#include "net/port/port.h"
#include "net/segment.h"

#define POLL_BUDGET 64             /* frames between two yields */
#define TICK_MS 50                 /* lwIP's shortest timer is 250 ms */
#define POLLING_TICK_MS 1          /* for a card without interrupts */
#define DHCP_COMPLAINT_MS 10000
#define WAIT_UP_STEP_MS 5

enum { PRIMARY, LAN, CARDS_MAX };  /* the card of control and teleports; the guests', where they have their own */

static struct {
    struct nic *nic;               /* PRIMARY's; NULL: the pod itself has no network */
    struct uplink uplinks[CARDS_MAX];
    struct segment segments[CARDS_MAX];
    struct segment *guests;        /* one of them; NULL: not started */
    struct netif netif;
    struct thread *thread;
    struct timer tick;
    uint64_t tick_period;          /* TSC ticks */
    bool ticked;                   /* set by the timer, cleared by the thread */
    bool dhcp;
    uint64_t dhcp_complaint;       /* when to say that no address came; UINT64_MAX: said */
    char hostname[POD_NAME_MAX];
} net;

void net_wake(void)
{
    if (net.thread)
        thread_wake(net.thread);
}

struct segment *net_guest_segment(void)
{
    return net.guests;
}

static void interrupt(void *context)
{
    (void)context;
    net_wake();
}

static void tick(struct timer *timer)
{
    net.ticked = true;
    timer_arm(timer, time_now() + net.tick_period);
    net_wake();
}

static void follow_links(void)
{
    for (uint32_t i = 0; i < CARDS_MAX; i++) {
        struct uplink *uplink = &net.uplinks[i];

        if (!uplink->nic || !uplink_follow_link(uplink) || i != PRIMARY)
            continue;
        if (uplink->link_mbit)
            netif_set_link_up(&net.netif);
        else
            netif_set_link_down(&net.netif);
    }
}

/* lwIP calls this when the address, or up and down, changes; with the old address, on renewals too. */
static void address_changed(struct netif *netif)
{
    static uint32_t last;
    uint32_t now = netif_ip4_addr(netif)->addr;
    char address[IP4ADDR_STRLEN_MAX], gateway[IP4ADDR_STRLEN_MAX];

    if (now == last)
        return;
    last = now;
    ip4addr_ntoa_r(netif_ip4_addr(netif), address, sizeof(address));
    ip4addr_ntoa_r(netif_ip4_gw(netif), gateway, sizeof(gateway));
    log_info("net", "address %s, gateway %s (%s)", address, gateway, net.dhcp ? "dhcp" : "static");
}

/* The link is up, and there is an address. */
static bool is_up(void)
{
    return net.nic && netif_is_link_up(&net.netif) && net_address();
}

static void complain_without_address(void)
{
    if (!net.dhcp || is_up() || time_now() < net.dhcp_complaint)
        return;
    net.dhcp_complaint = UINT64_MAX;
    log_error("net", "no DHCP server has answered for %d s; still asking", DHCP_COMPLAINT_MS / 1000);
}

/* true: there is more to do than one turn. */
static bool serve(void)
{
    bool more = false;

    for (uint32_t i = 0; i < CARDS_MAX; i++)
        if (net.uplinks[i].nic)
            more |= nic_poll(net.uplinks[i].nic, POLL_BUDGET) == POLL_BUDGET;
    if (net.nic)
        port_netif_flush(&net.netif);
    if (net.guests)
        more |= switch_serve(net.guests);
    return more;
}

static void serve_tick(void)
{
    if (!net.ticked)
        return;
    net.ticked = false;
    follow_links();
    if (net.nic) {
        complain_without_address();
        sys_check_timeouts();
    }
}

static void run(void *arg)
{
    (void)arg;
    for (;;) {
        bool more = serve();

        serve_tick();
        if (more) {
            thread_yield();
            continue;
        }
        for (uint32_t i = 0; i < CARDS_MAX; i++)
            if (net.uplinks[i].nic)
                nic_enable_interrupts(net.uplinks[i].nic);
        thread_block();
    }
}

static void start_netif(const struct pod_config *config)
{
    const ip4_addr_t address = { config->address }, netmask = { config->netmask };
    const ip4_addr_t gateway = { config->gateway };

    memcpy(net.hostname, config->name, sizeof(net.hostname));
    net.hostname[sizeof(net.hostname) - 1] = '\0';
    netif_set_hostname(&net.netif, net.hostname);
    netif_set_status_callback(&net.netif, address_changed);
    netif_set_default(&net.netif);
    net.dhcp = config->dhcp;
    net.dhcp_complaint = time_after_ms(DHCP_COMPLAINT_MS);
    if (!net.dhcp)
        netif_set_addr(&net.netif, &address, &netmask, &gateway);
    netif_set_up(&net.netif);
    follow_links();
    if (net.dhcp && dhcp_start(&net.netif) != ERR_OK)
        log_error("net", "DHCP could not be started: out of memory");
}

static void received(void *segment, const struct nic_frame *frame)
{
    segment_receive(segment, frame);
}

/* Opens a card for the segment of the same number, and says what it carries. */
static enum err open_card(uint32_t which, uint32_t index, const char *carries)
{
    struct uplink *uplink = &net.uplinks[which];
    const uint8_t *mac;
    enum err err;

    uplink->received = received;
    uplink->sent = port_netif_sent;
    uplink->context = &net.segments[which];
    err = uplink_open(uplink, index, interrupt);
    if (err != OK) {
        log_error("net", "card %u, for %s, cannot be used: %s", index, carries, err_name(err));
        return err;
    }
    mac = nic_mac(uplink->nic);
    log_info("net", "card %u carries %s: %s %02x:%02x:%02x:%02x:%02x:%02x", index, carries, nic_model(uplink->nic), mac[0],
             mac[1], mac[2], mac[3], mac[4], mac[5]);
    return OK;
}

static enum err start_lwip(const struct pod_config *config)
{
    struct segment *segment = &net.segments[PRIMARY];
    const struct port_switch above = {
        .route = segment_route_from_pod, .deliver = segment_deliver_from_pod, .context = segment,
    };
    struct nic *nic = net.uplinks[PRIMARY].nic;
    enum err err = port_init();

    if (err != OK)
        return err;
    lwip_init();
    segment_init(segment, &net.uplinks[PRIMARY], &net.netif, nic_mac(nic));
    err = port_netif_open(&net.netif, nic, &above);
    if (err != OK)
        return err;
    net.nic = nic;
    start_netif(config);
    return OK;
}

/* The guests' segment is there even without a card: they reach each other. */
static void start_guests(uint32_t card)
{
    struct segment *segment = &net.segments[LAN];
    bool wired = open_card(LAN, card, "the guests' LAN") == OK;

    segment_init(segment, wired ? &net.uplinks[LAN] : NULL, NULL, NULL);
    net.guests = segment;
}

static bool card_interrupts(uint32_t which)
{
    return !net.uplinks[which].nic || nic_has_interrupts(net.uplinks[which].nic);
}

static enum err start_thread(void)
{
    bool interrupts = card_interrupts(PRIMARY) && card_interrupts(LAN);
    enum err err = thread_create(&net.thread, "net", NULL, run, NULL);

    if (err != OK)
        return err;
    net.tick_period = time_from_us((interrupts ? TICK_MS : POLLING_TICK_MS) * US_PER_MS);
    net.tick.fn = tick;
    timer_arm(&net.tick, time_now() + net.tick_period);
    return OK;
}

enum err net_init(const struct pod_config *config)
{
    bool shared = config->lan == config->nic;
    enum err err = open_card(PRIMARY, config->nic, shared ? "control, teleports and the guests' LAN" : "control and teleports");

    if (err == OK)
        err = start_lwip(config);
    if (err != OK)
        log_error("net", "the pod goes on without network: no control over TCP, no teleports");
    if (shared && err == OK)
        net.guests = &net.segments[PRIMARY];
    else
        start_guests(config->lan);
    if (start_thread() != OK) {
        log_error("net", "no memory for the net thread");
        net.nic = NULL;
        net.guests = NULL;
        return ERR_NO_MEMORY;
    }
    return err;
}

uint32_t net_address(void)
{
    return net.nic ? netif_ip4_addr(&net.netif)->addr : 0;
}

enum err net_wait_up(uint64_t deadline)
{
    while (!is_up()) {
        uint64_t next = time_after_ms(WAIT_UP_STEP_MS);

        if (!net.nic)
            return ERR_NOT_FOUND;
        if (time_now() >= deadline)
            return ERR_TIMEOUT;
        thread_sleep_until(MIN(next, deadline));
    }
    return OK;
}

static uint32_t count_active_pcbs(void)
{
    uint32_t count = 0;

    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
        count++;
    return count;
}

void net_get_stats(struct net_stats *out)
{
    const struct nic_stats *nic;

    memset(out, 0, sizeof(*out));
    out->driver = "none";
    if (!net.nic)
        return;
    nic_poll(net.nic, 0); /* takes back what the card has sent: that is not in use */
    nic = nic_get_stats(net.nic);
    out->rx_frames = nic->rx_frames;
    out->tx_frames = nic->tx_frames;
    out->rx_bytes = nic->rx_bytes;
    out->tx_bytes = nic->tx_bytes;
    out->rx_dropped = nic->rx_dropped;
    out->tx_dropped = nic->tx_dropped;
    out->interrupts = nic->interrupts;
    out->pbufs_in_use = port_pbufs_in_use();
    out->tcp_pcbs_active = count_active_pcbs();
    out->tcp_retransmissions = lwip_stats.mib2.tcpretranssegs;
    memcpy(out->mac, nic_mac(net.nic), sizeof(out->mac));
    out->link_mbit = net.uplinks[PRIMARY].link_mbit;
    out->driver = nic_model(net.nic);
}
