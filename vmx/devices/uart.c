/*
 * A 16550A as its data sheet has it (National Semiconductor PC16550D, section 8 "Registers"), as far as a
 * polled or interrupt-driven driver can see: DLAB, FIFO control, line and modem status, interrupt
 * identification, loopback. The transmitter is always empty. FIFO indices stay in bounds whatever the guest
 * writes.
 */
#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/uart.h"

enum uart_port { /* names with DLAB = 0, then DLAB = 1 or the other direction */
    PORT_DATA = 0,           /* RBR, THR; DLL */
    PORT_INTERRUPT_ENABLE,   /* IER; DLM */
    PORT_IDENTIFICATION,     /* IIR; FCR */
    PORT_LINE_CONTROL,
    PORT_MODEM_CONTROL,
    PORT_LINE_STATUS,
    PORT_MODEM_STATUS,
    PORT_SCRATCH,
};

#define IER_RECEIVED 0x01
#define IER_THR_EMPTY 0x02
#define IER_LINE_STATUS 0x04
#define IER_MODEM_STATUS 0x08
#define IER_WRITABLE 0x0f

#define IIR_NONE 0x01
#define IIR_MODEM_STATUS 0x00
#define IIR_THR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE_STATUS 0x06
#define IIR_CHARACTER_TIMEOUT 0x0c
#define IIR_FIFOS_ENABLED 0xc0

#define FCR_ENABLE 0x01
#define FCR_RESET_RECEIVER 0x02
#define FCR_TRIGGER_SHIFT 6
#define FCR_KEPT 0xc9        /* enable, DMA mode, trigger level; the resets clear themselves */

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08        /* gates the interrupt line on a PC */
#define MCR_LOOPBACK 0x10
#define MCR_WRITABLE 0x1f

#define LSR_DATA_READY 0x01
#define LSR_OVERRUN 0x02
#define LSR_THR_EMPTY 0x20
#define LSR_TRANSMITTER_EMPTY 0x40

#define MSR_DELTA_CTS 0x01
#define MSR_DELTA_DSR 0x02
#define MSR_TRAILING_RI 0x04
#define MSR_DELTA_DCD 0x08
#define MSR_DELTA 0x0f
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

#define DLL_RESET 12         /* 9600 baud; the divisor has no effect */

static const uint8_t trigger_levels[] = { 1, 4, 8, 14 };

void uart_reset(struct uart *uart)
{
    memset(uart, 0, sizeof(*uart));
    uart->dll = DLL_RESET;
}

/* ---- receive FIFO ---- */

static bool fifo_put(struct uart *uart, uint8_t byte)
{
    if (uart->fifo_count == UART_FIFO_SIZE)
        return false;
    uart->fifo[(uart->fifo_head + uart->fifo_count) % UART_FIFO_SIZE] = byte;
    uart->fifo_count++;
    return true;
}

static uint8_t fifo_get(struct uart *uart)
{
    uint8_t byte;

    if (uart->fifo_count == 0)
        return 0;
    byte = uart->fifo[uart->fifo_head];
    uart->fifo_head = (uart->fifo_head + 1) % UART_FIFO_SIZE;
    uart->fifo_count--;
    return byte;
}

static void fifo_clear(struct uart *uart)
{
    uart->fifo_head = 0;
    uart->fifo_count = 0;
}

/* What waits on the line comes in while there is room. */
static void take_from_line(struct uart *uart)
{
    while ((uart->mcr & MCR_LOOPBACK) == 0 && uart->waiting_count > 0 &&
           fifo_put(uart, uart->waiting[uart->waiting_head])) {
        uart->waiting_head = (uart->waiting_head + 1) % UART_WAITING_SIZE;
        uart->waiting_count--;
    }
}

size_t uart_receive(struct uart *uart, const char *bytes, size_t size)
{
    size_t taken = MIN(size, UART_WAITING_SIZE - uart->waiting_count);

    for (size_t i = 0; i < taken; i++)
        uart->waiting[(uart->waiting_head + uart->waiting_count++) % UART_WAITING_SIZE] = (uint8_t)bytes[i];
    take_from_line(uart);
    return taken;
}

/* ---- status ---- */

static uint8_t line_status(const struct uart *uart)
{
    uint8_t ready = uart->fifo_count > 0 ? LSR_DATA_READY : 0;

    return ready | uart->lsr_errors | LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;
}

/* The modem lines: a peer that is always there, or in loopback the pod's own outputs. */
static uint8_t modem_lines(uint8_t mcr)
{
    if ((mcr & MCR_LOOPBACK) == 0)
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)(((mcr & MCR_RTS) != 0 ? MSR_CTS : 0) | ((mcr & MCR_DTR) != 0 ? MSR_DSR : 0) |
                     ((mcr & MCR_OUT1) != 0 ? MSR_RI : 0) | ((mcr & MCR_OUT2) != 0 ? MSR_DCD : 0));
}

static void write_modem_control(struct uart *uart, uint8_t value)
{
    uint8_t before = modem_lines(uart->mcr), after = modem_lines(value);
    uint8_t changed = before ^ after;

    uart->msr_delta |= ((changed & MSR_CTS) != 0 ? MSR_DELTA_CTS : 0) |
                       ((changed & MSR_DSR) != 0 ? MSR_DELTA_DSR : 0) |
                       ((changed & MSR_DCD) != 0 ? MSR_DELTA_DCD : 0) |
                       ((before & ~after & MSR_RI) != 0 ? MSR_TRAILING_RI : 0);
    uart->mcr = value;
    take_from_line(uart);
}

static unsigned trigger_level(const struct uart *uart)
{
    return (uart->fcr & FCR_ENABLE) != 0 ? trigger_levels[uart->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The pending interrupt of highest priority. Bytes below the trigger level count as timed out at once. */
static uint8_t interrupt_identification(const struct uart *uart)
{
    if ((uart->ier & IER_LINE_STATUS) != 0 && uart->lsr_errors != 0)
        return IIR_LINE_STATUS;
    if ((uart->ier & IER_RECEIVED) != 0 && uart->fifo_count > 0)
        return uart->fifo_count >= trigger_level(uart) ? IIR_RECEIVED : IIR_CHARACTER_TIMEOUT;
    if ((uart->ier & IER_THR_EMPTY) != 0 && uart->thr_interrupt != 0)
        return IIR_THR_EMPTY;
    if ((uart->ier & IER_MODEM_STATUS) != 0 && uart->msr_delta != 0)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

bool uart_interrupt(const struct uart *uart)
{
    return (uart->mcr & (MCR_OUT2 | MCR_LOOPBACK)) == MCR_OUT2 && interrupt_identification(uart) != IIR_NONE;
}

/* ---- ports ---- */

static bool dlab(const struct uart *uart)
{
    return (uart->lcr & LCR_DLAB) != 0;
}

static uint8_t read_data(struct uart *uart)
{
    uint8_t byte = fifo_get(uart);

    take_from_line(uart);
    return byte;
}

static uint8_t read_identification(struct uart *uart)
{
    uint8_t source = interrupt_identification(uart);

    if (source == IIR_THR_EMPTY)
        uart->thr_interrupt = 0; /* reading the IIR resets this source, if it is the one reported */
    return source | ((uart->fcr & FCR_ENABLE) != 0 ? IIR_FIFOS_ENABLED : 0);
}

static uint8_t read_line_status(struct uart *uart)
{
    uint8_t value = line_status(uart);

    uart->lsr_errors = 0;
    return value;
}

static uint8_t read_modem_status(struct uart *uart)
{
    uint8_t value = modem_lines(uart->mcr) | uart->msr_delta;

    uart->msr_delta = 0;
    return value;
}

uint8_t uart_read(struct uart *uart, unsigned offset)
{
    switch ((enum uart_port)(offset % UART_PORT_COUNT)) {
    case PORT_DATA: return dlab(uart) ? uart->dll : read_data(uart);
    case PORT_INTERRUPT_ENABLE: return dlab(uart) ? uart->dlm : uart->ier;
    case PORT_IDENTIFICATION: return read_identification(uart);
    case PORT_LINE_CONTROL: return uart->lcr;
    case PORT_MODEM_CONTROL: return uart->mcr;
    case PORT_LINE_STATUS: return read_line_status(uart);
    case PORT_MODEM_STATUS: return read_modem_status(uart);
    case PORT_SCRATCH: return uart->scr;
    }
    return 0xff;
}

/*
 * Returns whether the byte leaves by the line. The holding register is empty again before the guest's next
 * instruction.
 */
static bool write_transmit(struct uart *uart, uint8_t value, uint8_t *out)
{
    uart->thr_interrupt = 1;
    if ((uart->mcr & MCR_LOOPBACK) == 0) {
        *out = value;
        return true;
    }
    if (!fifo_put(uart, value))
        uart->lsr_errors |= LSR_OVERRUN;
    return false;
}

/* Enabling the THR-empty interrupt while the THR is empty raises it at once. */
static void write_interrupt_enable(struct uart *uart, uint8_t value)
{
    value &= IER_WRITABLE;
    if ((value & ~uart->ier & IER_THR_EMPTY) != 0)
        uart->thr_interrupt = 1;
    uart->ier = value;
}

/* A change of the enable bit clears the FIFOs; without it the other bits are not programmed. */
static void write_fifo_control(struct uart *uart, uint8_t value)
{
    if ((value & FCR_ENABLE) == 0)
        value = 0;
    if (((value ^ uart->fcr) & FCR_ENABLE) != 0 || (value & FCR_RESET_RECEIVER) != 0)
        fifo_clear(uart);
    uart->fcr = value & FCR_KEPT;
    take_from_line(uart);
}

bool uart_write(struct uart *uart, unsigned offset, uint8_t value, uint8_t *out)
{
    switch ((enum uart_port)(offset % UART_PORT_COUNT)) {
    case PORT_DATA:
        if (!dlab(uart))
            return write_transmit(uart, value, out);
        uart->dll = value;
        break;
    case PORT_INTERRUPT_ENABLE:
        if (dlab(uart))
            uart->dlm = value;
        else
            write_interrupt_enable(uart, value);
        break;
    case PORT_IDENTIFICATION: write_fifo_control(uart, value); break;
    case PORT_LINE_CONTROL: uart->lcr = value; break;
    case PORT_MODEM_CONTROL: write_modem_control(uart, value & MCR_WRITABLE); break;
    case PORT_LINE_STATUS: break; /* read-only */
    case PORT_MODEM_STATUS: break;
    case PORT_SCRATCH: uart->scr = value; break;
    }
    return false;
}

/* ---- state ---- */

static enum err uart_check(const void *decoded, char *why, size_t why_size)
{
    const struct uart *uart = decoded;

    if ((uart->fcr & ~FCR_KEPT) != 0 || ((uart->fcr & FCR_ENABLE) == 0 && uart->fcr != 0)) {
        snprintf(why, why_size, "section uart, field fcr: 0x%x is no state that a UART can be in", uart->fcr);
        return ERR_INVALID;
    }
    if ((uart->lsr_errors & ~LSR_OVERRUN) != 0) {
        snprintf(why, why_size, "section uart, field lsr_errors: 0x%x has bits that are no errors",
                 uart->lsr_errors);
        return ERR_INVALID;
    }
    return OK;
}

static const struct field uart_fields[] = {
    FIELD(struct uart, ier, IER_WRITABLE),
    FIELD(struct uart, fcr, 0),
    FIELD(struct uart, lcr, 0),
    FIELD(struct uart, mcr, MCR_WRITABLE),
    FIELD(struct uart, scr, 0),
    FIELD(struct uart, dll, 0),
    FIELD(struct uart, dlm, 0),
    FIELD(struct uart, lsr_errors, 0),
    FIELD(struct uart, msr_delta, MSR_DELTA),
    FIELD(struct uart, thr_interrupt, 1),
    FIELD_ARRAY(struct uart, fifo, 0),
    FIELD(struct uart, fifo_head, UART_FIFO_SIZE - 1),
    FIELD(struct uart, fifo_count, UART_FIFO_SIZE),
    FIELD_ARRAY(struct uart, waiting, 0),
    FIELD(struct uart, waiting_head, UART_WAITING_SIZE - 1),
    FIELD(struct uart, waiting_count, UART_WAITING_SIZE),
};

const struct section uart_section = {
    .name = "uart",
    .version = 1,
    .fields = uart_fields,
    .field_count = ARRAY_SIZE(uart_fields),
    .struct_size = sizeof(struct uart),
    .check = uart_check,
};
