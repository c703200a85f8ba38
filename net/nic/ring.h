/*
 * Index arithmetic of a descriptor ring (SDM "Receive Descriptor Queue Structure"): the card owns [head,
 * tail), software the rest, and one slot stays empty, because head == tail means that the card owns nothing.
 * Pure.
 */
#ifndef TELEPOD_NIC_RING_H
#define TELEPOD_NIC_RING_H

#include <stdint.h>

#define RING_SIZE 512u /* descriptors; a power of two, and a multiple of 8 as RDLEN demands */
_Static_assert((RING_SIZE & (RING_SIZE - 1)) == 0, "indices wrap by masking");

static inline uint32_t ring_next(uint32_t index)
{
    return (index + 1) & (RING_SIZE - 1);
}

static inline uint32_t ring_previous(uint32_t index)
{
    return (index - 1) & (RING_SIZE - 1);
}

/* Slots from head up to tail. */
static inline uint32_t ring_used(uint32_t head, uint32_t tail)
{
    return (tail - head) & (RING_SIZE - 1);
}

/* Slots that may still be given to the card. */
static inline uint32_t ring_room(uint32_t head, uint32_t tail)
{
    return RING_SIZE - 1 - ring_used(head, tail);
}

#endif
