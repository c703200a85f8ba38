#include "net/uplink.h"

#include <string.h>
#include "kernel/lib/addr.h"
#include "kernel/log.h"
#include "mm/page.h"

#define BUFFER_SIZE 2048u
#define BUFFERS_ORDER 6
_Static_assert(BUFFER_SIZE >= NIC_FRAME_MAX, "a frame fits");
_Static_assert(UPLINK_BUFFERS * BUFFER_SIZE == PAGE_SIZE << BUFFERS_ORDER, "one page run");

static void received(void *context, const struct nic_frame *frame)
{
    struct uplink *uplink = context;

    uplink->received(uplink->context, frame);
}

/* Our own cookies are the buffers. */
static void sent(void *context, void *cookie)
{
    struct uplink *uplink = context;
    uint64_t offset = (uint64_t)((uint8_t *)cookie - uplink->buffers);

    if (offset < UPLINK_BUFFERS * BUFFER_SIZE)
        uplink->free[uplink->free_count++] = (uint16_t)(offset / BUFFER_SIZE);
    else
        uplink->sent(cookie);
}

enum err uplink_open(struct uplink *uplink, uint32_t index, void (*interrupt)(void *context))
{
    struct nic_client client = { .received = received, .sent = sent, .interrupt = interrupt, .context = uplink };
    struct hpa memory;
    enum err err = page_alloc(BUFFERS_ORDER, &memory);

    if (err != OK)
        return err;
    uplink->index = index;
    uplink->buffers = hpa_to_virt(memory);
    for (uint32_t i = 0; i < UPLINK_BUFFERS; i++)
        uplink->free[i] = (uint16_t)i;
    uplink->free_count = UPLINK_BUFFERS;
    err = nic_open(index, &client, &uplink->nic);
    if (err != OK)
        page_free(memory, BUFFERS_ORDER);
    return err;
}

bool uplink_send(struct uplink *uplink, const void *frame, uint32_t size)
{
    uint8_t *buffer;

    if (!uplink->free_count)
        nic_poll(uplink->nic, 0); /* takes back what was sent */
    if (!uplink->free_count)
        return false;
    /* Taken first: buffers come back within nic_transmit, too. */
    buffer = uplink->buffers + uplink->free[--uplink->free_count] * BUFFER_SIZE;
    memcpy(buffer, frame, size);
    if (nic_transmit(uplink->nic, buffer, size, false, buffer))
        return true;
    sent(uplink, buffer);
    return false;
}

bool uplink_follow_link(struct uplink *uplink)
{
    uint32_t mbit = nic_link_mbit(uplink->nic);

    if (mbit == uplink->link_mbit)
        return false;
    uplink->link_mbit = mbit;
    if (mbit)
        log_info("net", "card %u: link up, %u Mbit/s", uplink->index, mbit);
    else
        log_info("net", "card %u: link down", uplink->index);
    return true;
}
