/*
 * The pod's network: one NIC, lwIP on top (NO_SYS=1), driven by one thread on the CPU that called net_init
 * (CPU 0). Every function here, and every call into lwIP, must come from a thread of that CPU. The net thread
 * runs lwIP's input and timers; other threads of the CPU call lwIP directly, because threads are cooperative
 * and lwIP never yields.
 */
#ifndef TELEPOD_NET_H
#define TELEPOD_NET_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"

/* Finds the NIC, starts lwIP and DHCP (does not wait for it). ERR_NOT_FOUND: no NIC that we drive; the pod
   goes on without network and says so. */
enum err net_init(const struct pod_config *config);
uint32_t net_address(void);                    /* IPv4, network byte order; 0: none yet */
enum err net_wait_up(uint64_t deadline);       /* blocks the calling thread */

struct net_stats {
    uint64_t rx_frames, tx_frames, rx_bytes, tx_bytes, rx_dropped, tx_dropped, interrupts;
    uint32_t pbufs_in_use, tcp_pcbs_active;    /* to see leaks */
    uint32_t tcp_retransmissions;
    uint8_t mac[6];
    uint32_t link_mbit;                        /* 0: no link */
    const char *driver;                        /* "82540EM", "82574L" ... */
};
void net_get_stats(struct net_stats *out);

#endif
