#include "net/port/ack_merge.h"

/* Offsets of big-endian fields in the frame. */
#define ETHER_TYPE 12
#define IP_VERSION_IHL 14
#define IP_TOTAL_LENGTH 16
#define IP_FRAGMENT 20
#define IP_PROTOCOL 23
#define IP_SOURCE 26
#define TCP_PORTS 34
#define TCP_ACKNOWLEDGMENT 42
#define TCP_DATA_OFFSET 46
#define TCP_FLAGS 47

#define ETHER_TYPE_IPV4 0x0800
#define IP_VERSION_4_IHL_5 0x45
#define IP_DONT_FRAGMENT 0x4000
#define IP_PROTOCOL_TCP 6
#define HEADERS_LENGTH 40     /* IPv4 and TCP */
#define TCP_DATA_OFFSET_5 0x50
#define TCP_FLAG_ACK 0x10

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;

    __builtin_memcpy(&value, at, sizeof(value));
    return __builtin_bswap16(value);
}

/* Fields that are only compared stay in memory order. */
static uint64_t get64_raw(const uint8_t *at)
{
    uint64_t value;

    __builtin_memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    __builtin_memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

bool ack_is_bare(const uint8_t *frame, uint32_t length)
{
    return length >= ACK_FRAME_MIN && length <= ACK_FRAME_MAX
        && get16(frame + ETHER_TYPE) == ETHER_TYPE_IPV4 && frame[IP_VERSION_IHL] == IP_VERSION_4_IHL_5
        && get16(frame + IP_TOTAL_LENGTH) == HEADERS_LENGTH
        && !(get16(frame + IP_FRAGMENT) & ~IP_DONT_FRAGMENT)
        && frame[IP_PROTOCOL] == IP_PROTOCOL_TCP && frame[TCP_DATA_OFFSET] == TCP_DATA_OFFSET_5
        && frame[TCP_FLAGS] == TCP_FLAG_ACK;
}

bool ack_supersedes(const struct ack_merge *held, const uint8_t *frame)
{
    /* Addresses (8 bytes), then ports and sequence number (8 bytes) lie side by side. */
    return held->merged && held->merged < ACK_MERGE_MAX
        && get64_raw(held->frame + IP_SOURCE) == get64_raw(frame + IP_SOURCE)
        && get64_raw(held->frame + TCP_PORTS) == get64_raw(frame + TCP_PORTS)
        && (int32_t)(get32(frame + TCP_ACKNOWLEDGMENT) - get32(held->frame + TCP_ACKNOWLEDGMENT)) > 0;
}

void ack_hold(struct ack_merge *held, const uint8_t *frame, uint32_t merged)
{
    __builtin_memcpy(held->frame, frame, ACK_FRAME_MIN);
    held->merged = merged;
}
