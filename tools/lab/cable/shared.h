/*
 * shared.h: the memory that the laboratory shares with its machines, and who may write what in it.
 *
 * One mapping a laboratory, one `struct machine_page` a machine. The laboratory grants time: a machine runs up to the tick
 * `granted`, stores it in `reached` and sleeps. While a machine sleeps, the laboratory owns its whole page; while it runs, it
 * owns the page itself, and the laboratory only sleeps on `running`. So nothing here is ever written by two at once, and the
 * only atomics are those that hand the page over.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_SHARED_H
#define TELEPOD_TOOLS_LAB_CABLE_SHARED_H

#include <stdint.h>

enum {
    CABLE_VERSION = 1,       /* of this layout: a module of another build is refused */
    CABLE_MACHINES = 8,      /* in one laboratory */
    CABLE_CARDS = 2,         /* network cards of a machine */
    CABLE_FRAME_MAX = 1518,  /* bytes of a frame with a VLAN tag, without its check sequence */
    CABLE_FRAME_MIN = 60,    /* shorter ones are padded, as on a wire */
    CABLE_FRAMES = 2048,     /* of one card and direction in one grant */
    CABLE_OUTPUT = 1 << 16,  /* bytes that a machine prints in one grant: one instruction prints one byte */
    CABLE_INPUT = 4096,      /* bytes typed and not yet taken, a serial port */
    CABLE_GRANT_TICKS_MAX = CABLE_OUTPUT - 1024,
};

/* Where a machine prints: port 0xE9, where the pod's log goes without delay, and two serial ports. */
enum cable_stream { STREAM_LOG, STREAM_COM1, STREAM_COM2, CABLE_STREAMS };

enum { CABLE_CARD_READY = 1 }; /* the card has a buffer for a frame */

/* Ticks are instructions of the machine, since its power-on. */
struct cable_frame {
    uint64_t tick; /* when it was sent; when it is to be received */
    uint32_t length;
    uint8_t bytes[CABLE_FRAME_MAX + 2];
};

/* Frames of one grant, in the order of their ticks. */
struct cable_frames {
    uint32_t count; /* from the first on */
    uint32_t taken; /* by the receiver, of those */
    uint64_t lost;  /* sent, but beyond CABLE_FRAMES in one grant */
    struct cable_frame frames[CABLE_FRAMES];
};

struct cable_output {
    uint64_t tick;
    uint8_t stream; /* enum cable_stream */
    uint8_t byte;
    uint8_t reserved[6];
};

struct cable_typed {
    uint32_t count, taken;
    uint8_t bytes[CABLE_INPUT];
};

struct machine_page {
    /* ---- by the laboratory, before the machine starts ---- */
    uint32_t version;
    uint32_t seed; /* of the emulator's random numbers: RDRAND and RDSEED */
    uint64_t ips;  /* ticks a second of virtual time */

    /* ---- the hand-over ---- */
    uint64_t granted;       /* ticks up to which it may run */
    uint64_t reached;       /* ticks that it has come to */
    uint32_t grant;         /* counts grants: the machine sleeps on it (futex) */
    uint32_t attached;      /* 1: its module has found this page */
    uint32_t ended;         /* 1: the emulator has ended by itself, at `reached` */
    uint32_t cards;         /* bit n: card n is on the cable */

    /* ---- owned by whoever has the page ---- */
    uint32_t output_count;
    uint32_t reserved;
    struct cable_output output[CABLE_OUTPUT];
    struct cable_typed typed[CABLE_STREAMS];     /* of the serial ports */
    struct cable_frames sent[CABLE_CARDS];       /* by the machine */
    struct cable_frames due[CABLE_CARDS];        /* for it */
};

struct cable_shared {
    uint32_t running; /* machines that have not come to their grant yet: the laboratory sleeps on it (futex) */
    uint32_t reserved[15];
    struct machine_page machines[CABLE_MACHINES];
};

#endif
