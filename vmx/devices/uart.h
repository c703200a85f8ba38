/*
 * The virtual 16550A UART at a port base: pure model. Output is handed to the caller at once (no baud timing), none is
 * ever lost. Input that finds the receive FIFO full, or the line cut off by loopback, waits on the line, as if the
 * sender paused: a guest that clears its FIFO loses at most what is in there.
 */
#ifndef TELEPOD_VMX_DEVICES_UART_H
#define TELEPOD_VMX_DEVICES_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vmx/fields.h"

#define UART_FIFO_SIZE 16
#define UART_WAITING_SIZE 1024
#define UART_PORT_COUNT 8

struct uart {
    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    uint8_t lsr_errors;               /* LSR bits that stay until the LSR is read */
    uint8_t msr_delta;                /* MSR bits 3:0, which stay until the MSR is read */
    uint8_t thr_interrupt;            /* 0 or 1: "THR empty" has not been reported by the IIR yet */
    uint8_t fifo[UART_FIFO_SIZE];     /* received bytes */
    uint32_t fifo_head, fifo_count;   /* head < UART_FIFO_SIZE, count <= UART_FIFO_SIZE */
    uint8_t waiting[UART_WAITING_SIZE];     /* bytes on the line: a ring like the FIFO */
    uint32_t waiting_head, waiting_count;
};
extern const struct section uart_section;

void uart_reset(struct uart *uart);

/* A byte read of port base + offset; offset 0..7 (higher bits are ignored). */
uint8_t uart_read(struct uart *uart, unsigned offset);

/* A byte write. Returns true and the byte in *out when it transmits one. */
bool uart_write(struct uart *uart, unsigned offset, uint8_t value, uint8_t *out);

/* Bytes arrive on the line; returns how many found room. */
size_t uart_receive(struct uart *uart, const char *bytes, size_t size);

/* The level of the interrupt output. */
bool uart_interrupt(const struct uart *uart);

#endif
