/*
 * virtio_console: speaks by the virtio console, and echoes what it hears there, in capitals, until a line is "end". Upon
 * the line "serial" it speaks by COM1 once, so that the next input comes that way: then it must.
 */
#include "guests/lib/guest.h"
#include "guests/lib/serial.h"
#include "guests/lib/virtio_bed.h"

const char guest_name[] = "virtio_console";

#define RECEIVE 0
#define TRANSMIT 1
#define PIECE 64

static struct bed device;
static char *const input = (char *)BED_BUFFERS, *const output = (char *)BED_BUFFERS + PIECE;
static char line[PIECE];

static void say(const char *text, unsigned length)
{
    struct bed_buffer chain = { output, length, false };

    for (unsigned i = 0; i < length; i++)
        output[i] = text[i];
    bed_request(&device, TRANSMIT, &chain, 1);
}

static void offer_input(void)
{
    bed_describe(&device, RECEIVE, 0, (uintptr_t)input, PIECE, VIRTQ_DESC_F_WRITE, 0);
    bed_offer(&device, RECEIVE, 0);
    bed_kick(&device, RECEIVE);
}

static bool is(const char *text)
{
    unsigned i = 0;

    while (text[i] && line[i] == text[i])
        i++;
    return text[i] == 0 && line[i] == '\n';
}

/* A line by the virtio console, at most PIECE bytes with its end. */
static unsigned hear(void)
{
    unsigned length = 0;

    while (length < PIECE) {
        int64_t count = bed_poll(&device, RECEIVE, 0);

        for (int64_t i = 0; i < count && length < PIECE; i++)
            line[length++] = input[i];
        if (count >= 0)
            offer_input();
        if (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            break;
        if (serial_get() >= 0)
            guest_fail("input came by COM1 while the virtio console is in use");
    }
    line[length - 1] = '\n';
    return length;
}

static void hear_serial(void)
{
    int c;

    print("virtio_console: now by COM1\n");
    do {
        if (bed_poll(&device, RECEIVE, 0) >= 0)
            guest_fail("input came by the virtio console after COM1 was spoken on");
        c = serial_get();
        if (c >= 0)
            serial_put((char)c);
    } while (c != '\n' && c != '\r');
}

void guest_main(void)
{
    static const char hello[] = "virtio_console: hello by virtio\n", back[] = "virtio_console: back\n";

    bed_open(&device, VIRTIO_ID_CONSOLE);
    offer_input();
    say(hello, sizeof(hello) - 1);
    for (;;) {
        unsigned length = hear();

        if (is("end"))
            return;
        if (is("serial")) {
            hear_serial();
            say(back, sizeof(back) - 1);
            continue;
        }
        for (unsigned i = 0; i < length; i++)
            if (line[i] >= 'a' && line[i] <= 'z')
                line[i] = (char)(line[i] - 'a' + 'A');
        say(line, length);
    }
}
