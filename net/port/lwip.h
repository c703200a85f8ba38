/*
 * lwIP's headers, for every file of ours that calls it. Both lwIP and kernel/lib/err.h have an ERR_TIMEOUT:
 * ours keeps the name (lwIP's is never seen by a user of its raw interface).
 */
#ifndef TELEPOD_NET_PORT_LWIP_H
#define TELEPOD_NET_PORT_LWIP_H

#include "kernel/lib/err.h"

#define ERR_TIMEOUT LWIP_ERR_TIMEOUT
#include "lwip/dhcp.h"
#include "lwip/err.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/snmp.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"
#undef ERR_TIMEOUT

#endif
