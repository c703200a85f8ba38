/*
 * virtio_net: frames between guests. role=echo sends back what it gets; role=ping counts what comes back. Both fail upon a
 * frame that a switch would not have shown them: to another station's address, or one that they sent themselves.
 *
 *     virtio_net: MAC 02:...
 *     virtio_net: N frames came back, LOST lost          (ping; every 100)
 *
 * Options: role=ping|echo, count=300 (frames; 0: for ever; echo: those that it answers), size=60 (to 1514).
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/timer.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_net";

#define RECEIVE 0
#define TRANSMIT 1
#define MAC_SIZE 6
#define HEADER 12                       /* struct virtio_net_hdr */
#define BUFFER_SIZE 2048
#define FRAME_MIN 60
#define FRAME_MAX 1514
#define ETHERTYPE_LOW 0xB5              /* 0x88B5: IEEE 802, local experimental */
#define ETHERTYPE_HIGH 0x88
#define WAIT_MS 200                     /* for an answer */

struct frame {
    uint8_t to[MAC_SIZE], from[MAC_SIZE], type[2];
    uint8_t is_answer, reserved;
    uint32_t number;
    uint8_t rest[FRAME_MAX - 20];
} __attribute__((packed));
_Static_assert(sizeof(struct frame) == FRAME_MAX, "a whole frame");

static struct bed device;
static uint8_t mac[MAC_SIZE];
static uint64_t size;

static uint8_t *receive_buffer(unsigned index) { return (uint8_t *)(uintptr_t)(BED_BUFFERS + index * BUFFER_SIZE); }
static uint8_t *transmit_buffer(void) { return receive_buffer(VIRTQUEUE_SIZE); }

static bool same(const uint8_t *a, const uint8_t *b)
{
    for (unsigned i = 0; i < MAC_SIZE; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static void give_receive_buffer(uint16_t index)
{
    bed_describe(&device, RECEIVE, index, (uintptr_t)receive_buffer(index), BUFFER_SIZE, VIRTQ_DESC_F_WRITE, 0);
    bed_offer(&device, RECEIVE, index);
}

static uint8_t content(uint32_t number, unsigned index) { return (uint8_t)(number * 31 + index * 7); }

static void send(const uint8_t *to, uint32_t number, bool is_answer)
{
    struct frame *frame = (struct frame *)(transmit_buffer() + HEADER);
    struct bed_buffer chain[] = { { transmit_buffer(), HEADER, false }, { frame, (uint32_t)size, false } };

    for (unsigned i = 0; i < MAC_SIZE; i++) {
        frame->to[i] = to[i];
        frame->from[i] = mac[i];
    }
    frame->type[0] = ETHERTYPE_HIGH;
    frame->type[1] = ETHERTYPE_LOW;
    frame->is_answer = is_answer;
    frame->number = number;
    for (unsigned i = 0; i < size - 20; i++)
        frame->rest[i] = content(number, i);
    bed_request(&device, TRANSMIT, chain, 2);
}

/* One of our own kind of frames, whole and for us; NULL: none, or a foreign one. */
static const struct frame *take(uint16_t *index)
{
    int64_t length = bed_poll(&device, RECEIVE, index);
    const struct frame *frame;

    if (length < 0)
        return 0;
    frame = (const struct frame *)(receive_buffer(*index % VIRTQUEUE_SIZE) + HEADER);
    if (!(frame->to[0] & 1) && !same(frame->to, mac))
        guest_fail("was shown a frame to another station: %x:%x:%x:%x:%x:%x", frame->to[0], frame->to[1], frame->to[2],
                   frame->to[3], frame->to[4], frame->to[5]);
    if (same(frame->from, mac))
        guest_fail("was shown a frame of its own");
    if (frame->type[0] != ETHERTYPE_HIGH || frame->type[1] != ETHERTYPE_LOW || length != (int64_t)(HEADER + size)) {
        give_receive_buffer(*index);
        return 0;
    }
    for (unsigned i = 0; i < size - 20; i++)
        if (frame->rest[i] != content(frame->number, i))
            guest_fail("frame %u has 0x%x at byte %u", frame->number, frame->rest[i], i + 20);
    return frame;
}

/* Waits up to WAIT_MS for the answer to `number`. */
static bool answered(uint32_t number)
{
    uint64_t limit = rdtsc() + timer_tsc_hz() / 1000 * WAIT_MS;
    bool found = false;

    while (!found && rdtsc() < limit) {
        uint16_t index;
        const struct frame *frame = take(&index);

        if (!frame)
            continue;
        found = frame->is_answer && frame->number == number;
        give_receive_buffer(index);
    }
    return found;
}

static void ping(uint64_t count)
{
    static const uint8_t broadcast[MAC_SIZE] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
    uint64_t back = 0, lost = 0;

    for (uint32_t number = 1; back < count || count == 0; number++) {
        send(broadcast, number, false);
        if (!answered(number)) {
            lost++;
            continue;
        }
        if (++back % 100 == 0)
            print("virtio_net: %lu frames came back, %lu lost\n", back, lost);
    }
}

static void echo(uint64_t count)
{
    for (uint64_t answers = 0; answers < count || count == 0;) {
        uint16_t index;
        const struct frame *frame = take(&index);

        if (!frame)
            continue;
        if (!frame->is_answer) {
            uint8_t to[MAC_SIZE];

            for (unsigned i = 0; i < MAC_SIZE; i++)
                to[i] = frame->from[i];
            send(to, frame->number, true);
            answers++;
        }
        give_receive_buffer(index);
    }
}

void guest_main(void)
{
    static const char *const roles[] = { "ping", "echo" };
    unsigned role = option_choice("role", roles, 2, 0);
    uint64_t count = option_number("count", 300, 0, UINT32_MAX);

    size = option_number("size", FRAME_MIN, FRAME_MIN, FRAME_MAX);
    bed_open(&device, VIRTIO_ID_NET);
    for (unsigned i = 0; i < MAC_SIZE; i++)
        mac[i] = device.virtio.device[i];
    print("virtio_net: MAC %x:%x:%x:%x:%x:%x\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    for (uint16_t i = 0; i < VIRTQUEUE_SIZE; i++)
        give_receive_buffer(i);
    bed_kick(&device, RECEIVE);
    if (role == 0)
        ping(count);
    else
        echo(count);
}
