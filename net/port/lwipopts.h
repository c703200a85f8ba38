/*
 * lwIP's options for a pod. Everything that is not named here has lwIP's default (src/include/lwip/opt.h).
 *
 * The sizes hang together:
 *   - TCP_WND, the window we offer, in frames (180) fits the receive ring (net/nic/ring.h: 512), so that two
 *     peers which send a whole window in one burst lose nothing;
 *   - two such windows that nobody reads fit the receive buffers that the ring does not need (1024 - 512);
 *   - four full send queues fit the arena's frame class (net/port/arena.c), and MEMP_NUM_TCP_SEG counts the
 *     same.
 */
#ifndef TELEPOD_NET_PORT_LWIPOPTS_H
#define TELEPOD_NET_PORT_LWIPOPTS_H

/* No threads inside lwIP: the net thread drives it (net/net.c), and only threads of that CPU call it. */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

/* What the pod speaks. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_DHCP 1
#define LWIP_DNS 0
#define LWIP_IGMP 0
#define LWIP_AUTOIP 0
/* An ARP probe of the offered address would put a second into every boot. */
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_SINGLE_NETIF 0
#define ETHARP_SUPPORT_STATIC_ENTRIES 0
#define ETHARP_TRUST_IP_MAC 0
#define IP_FORWARD 0
/* TCP never needs fragments, and an arena object holds one frame: a ping of more than 1472 bytes gets no
   answer. */
#define IP_REASSEMBLY 0
#define IP_FRAG 0

/* Memory: pbufs that hold data come from the arena, which a NIC can read; all else from lwIP's fixed pools.
   */
#define MEM_ALIGNMENT 8
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 0
#define mem_clib_malloc port_malloc
#define mem_clib_free port_free
#define mem_clib_calloc port_calloc
#ifndef __ASSEMBLER__
#include <stddef.h>
void *port_malloc(size_t size);
void port_free(void *memory);
void *port_calloc(size_t count, size_t size);
#endif
#define MEMP_NUM_PBUF 64
#define MEMP_NUM_UDP_PCB 4
#define MEMP_NUM_TCP_PCB 64
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 1024
#define MEMP_NUM_ARP_QUEUE 16
/* Received frames are pbufs of our own around the driver's buffers (net/port/port_netif.c). */
#define PBUF_POOL_SIZE 0
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_LINK_HLEN 14

/* TCP: sized for a LAN of 1 Gbit/s and 2 ms; the window field alone would end at 64 KiB. */
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 3
#define TCP_WND (256 * 1024)
#define TCP_SND_BUF (256 * 1024)
#define TCP_SND_QUEUELEN 512
#define TCP_SNDLOWAT (32 * 1024)
#define TCP_SNDQUEUELOWAT 64
/* A segment is allocated at full size, so that the next write fills it up; and it is one piece of memory, so
   that the NIC reads a frame through one descriptor. */
#define TCP_OVERSIZE TCP_MSS
#define LWIP_NETIF_TX_SINGLE_PBUF 1
#define TCP_QUEUE_OOSEQ 1
/* RFC 6928: ten segments to begin with. */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)(10 * (mss)))
/* Every second segment is acknowledged anyway: a window update of its own only after a quarter of the window
   that a peer without window scaling sees. */
#define TCP_WND_UPDATE_THRESHOLD (16 * 1024)
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 8
#define LWIP_TCP_KEEPALIVE 1
/* TIME_WAIT lasts twice this (ms). A pod's peers are near; a minute would hold 64 connections' worth of pcbs.
   */
#define TCP_MSL 1000UL
/* With the first timeout at 3 s or below, a peer that is gone is given up after about a minute. */
#define TCP_MAXRTX 6
#define TCP_SYNMAXRTX 4

/* Checksums: what the NIC does, netif->chksum_flags says, for every received frame anew
   (net/port/port_netif.c). */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY 0

/* Initial sequence numbers that a rebooted pod does not repeat. */
#define LWIP_HOOK_FILENAME "net/port/port_hooks.h"
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) port_tcp_isn()

/* Counters: only those of the MIB, for its retransmissions. */
#define LWIP_STATS 1
#define LINK_STATS 0
#define ETHARP_STATS 0
#define IP_STATS 0
#define IPFRAG_STATS 0
#define ICMP_STATS 0
#define UDP_STATS 0
#define TCP_STATS 0
#define MEM_STATS 0
#define MEMP_STATS 0
#define SYS_STATS 0
#define MIB2_STATS 1
#define LWIP_STATS_DISPLAY 0

#endif
