/*
 * What a learning switch knows and decides. Pure: ports are numbers, time is an argument.
 *
 * A port is either a *wire*, behind which any number of stations live, whose addresses are learned and forgotten again
 * (IEEE 802.1Q, 8.7 "The Learning Process", 8.8 "The Filtering Database"), or a *host*, behind which there is exactly one
 * station of known address: a guest or lwIP. Hence:
 *   - a frame never goes back to the port that it came from;
 *   - a host sends with its own address only;
 *   - a unicast frame goes to the one port where its station is; if that is not known, to all wires and to no host:
 *     each host's address is known, so that it cannot be meant;
 *   - a group frame goes to all ports, except to the groups that no bridge forwards (8.6.3 "Frame filtering");
 *   - a port that does not forward is as if it were not there.
 * The table of stations is bounded; where it is full, the one longest unheard makes room. So a wire full of invented
 * addresses costs others at most that unicast frames flood to the wires again.
 */
#ifndef TELEPOD_SWITCH_TABLE_H
#define TELEPOD_SWITCH_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define SWITCH_PORTS_MAX 64            /* bits of a port set */
#define SWITCH_STATION_SETS 64
#define SWITCH_STATION_WAYS 4
#define SWITCH_NO_PORT UINT32_MAX

enum switch_port_kind {
    SWITCH_PORT_NONE = 0,
    SWITCH_PORT_WIRE,
    SWITCH_PORT_HOST,
};

/* Why a frame goes nowhere. */
enum switch_drop {
    SWITCH_DROP_NONE = 0,
    SWITCH_DROP_MALFORMED,             /* too short, too long, or its source is no station's address */
    SWITCH_DROP_CLOSED,                /* the port that it came from does not forward */
    SWITCH_DROP_SOURCE,                /* a host sent with an address that is not its own */
    SWITCH_DROP_RESERVED,              /* to a group that no bridge forwards */
    SWITCH_DROP_FILTERED,              /* nobody else is meant: what a switch is for */
};

struct switch_decision {
    uint64_t ports;                    /* bit n: to port n */
    enum switch_drop drop;
    uint32_t impostor;                 /* a frame from a wire carries this host's address as its source; or SWITCH_NO_PORT */
};

struct switch_station {
    uint64_t mac;                      /* 0: empty */
    uint64_t heard;                    /* when, in the caller's ticks */
    uint32_t port;
};

struct switch_table {
    struct {
        enum switch_port_kind kind;
        bool forwarding;
        uint64_t mac;                  /* hosts only */
    } ports[SWITCH_PORTS_MAX];
    uint64_t ageing;                   /* ticks after which a station that was not heard is forgotten */
    struct switch_station stations[SWITCH_STATION_SETS][SWITCH_STATION_WAYS];
};

void switch_table_init(struct switch_table *table, uint64_t ageing);

/* Takes a free port, which does not forward yet; `mac` counts for hosts only. SWITCH_NO_PORT: none is free, or a host of
   that address is there already, or it is no station's address. */
uint32_t switch_table_add(struct switch_table *table, enum switch_port_kind kind, const uint8_t mac[6]);
/* The port is free again, and what was learned behind it is forgotten. */
void switch_table_remove(struct switch_table *table, uint32_t port);
/* What was learned behind a port that stops is forgotten. */
void switch_table_set_forwarding(struct switch_table *table, uint32_t port, bool forwarding);

/* Where a frame goes that came in through port `ingress`; learns its sender. Any bytes of any size will do. */
struct switch_decision switch_table_decide(struct switch_table *table, uint32_t ingress, const void *frame, uint32_t size,
                                           uint64_t now);

/* 48 bits, first byte highest; a group's address has SWITCH_MAC_GROUP. */
uint64_t switch_mac(const uint8_t mac[6]);
#define SWITCH_MAC_GROUP (1ULL << 40)
/* Not all zeros, not a group. */
bool switch_mac_is_station(uint64_t mac);

#endif
