/*
 * chatter: talks all the time, and repeats all that it hears. For those who must not lose or double a byte of a serial line.
 *
 *     tick N [B]      hz=200 times a second; N from 1, B the byte N modulo 256 as it is: no byte is special to the line
 *     in XX           a byte came in, in hexadecimal
 *
 * `quiet=1` leaves out the ticks. It does not end by itself.
 */
#include "guests/lib/guest.h"
#include "guests/lib/serial.h"
#include "guests/lib/timer.h"

const char guest_name[] = "chatter";

static void put_text(const char *text)
{
    while (*text)
        serial_put(*text++);
}

/* print() makes CR LF of a newline for terminals; here each byte counts. */
static void put_number(uint64_t number, unsigned base, unsigned digits)
{
    char text[24];
    unsigned at = sizeof(text);

    text[--at] = '\0';
    do {
        text[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number || sizeof(text) - 1 - at < digits);
    put_text(text + at);
}

static void repeat_input(void)
{
    int byte;

    while ((byte = serial_get()) >= 0) {
        put_text("in ");
        put_number((uint64_t)byte, 16, 2);
        put_text("\n");
    }
}

void guest_main(void)
{
    uint64_t hz = option_number("hz", 200, 1, 10000), quiet = option_number("quiet", 0, 0, 1);

    timer_start(hz);
    for (uint64_t tick = 1;; tick++) {
        timer_arm(tick);
        timer_sleep();
        repeat_input();
        if (quiet)
            continue;
        put_text("tick ");
        put_number(tick, 10, 1);
        put_text(" [");
        serial_put((char)tick);
        put_text("]\n");
    }
}
