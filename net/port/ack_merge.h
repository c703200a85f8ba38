/*
 * Of several acknowledgements of one connection that are waiting to be processed, only the last one says
 * anything: TCP's are cumulative (RFC 9293, 3.4). Sending a page costs three segments, and some peers
 * acknowledge each: taking those that came in one batch together saves a third of the whole cost. Duplicates
 * are never merged (fast retransmit counts them), nor is anything that carries data, options or a flag
 * besides ACK. Pure.
 */
#ifndef TELEPOD_NET_PORT_ACK_MERGE_H
#define TELEPOD_NET_PORT_ACK_MERGE_H

#include <stdbool.h>
#include <stdint.h>

/* Ethernet, IPv4 and TCP headers without options; such a frame may be padded up to ACK_FRAME_MAX. */
#define ACK_FRAME_MIN 54u
#define ACK_FRAME_MAX 64u

/* One acknowledgement at most is held back. lwIP's congestion window opens by two segments an acknowledgement
   however much it covers, so the number that is merged into one is bounded. */
#define ACK_MERGE_MAX 8u

struct ack_merge {
    uint8_t frame[ACK_FRAME_MIN];   /* without the padding */
    uint32_t merged;                /* acknowledgements that `frame` stands for; 0: nothing is held */
};

/* Is this a bare acknowledgement, one that may be held? `frame` has at least `length` bytes. */
bool ack_is_bare(const uint8_t *frame, uint32_t length);
/* Does the bare acknowledgement `frame` say all that the held one says, and more? */
bool ack_supersedes(const struct ack_merge *held, const uint8_t *frame);
/* Holds `frame`, in place of the one held before if there was one; `merged` as above. */
void ack_hold(struct ack_merge *held, const uint8_t *frame, uint32_t merged);

#endif
