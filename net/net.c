/*
 * The net thread: the only one that runs lwIP's input and timers. It is woken by the card's interrupt and by
 * a tick, polls the card until nothing is left, and arms the interrupt again. A flood of frames cannot take
 * the CPU: after each POLL_BUDGET of them the other threads run.
 */
#include "net/net.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "net/nic/nic.h"
#include "net/port/lwip.h"
#include "net/port/port.h"

#define POLL_BUDGET 64             /* frames between two yields */
#define TICK_MS 50                 /* lwIP's shortest timer is 250 ms */
#define POLLING_TICK_MS 1          /* for a card without interrupts */
#define DHCP_COMPLAINT_MS 10000
#define WAIT_UP_STEP_MS 5

static struct {
    struct nic *nic;               /* NULL: no network */
    struct netif netif;
    struct thread *thread;
    struct timer tick;
    uint64_t tick_period;          /* TSC ticks */
    bool ticked;                   /* set by the timer, cleared by the thread */
    bool dhcp;
    uint32_t link_mbit;
    uint64_t dhcp_complaint;       /* when to say that no address came; UINT64_MAX: said */
    char hostname[POD_NAME_MAX];
} net;

static void wake_thread(void *context)
{
    (void)context;
    if (net.thread)
        thread_wake(net.thread);
}

static void tick(struct timer *timer)
{
    net.ticked = true;
    timer_arm(timer, time_now() + net.tick_period);
    wake_thread(NULL);
}

static void follow_link(void)
{
    uint32_t mbit = nic_link_mbit(net.nic);

    if (mbit == net.link_mbit)
        return;
    net.link_mbit = mbit;
    if (mbit) {
        log_info("net", "link up, %u Mbit/s", mbit);
        netif_set_link_up(&net.netif);
    } else {
        log_info("net", "link down");
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

static void complain_without_address(void)
{
    if (!net.dhcp || net_is_up() || time_now() < net.dhcp_complaint)
        return;
    net.dhcp_complaint = UINT64_MAX;
    log_error("net", "no DHCP server has answered for %d s; still asking", DHCP_COMPLAINT_MS / 1000);
}

static void run(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t received = port_netif_poll(&net.netif, POLL_BUDGET);

        if (net.ticked) {
            net.ticked = false;
            follow_link();
            complain_without_address();
            sys_check_timeouts();
        }
        if (received == POLL_BUDGET) {
            thread_yield();
            continue;
        }
        nic_enable_interrupts(net.nic);
        thread_block();
    }
}

static void start_netif(const struct pod_config *config)
{
    const ip4_addr_t address = { config->address }, netmask = { config->netmask };
    const ip4_addr_t gateway = { config->gateway };
    const uint8_t *mac = nic_mac(net.nic);

    log_info("net", "%s %02x:%02x:%02x:%02x:%02x:%02x", nic_model(net.nic), mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
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
    follow_link();
    if (net.dhcp && dhcp_start(&net.netif) != ERR_OK)
        log_error("net", "DHCP could not be started: out of memory");
}

static enum err start(const struct pod_config *config)
{
    enum err err = port_init();

    if (err != OK)
        return err;
    lwip_init();
    err = port_netif_open(&net.netif, config->nic, wake_thread, &net.nic);
    if (err != OK)
        return err;
    start_netif(config);
    err = thread_create(&net.thread, "net", NULL, run, NULL);
    if (err != OK)
        return err;
    net.tick_period = time_from_us((nic_has_interrupts(net.nic) ? TICK_MS : POLLING_TICK_MS) * US_PER_MS);
    net.tick.fn = tick;
    timer_arm(&net.tick, time_now() + net.tick_period);
    return OK;
}

enum err net_init(const struct pod_config *config)
{
    enum err err = start(config);

    if (err != OK) {
        net.nic = NULL;
        log_error("net", "card %u cannot be used (%s): the pod goes on without network", config->nic,
                  err_name(err));
    }
    return err;
}

bool net_is_up(void)
{
    return net.nic && netif_is_link_up(&net.netif) && net_address();
}

uint32_t net_address(void)
{
    return net.nic ? netif_ip4_addr(&net.netif)->addr : 0;
}

enum err net_wait_up(uint64_t deadline)
{
    while (!net_is_up()) {
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
    port_netif_poll(&net.netif, 0); /* takes back what the card has sent: that is not in use */
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
    out->link_mbit = net.link_mbit;
    out->driver = nic_model(net.nic);
}
