/* lwipopts.h: lwIP on the laboratory's side of the cable: without threads, its memory from the heap, its time the cable's. */
#ifndef TELEPOD_TOOLS_LAB_CABLE_LWIPOPTS_H
#define TELEPOD_TOOLS_LAB_CABLE_LWIPOPTS_H

#include <stdint.h>

uint32_t station_random(void);
#define LWIP_RAND() station_random()

#define NO_SYS 1
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define SYS_LIGHTWEIGHT_PROT 0
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define LWIP_STATS 0

#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define ARP_TABLE_SIZE 32
#define ARP_QUEUEING 1

/* A peer that is not what limits a pod: windows of a quarter of a MiB. */
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 3
#define TCP_MSS 1460
#define TCP_WND (180 * TCP_MSS)
#define TCP_SND_BUF (180 * TCP_MSS)
#define TCP_SND_QUEUELEN 1024
#define TCP_SNDLOWAT 32768
#define TCP_QUEUE_OOSEQ 1
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_KEEPALIVE 0

#endif
