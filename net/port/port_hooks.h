/* Functions of this port that lwIP's hooks call (lwipopts.h). */
#ifndef TELEPOD_NET_PORT_HOOKS_H
#define TELEPOD_NET_PORT_HOOKS_H

#include <stdint.h>

/* An initial sequence number as RFC 9293, 3.4.1 wants it: a clock of 4 us, plus a number that differs in
   every boot. */
uint32_t port_tcp_isn(void);

#endif
