/* Between net.c and switch.c. */
#ifndef TELEPOD_NET_STATE_H
#define TELEPOD_NET_STATE_H

#include <stdbool.h>

struct segment;

/* The segment that guests' ports are on; NULL: the network was not started. */
struct segment *net_guest_segment(void);
/* The net thread looks at all queues again. Any CPU. */
void net_wake(void);
/* Serves each guest's port of the segment once; true: there is more to do. The net thread's. */
bool switch_serve(struct segment *segment);

#endif
