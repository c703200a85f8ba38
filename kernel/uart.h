/*
 * A 16550 serial port, 115200 baud, 8N1. Output goes into a ring and is sent in the background by the transmit
 * interrupt; before interrupts work, each write sends what the port takes without waiting. A wait is bounded in time
 * (and so is a port that is not there: it never drains, and everything is dropped).
 */
#ifndef TELEPOD_UART_H
#define TELEPOD_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "kernel/spinlock.h"

#define UART_COM1_PORT 0x3f8
#define UART_COM1_IRQ 4
#define UART_COM2_PORT 0x2f8
#define UART_COM2_IRQ 3

/* Bytes from *tail to *head; both only grow, and a position is taken modulo `size`, a power of two. */
struct uart_ring {
    uint8_t *bytes;
    uint32_t size, head, tail;
};

struct uart {
    uint16_t port;
    uint8_t irq;
    bool present;
    bool interrupts;      /* the transmit interrupt drains the ring */
    bool unlocked;        /* after a panic: no lock is taken, writes send at once */
    bool stuck;           /* took nothing for long; nobody waits for it until it moves again */
    struct spinlock lock; /* the rings: interrupts come on one CPU, output from all */
    struct uart_ring transmit, receive;
    void (*received)(void); /* called in the interrupt handler, without the lock; may be NULL */
};

bool uart_init(struct uart *uart);                  /* false: no such port */
enum err uart_enable_interrupts(struct uart *uart); /* on the calling CPU */
/* With `wait`, waits for room as long as the port moves; what finds none is dropped. Returns the bytes taken. */
size_t uart_send(struct uart *uart, const char *bytes, size_t size, bool wait);
uint32_t uart_taken(const struct uart *uart);                   /* bytes that uart_send took since the start, modulo 2^32 */
size_t uart_room(struct uart *uart);                            /* bytes that uart_send would take now without a wait */
size_t uart_take(struct uart *uart, char *buffer, size_t size); /* what came so far */
void uart_flush(struct uart *uart);                             /* until all is on the wire; bounded */

#endif
