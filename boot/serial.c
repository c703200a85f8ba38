/* COM1 and port 0xE9, polled. Register names of the 16550 UART's data sheet. */
#include <stdint.h>
#include "boot/insn.h"
#include "boot/serial.h"

#define COM1 0x3f8
#define UART_THR (COM1 + 0)
#define UART_DLL (COM1 + 0) /* while LCR.DLAB is set */
#define UART_DLM (COM1 + 1) /* while LCR.DLAB is set */
#define UART_IER (COM1 + 1)
#define UART_FCR (COM1 + 2)
#define UART_LCR (COM1 + 3)
#define UART_MCR (COM1 + 4)
#define UART_LSR (COM1 + 5)
#define UART_SCR (COM1 + 7)
#define FCR_ENABLE_AND_CLEAR 0x07
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS 0x03
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define DIVISOR_115200 1
#define SCR_PATTERN 0x5a
/* Reads of LSR until the UART is given up: a read takes a microsecond, a FIFO of 16 bytes 1400 of them. */
#define LSR_POLLS_MAX 100000

#define E9_PORT 0xe9 /* Bochs: reads as its own number when it is a text channel */

static bool com1_present, e9_present;

static bool uart_answers(void)
{
    insn_outb(UART_SCR, SCR_PATTERN);
    if (insn_inb(UART_SCR) != SCR_PATTERN)
        return false;
    insn_outb(UART_SCR, (uint8_t)~SCR_PATTERN);
    return insn_inb(UART_SCR) == (uint8_t)~SCR_PATTERN;
}

/* False: the bit did not come up in a time that a working UART never needs. */
static bool line_status_wait(uint8_t bit)
{
    for (uint32_t i = 0; i < LSR_POLLS_MAX; i++) {
        if (insn_inb(UART_LSR) & bit)
            return true;
    }
    return false;
}

void serial_init(bool com1)
{
    e9_present = insn_inb(E9_PORT) == E9_PORT;
    /* What the firmware has put into the FIFO goes out before the FIFO is cleared. */
    com1_present = com1 && uart_answers() && line_status_wait(LSR_TEMT);
    if (!com1_present)
        return;
    insn_outb(UART_IER, 0);
    insn_outb(UART_LCR, LCR_DLAB | LCR_8N1);
    insn_outb(UART_DLL, DIVISOR_115200);
    insn_outb(UART_DLM, 0);
    insn_outb(UART_LCR, LCR_8N1);
    insn_outb(UART_FCR, FCR_ENABLE_AND_CLEAR);
    insn_outb(UART_MCR, MCR_DTR_RTS);
}

/* A UART that stops taking bytes is not asked again. */
static void com1_put(char c)
{
    com1_present = com1_present && line_status_wait(LSR_THRE);
    if (com1_present)
        insn_outb(UART_THR, (uint8_t)c);
}

void serial_write(const char *text)
{
    for (; *text; text++) {
        if (e9_present)
            insn_outb(E9_PORT, (uint8_t)*text);
        if (*text == '\n')
            com1_put('\r');
        com1_put(*text);
    }
}
